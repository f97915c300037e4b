"""Put the inputs that examples name into their working folder: drawn faces, forged files, a tiny model."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from auvmae.data.synthetic.dataset import LABELLED_AUS, render_subject, write_synthetic_disfa
from auvmae.video import VideoWriter

from .forge_bp4d import forge_bp4d
from .paths import ROOT
from .predictions import forge_prediction, one_person

LINKS = ("run_finetune.py", "run_pretrain.py", "recipes", "benchmarks", "results", "docs")
"""What of the repository lies in the working folder of every page."""

RECORDINGS = ("anna/monday.mp4", "anna/tuesday.mp4", "bert/monday.mp4", "carla/monday.mp4")
CODED_AUS = (2, 4, 12)
"""Those that each of the three people shows, so that every fold can be trained on."""


def write_face_video(path: Path, subject: int, frames: int, size: int = 160) -> np.ndarray:
    """Write a video of a drawn face before a wall, which MTCNN detects; returns the intensities, (frames, 12)."""
    faces, intensities = render_subject(subject, frames, size, seed=7)
    height, width = size * 5 // 4, size * 5 // 3 // 2 * 2
    top, left = (height - size) // 2, (width - size) // 2
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 20, width, height) as writer:
        for face in faces:
            frame = np.full((height, width, 3), (96, 104, 112), np.uint8)
            frame[top : top + size, left : left + size] = face
            writer.write(frame)
    return intensities


def write_recordings(folder: Path) -> None:
    """Write videos of three people and one table with the codes of every frame, as `au_video_folder` reads it."""
    columns = [LABELLED_AUS.index(au) for au in CODED_AUS]
    rows = [",".join(["video", "frame", *(f"AU{au}" for au in CODED_AUS)])]
    for number, name in enumerate(RECORDINGS):
        coded = write_face_video(folder / name, number, 200, 128)[:, columns] >= 2
        rows += [",".join([name, str(frame), *map(str, line)]) for frame, line in enumerate(coded.astype(int).tolist())]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def train_tiny(folder: Path) -> None:
    """Fine-tune the default recipe for a few steps: a model with all its files, which has learned little."""
    command = [sys.executable, str(ROOT / "run_finetune.py"), "--output_dir", str(folder), "--max_steps", "40"]
    command += ["--warmup_steps", "5", "--use_cpu"]
    command += ["--dataset_options", '{"num_subjects": 12, "frames_per_subject": 128, "seed": 3}']
    command += ["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "false", "--save_strategy", "no"]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True)


def write_predictions(folder: Path) -> None:
    """Write made-up predictions of three people in two conditions."""
    for seed, name in enumerate(("anna", "ben", "cleo")):
        for condition in ("listen", "talk"):
            frames = one_person(150 + 40 * seed)
            prediction = forge_prediction(frames, f"{name}.mp4", seed=10 * (condition == "talk") + seed)
            prediction.save(folder / condition / f"{name}.csv")


INPUTS: dict[str, Callable[[Path], object]] = {
    "interview.mp4": lambda path: write_face_video(path, 5, 100),
    "outputs/synthetic_tiny": train_tiny,
    "auvmae/demo/smile.mp4": lambda path: shutil.copy(ROOT / "auvmae/demo/smile.mp4", path),
    "recordings": write_recordings,
    "predictions": write_predictions,
    "data/DISFA": lambda path: write_synthetic_disfa(
        path, num_subjects=9, frames_per_subject=160, image_size=128, num_proc=1, progress=False
    ),
    "data/BP4D": forge_bp4d,
}
"""What an example may name, and how it is made. It is made once, and copied to every page that names it."""


def prepare_folder(folder: Path, code: str, made: Path) -> None:
    """Fill a working folder for the examples of a page.

    Args:
        folder: An empty folder.
        code: The code of the page's examples that run.
        made: Where inputs are kept for the next page.
    """
    for name in LINKS:
        (folder / name).symlink_to(ROOT / name)
    for name, make in INPUTS.items():
        if name not in code:
            continue
        if not (made / name).exists():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            make(made / name)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (made / name).is_dir() else shutil.copy
        copy(made / name, folder / name)
