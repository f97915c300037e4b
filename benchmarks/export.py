"""Compare the speed, probabilities and F1 of exported ONNX files with PyTorch.

    python benchmarks/export.py [CHECKPOINT]

CHECKPOINT defaults to the result of `make demo` (outputs/synthetic_tiny). It is scored on the test fold of recipes/
synthetic_tiny.yaml, in clips of one window, at its own level and thresholds. ViT-B at frame level has random weights,
since only its speed is measured. Frames are labelled frames: a window of 16 frames at frame level labels 64.

Rounds alternate between the three models, so that a busy machine slows all of them, and the best round of each counts.
CPU time covers all threads. It is more reliable than wall time when cores are scarce, but with several threads it
includes the time they wait for one another. `benchmarks/engines.py` compares all engines on face crops.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import yaml
from hardware import describe_machine
from torch.utils.data import DataLoader

from auvmae import demo
from auvmae.configuration import AUVMAEConfig
from auvmae.conversion.export import export_model
from auvmae.conversion.formats import FORMATS
from auvmae.data import load_au_dataset
from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.evaluation.metrics import au_metrics
from auvmae.evaluation.tables import markdown_table
from auvmae.inference.detector import AUDetector
from auvmae.inference.runtimes.onnx_model import OnnxModel
from auvmae.knowledge.facs import DISFA_AUS
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor

VIDEOS = sorted(Path(demo.__file__).parent.glob("*.mp4"))
RECIPE = Path(__file__).parents[1] / "recipes" / "synthetic_tiny.yaml"


def open_models(detector: AUDetector, folder: Path) -> dict[str, Any]:
    """Open the model and its exports, with the current number of torch threads."""
    files = {"ONNX float32": FORMATS["onnx"].file, "ONNX int8": FORMATS["onnx"].int8_file}
    return {"torch float32": detector.model} | {name: OnnxModel(folder / file) for name, file in files.items()}


@torch.inference_mode()
def fastest(models: dict[str, Any], windows: torch.Tensor, rounds: int) -> dict[str, np.ndarray]:
    """Measure the wall and CPU seconds of each model's best round on the same windows."""
    best = {name: np.full(2, np.inf) for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            start = np.array([time.perf_counter(), time.process_time()])
            model(windows)
            spent = np.array([time.perf_counter(), time.process_time()]) - start
            best[name] = np.minimum(best[name], spent)
    return best


def speed_rows(what: str, detector: AUDetector, folder: Path, batch_size: int, rounds: int) -> list[list[str]]:
    """Compute the rows of the first table, the speed."""
    config, rows = detector.model.config, []
    windows = torch.randn(batch_size, config.num_frames, 3, config.image_size, config.image_size)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        best = fastest(open_models(detector, folder), windows, rounds)
        for name, spent in best.items():
            seconds, cpu_seconds = batch_size * detector.window_length / spent
            gain = best["torch float32"][0] / spent[0]
            rows.append([what, str(threads), name, f"{seconds:.1f}", f"{cpu_seconds:.1f}", f"{gain:.2f}"])
    return rows


@torch.inference_mode()
def predict_fold(detector: AUDetector, models: dict[str, Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Predict the test fold with each model.

    Returns:
        Probabilities by model, (frames, N), and the labels.
    """
    recipe = yaml.safe_load(RECIPE.read_text())
    options = recipe["dataset_options"] | {"fold": recipe["fold"], "clip_length": detector.window_length}
    rows = load_au_dataset(recipe["dataset"], **options)["test"]
    resize, rate = detector.processor.resize_frames, detector.sampling_rate
    clips = ClipDataset(rows, resize, rate, backend=recipe["video_backend"])
    probs: dict[str, list[np.ndarray]] = {name: [] for name in models}
    labels = []
    for batch in DataLoader(clips, 32, collate_fn=ClipCollator.from_config(detector.model.config)):
        pixel_values = detector.processor.normalize_frames(batch["frames"])
        for name, model in models.items():
            probs[name].append(model(pixel_values, batch.get("bool_masked_pos")).logits.sigmoid().flatten(0, 1).numpy())
        labels.append(batch["labels"].flatten(0, 1).numpy())
    return {name: np.concatenate(parts) for name, parts in probs.items()}, np.concatenate(labels)


def score_rows(detector: AUDetector, folder: Path) -> list[list[str]]:
    """Compute the rows of the second table, the scores."""
    probs, labels = predict_fold(detector, open_models(detector, folder))
    expected, thresholds, rows = probs["torch float32"], np.array(detector.thresholds), []
    scores = {name: au_metrics(found, labels, detector.au_names, thresholds)["f1"] for name, found in probs.items()}
    for name, found in probs.items():
        change = 100 * (scores[name] - scores["torch float32"])
        flipped = ((found > thresholds) != (expected > thresholds)).mean()
        difference = np.abs(found - expected).max()
        rows.append([name, f"{100 * scores[name]:.2f}", f"{change:+.2f}", f"{difference:.1e}", f"{100 * flipped:.2f}"])
    return rows


def main(checkpoint: str = "outputs/synthetic_tiny") -> None:
    """Print the tables."""
    torch.manual_seed(0)
    datasets.disable_progress_bars()
    print(describe_machine("onnxruntime", "onnx", "onnxscript"))
    base = AUVMAEForFrameAUClassification(AUVMAEConfig(id2label=dict(enumerate(DISFA_AUS))))
    detectors = {
        "ViT-B, frame level, 224 pixels": (AUDetector(base, AUVMAEImageProcessor(), level="frame"), 1, 4),
        Path(checkpoint).name: (AUDetector.from_pretrained(checkpoint, device="cpu", dtype="float32"), 8, 20),
    }
    rows = [["model", "threads", "run by", "frames/s", "frames per CPU s", "speed-up over torch"]]
    with tempfile.TemporaryDirectory() as temporary:
        for what, (detector, *sizes) in detectors.items():
            folder = Path(temporary) / what
            largest = export_model(detector, folder, calibration=VIDEOS)["largest_difference"]
            megabytes = ", ".join(f"{name} {(folder / name).stat().st_size / 1e6:.1f} MB" for name in largest)
            print(f"\n{what}: {megabytes}; largest differences from PyTorch: {largest}", flush=True)
            rows += speed_rows(what, detector, folder, *sizes)
        print(f"\n{markdown_table(rows)}\n\n{checkpoint} on the test fold:\n", flush=True)
        table = [["run by", "macro F1 (%)", "change", "largest difference of a probability", "decisions changed (%)"]]
        print(markdown_table(table + score_rows(detector, folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
