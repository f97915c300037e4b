"""Reconstruct a masked clip with a pre-trained model (`auvmae reconstruct`).

The figure follows Fig. 1 of the paper's appendix.
"""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..system.endings import failed
from ..system.files import writable

if TYPE_CHECKING:
    from ..configuration import AUVMAEConfig
    from ..modeling_auvmae import AUVMAEForVideoPretraining
    from ..training.reconstruction import Reconstruction

HELP = "reconstruct a masked clip with a pre-trained model"

DESCRIPTION = """\
Mask a part of a clip of VIDEO, and reconstruct it with a pre-trained model.
VIDEO is a face crop as written by `auvmae crop`.

OUT contains:
  reconstruction.png        original, masked and reconstructed frames
  reconstruction_RATIO.mp4  the three side by side, one video per mask ratio
  reconstruction.json       PSNR of the reconstructions

Masked patches are shown as predicted, visible patches unchanged. If the model
was trained on normalised patches (norm_pix_loss, the default), predictions are
rescaled to the mean and standard deviation of the original patch. At mask
ratio 0, all patches show the decoder's output for visible patches, on which it
was not trained. PSNR is in dB over the clip. It is compared with a trivial
baseline that fills each patch with its own mean colour.
"""

COLUMNS = 5  # in the figure; more are too small to see at the width of a text column


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae reconstruct`."""
    parser.add_argument("video", metavar="VIDEO", help="face crop: a video, or a folder of numbered images")
    parser.add_argument("-m", "--model", required=True, help="pre-trained checkpoint: a folder, or a name on the Hub")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="output folder")
    parser.add_argument(
        "--mask_ratios",
        nargs="+",
        type=float,
        default=[0.0, 0.5, 0.9],
        metavar="RATIO",
        help="fractions of the patches to mask, each in [0, 1) (default: 0 0.5 0.9, as in the paper)",
    )
    parser.add_argument(
        "--start_frame",
        type=int,
        default=0,
        metavar="START",
        help="first frame of the clip, from 0; the model sets its length and sampling rate (default: 0)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed for the masks (default: 0)")
    parser.add_argument("--backend", default="pyav", help="video decoder: pyav, decord or torchcodec (default: pyav)")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct the clip, save the results, print PSNR and return the exit code.

    The exit code is 2 if the model or the video cannot be used.
    """
    try:
        with writable(arguments.output):
            model = _load_model(arguments.model)
            numbers = _frame_numbers(Path(arguments.video), arguments.start_frame, model.config)
            found = _reconstruct(model, numbers, arguments)
            paths = _write(found, numbers, model.config, arguments)
    except (ValueError, OSError) as error:
        return failed("auvmae reconstruct", error)
    _report(found)
    for path in paths:
        print(f"written: {path}")
    return 0


def _load_model(name: str) -> "AUVMAEForVideoPretraining":
    import torch

    from ..modeling_auvmae import AUVMAEForVideoPretraining

    model, info = AUVMAEForVideoPretraining.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"]:
        raise ValueError(
            f"{name} has no complete decoder: {len(info['missing_keys'])} weights are missing, such as "
            f"{min(info['missing_keys'])}. Use a checkpoint written by run_pretrain.py, not an encoder or a detector."
        )
    return model.eval()


def _frame_numbers(video: Path, start: int, config: "AUVMAEConfig") -> np.ndarray:
    """Choose the frames of the clip as in training.

    They are every `sampling_rate`-th frame; past the end of the video its last frame is repeated.
    """
    from ..video.reading import image_files, num_frames

    numbers = np.array(list(image_files(video))) if video.is_dir() else np.arange(num_frames(video))
    if not 0 <= start < len(numbers):
        raise ValueError(
            f"{video} has {len(numbers)} frames: --start_frame must lie in 0 to {len(numbers) - 1}, found {start}"
        )
    return numbers[np.minimum(start + np.arange(0, config.clip_length, config.sampling_rate), len(numbers) - 1)]


def _reconstruct(
    model: "AUVMAEForVideoPretraining", numbers: np.ndarray, arguments: argparse.Namespace
) -> "dict[float, Reconstruction]":
    import torch
    from tqdm.auto import tqdm

    from ..masking import tube_mask
    from ..processors import AUVMAEImageProcessor
    from ..training.reconstruction import compare_clip
    from ..video.random_access import read_frames

    config = model.config
    processor = AUVMAEImageProcessor(config.image_size, config.image_mean, config.image_std)
    clip = processor(read_frames(arguments.video, numbers, arguments.backend), return_tensors="pt")["pixel_values"]
    # with one seed for all, a patch masked at a lower ratio is also masked at a higher one
    masks = {
        ratio: tube_mask(
            1,
            len(numbers) // config.tubelet_size,
            config.patches_per_slot,
            ratio,
            torch.Generator().manual_seed(arguments.seed),
        )
        for ratio in arguments.mask_ratios
    }
    return {ratio: compare_clip(model, clip, mask) for ratio, mask in tqdm(masks.items(), "mask ratios")}


def _write(
    found: "dict[float, Reconstruction]", numbers: np.ndarray, config: "AUVMAEConfig", arguments: argparse.Namespace
) -> list[Path]:
    from ..plotting.style import save_figure
    from ..system.files import replacing
    from ..video.reading import frame_rate
    from ..video.writing import VideoWriter

    folder = Path(arguments.output)
    paths = [save_figure(_draw(found, numbers, config), folder / "reconstruction.png")]
    for ratio, result in found.items():
        path = folder / f"reconstruction_{ratio:g}.mp4"
        frames = np.concatenate([result.original, result.masked, result.reconstructed], axis=2)
        rate = frame_rate(Path(arguments.video)) / config.sampling_rate
        with VideoWriter(path, rate, frames.shape[2], frames.shape[1]) as writer:
            for frame in frames:
                writer.write(frame)
        paths.append(path)
    with replacing(folder / "reconstruction.json") as file:
        source = {name: getattr(arguments, name) for name in ("video", "model", "seed")}
        scores = [{"mask_ratio": ratio, **_scores(result)} for ratio, result in found.items()]
        clip = {"frames": numbers.tolist(), "norm_pix_loss": config.norm_pix_loss}
        json.dump({**source, **clip, "results": scores}, file, indent=2, allow_nan=False)
    return [*paths, folder / "reconstruction.json"]


def _draw(found: "dict[float, Reconstruction]", numbers: np.ndarray, config: "AUVMAEConfig") -> Any:
    from ..plotting.pretraining import plot_frame_rows

    shown = np.linspace(0, len(numbers) - 1, COLUMNS).round().astype(int)
    rows = {"original": next(iter(found.values())).original[shown]}
    for ratio, result in found.items():
        if result.hidden_share:
            rows[f"{ratio:g}\nmasked"] = result.masked[shown]
        score = f"{result.psnr_all:.1f} ({result.mean_colour_psnr_all:.1f})"
        rows[f"{ratio:g}\nreconstructed\n{score}"] = result.reconstructed[shown]
    caption = [
        "Mask ratio; PSNR (dB, all pixels), and in brackets of the mean-colour baseline.",
        "Visible patches are original, masked patches as predicted"
        + (",\nwith the mean and standard deviation of the original patch." if config.norm_pix_loss else "."),
    ]
    if not all(result.hidden_share for result in found.values()):
        caption.append("Nothing masked: the decoder's output for visible patches, on which it was not trained.")
    return plot_frame_rows(rows, numbers[shown].tolist(), "\n".join(caption))


def _scores(result: "Reconstruction") -> dict[str, float | None]:
    """Return the scores, with None for one that is undefined or infinite."""
    names = ("hidden_share", "psnr_hidden", "mean_colour_psnr_hidden", "psnr_all", "mean_colour_psnr_all")
    numbers = {name: getattr(result, name) for name in names}
    return {name: number if math.isfinite(number) else None for name, number in numbers.items()}


def _report(found: "dict[float, Reconstruction]") -> None:
    print("PSNR (dB) over masked patches and over all pixels, each followed by the mean-colour baseline")
    print(f"{'ratio':>6}{'masked':>9}{'PSNR':>9}{'mean c.':>9}{'PSNR all':>11}{'mean c.':>9}")
    for ratio, result in found.items():
        scores = (result.psnr_hidden, result.mean_colour_psnr_hidden, result.psnr_all, result.mean_colour_psnr_all)
        cells = ["-" if math.isnan(score) else f"{score:.2f}" for score in scores]
        print(f"{ratio:>6g}{result.hidden_share:>9.1%}{cells[0]:>9}{cells[1]:>9}{cells[2]:>11}{cells[3]:>9}")
