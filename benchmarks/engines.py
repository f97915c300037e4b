"""Compare the speed and the drift of all engines and data types on face crops.

    python benchmarks/engines.py [CHECKPOINT [VIDEO ...]]

CHECKPOINT defaults to the packaged model, and "ViT-B" is a model of the paper's size with random weights. VIDEO
defaults to the two packaged recordings. Half of their windows calibrate int8, and the other half are measured: eight
windows a call, as in `auvmae predict`. Rounds alternate between the engines, so that a busy machine slows all of them,
and the best round of each counts. A window counts as half of its frames, since the windows of a long recording overlap
by half. Probabilities are compared with those of torch in float32.

`auto` follows this table: see `fastest_engine`.
"""

import auvmae  # noqa: F401  before torch, whose threads then wait as in `auvmae predict`

# isort: split
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hardware import describe_machine

from auvmae import AUDetector, AUVMAEConfig, demo
from auvmae.conversion.export import export_model
from auvmae.conversion.formats import FORMATS
from auvmae.conversion.recorded_windows import record_windows
from auvmae.evaluation.tables import markdown_table
from auvmae.faces.crop import CropRecipe
from auvmae.knowledge.facs import DISFA_AUS
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.system.hardware import cpu_has_bfloat16, cpu_has_int8, keep_freed_memory
from auvmae.weights import DEFAULT_MODEL

VIDEOS = sorted(Path(demo.__file__).parent.glob("*.mp4"))
ROUNDS, BATCH_SIZE, MOST_WINDOWS = 6, 8, 32


def load(checkpoint: str) -> AUDetector:
    """Load a detector in float32 on the CPU."""
    if checkpoint != "ViT-B":
        return AUDetector.from_pretrained(checkpoint, device="cpu", dtype="float32")
    model = AUVMAEForFrameAUClassification(AUVMAEConfig(id2label=dict(enumerate(DISFA_AUS))))
    return AUDetector(model, AUVMAEImageProcessor(crop=CropRecipe().to_dict()))


def open_engines(detector: AUDetector, checkpoint: str, folder: Path, videos: list[Path]) -> dict[tuple[str, str], Any]:
    """Open the model in each engine and data type that the processor has."""
    dtypes = [torch.float32, *([torch.bfloat16] if cpu_has_bfloat16() else [])]
    engines: dict[tuple[str, str], Any] = {}
    for dtype in dtypes:
        engines["torch", str(dtype)[6:]] = load_like(detector, checkpoint).to(dtype)
    for name, form in FORMATS.items():
        export_model(detector, folder / name, name, videos if cpu_has_int8() else [])
        for dtype in dtypes:
            if dtype in form.runtime.dtypes:
                engines[name, str(dtype)[6:]] = form.runtime(folder / name / form.file, dtype=dtype)
        if cpu_has_int8():
            engines[name, "int8"] = form.runtime(folder / name / form.int8_file)
    return engines


def load_like(detector: AUDetector, checkpoint: str) -> AUVMAEForFrameAUClassification:
    """Return a copy of the model with the same weights."""
    model = load(checkpoint).model
    model.load_state_dict(detector.model.state_dict())
    return model


@torch.inference_mode()
def predict(model: Any, windows: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """Compute the probabilities of windows, a batch at a time."""
    found = []
    for start in range(0, len(windows), BATCH_SIZE):
        batch = windows[start : start + BATCH_SIZE]
        inputs = {name: torch.cat([window[name] for window in batch]) for name in batch[0]}
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        found.append(model(**inputs).logits.float().sigmoid())
    return torch.cat(found)


def main(checkpoint: str = DEFAULT_MODEL, *videos: str) -> None:
    """Print the table."""
    keep_freed_memory()
    torch.manual_seed(0)
    print(describe_machine("openvino", "nncf", "onnxruntime"), flush=True)
    detector, recordings = load(checkpoint), [Path(video) for video in videos] or VIDEOS
    windows = record_windows(detector, recordings)[1::2][:MOST_WINDOWS]
    with tempfile.TemporaryDirectory() as folder:
        engines = open_engines(detector, checkpoint, Path(folder), recordings)
        best = dict.fromkeys(engines, np.inf)
        for _ in range(ROUNDS):
            for key, model in engines.items():
                start = time.perf_counter()
                predict(model, windows)
                best[key] = min(best[key], time.perf_counter() - start)
        expected = predict(engines["torch", "float32"], windows)
        rows = [["engine", "data type", "frames/s", "speed-up", "largest difference of a probability"]]
        for key, model in engines.items():
            rate, gain = len(windows) * detector.window_length / 2 / best[key], best["torch", "float32"] / best[key]
            drift = float((predict(model, windows) - expected).abs().max())
            rows.append([*key, f"{rate:.1f}", f"{gain:.2f}", f"{drift:.1e}"])
    print(f"\n{checkpoint}, {len(windows)} windows:\n\n{markdown_table(rows)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
