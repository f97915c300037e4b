"""`auvmae reconstruct VIDEO`: what a pre-trained model makes of a clip of which it sees a part (appendix, Fig. 1)."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..configuration import AUVMAEConfig
    from ..modeling_auvmae import AUVMAEForVideoPretraining
    from ..training.reconstruction import Reconstruction

HELP = "draw what a pre-trained model reconstructs of a masked clip"

DESCRIPTION = """\
Hide a part of a clip of VIDEO, a face crop as of `auvmae crop`, and let a pre-trained model fill it in. OUT gets
reconstruction.png (original, masked, reconstructed), per mask ratio a video reconstruction_RATIO.mp4 (the three side by
side), and reconstruction.json (PSNR). A hidden patch is shown as predicted, with the mean and the standard deviation of
the original patch if the model was trained on normalised patches (norm_pix_loss, the default); a visible one as it is.
At ratio 0 all patches are what the decoder gives for visible ones, which it was not trained for. PSNR is in dB over the
clip, beside that of the trivial answer: each patch's own mean colour in place of what the decoder gives.
"""

COLUMNS = 5  # of the picture; at the width of a column of text, more are too small to see


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae reconstruct`."""
    parser.add_argument("video", metavar="VIDEO", help="a face crop: a video, or a folder of numbered images")
    parser.add_argument("-m", "--model", required=True, help="a checkpoint of run_pretrain.py: a folder or a Hub name")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the folder to write to")
    parser.add_argument(
        "--mask_ratios",
        nargs="+",
        type=float,
        default=[0.0, 0.5, 0.9],
        metavar="RATIO",
        help="shares of the patches to hide, each in [0, 1) (default: 0 0.5 0.9, the paper's)",
    )
    parser.add_argument(
        "--start_frame",
        type=int,
        default=0,
        metavar="START",
        help="first frame of the clip, counted from 0 (default: 0); its length and sampling rate are the model's",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the masks (default: 0)")
    parser.add_argument("--backend", default="decord", help="decord, pyav or torchcodec (default: decord)")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct, print, draw and save; the exit code is 2 where the model or the video cannot be used."""
    try:
        model = _load_model(arguments.model)
        numbers = _frame_numbers(Path(arguments.video), arguments.start_frame, model.config)
        found = _reconstruct(model, numbers, arguments)
        paths = _write(found, numbers, model.config, arguments)
    except (ValueError, OSError) as error:
        print(f"auvmae reconstruct: {error}", file=sys.stderr)
        return 2
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
            f"{name} has no whole decoder: it lacks {len(info['missing_keys'])} weights, such as "
            f"{min(info['missing_keys'])}. Give a checkpoint that run_pretrain.py wrote, not an encoder or a detector."
        )
    return model.eval()


def _frame_numbers(video: Path, start: int, config: "AUVMAEConfig") -> np.ndarray:
    """The frames that enter, as in training: every `sampling_rate`-th of a clip, the last one repeated past the end."""
    from ..video.reading import image_files, num_frames

    numbers = np.array(list(image_files(video))) if video.is_dir() else np.arange(num_frames(video))
    if not 0 <= start < len(numbers):
        raise ValueError(f"{video} has {len(numbers)} frames: --start_frame {start} is none of 0 to {len(numbers) - 1}")
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
    # one seed for all: what a lower ratio hides is hidden at a higher one too
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
        "Mask ratio; PSNR (dB, all pixels), in brackets that of mean colours.",
        "Visible patches as they are, hidden ones as predicted"
        + (",\nwith the mean and standard deviation of the original patch." if config.norm_pix_loss else "."),
    ]
    if not all(result.hidden_share for result in found.values()):
        caption.append("Nothing hidden: the decoder's output for visible patches, untrained.")
    return plot_frame_rows(rows, numbers[shown].tolist(), "\n".join(caption))


def _scores(result: "Reconstruction") -> dict[str, float | None]:
    """The numbers of a reconstruction; None where it is none: nothing is hidden, or nothing differs."""
    names = ("hidden_share", "psnr_hidden", "mean_colour_psnr_hidden", "psnr_all", "mean_colour_psnr_all")
    numbers = {name: getattr(result, name) for name in names}
    return {name: number if math.isfinite(number) else None for name, number in numbers.items()}


def _report(found: "dict[float, Reconstruction]") -> None:
    print("PSNR (dB) over the hidden patches and over all pixels, each beside that of the patches' mean colour")
    print(f"{'ratio':>6}{'hidden':>9}{'PSNR':>9}{'mean c.':>9}{'PSNR all':>11}{'mean c.':>9}")
    for ratio, result in found.items():
        scores = (result.psnr_hidden, result.mean_colour_psnr_hidden, result.psnr_all, result.mean_colour_psnr_all)
        cells = ["-" if math.isnan(score) else f"{score:.2f}" for score in scores]
        print(f"{ratio:>6g}{result.hidden_share:>9.1%}{cells[0]:>9}{cells[1]:>9}{cells[2]:>11}{cells[3]:>9}")
