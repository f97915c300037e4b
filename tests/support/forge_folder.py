"""Forge a user's own recordings: videos and a folder of images with a label table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from auvmae.data import au_names, load_au_dataset
from auvmae.data.clips import video_labels

from .forge_disfa import numbered_frame, write_video

AUS = (1, 12, 4)  # in the order of the table
LENGTHS = {"anna/monday.mp4": 40, "anna/tuesday.avi": 30, "bert.mkv": 25, "carla/images": 20}
CLIP = 16


def codes(name: str) -> np.ndarray:
    """Draw (length, 3) values 1, 0 and, occasionally, -100, fixed per video."""
    rng = np.random.default_rng(list(name.encode()))
    values = rng.integers(0, 2, (LENGTHS[name], len(AUS)))
    values[rng.random(values.shape) < 0.1] = -100
    values[0, 0] = 1
    return values


def wide(names: Iterable[str] = tuple(LENGTHS)) -> list[list[Any]]:
    """List the rows of a wide table, header first."""
    rows: list[list[Any]] = [["video", "frame", *(f"AU{au}" for au in AUS)]]
    for name in names:
        for frame, line in enumerate(codes(name).tolist()):
            rows.append([name, frame, *("" if value == -100 else value for value in line)])
    return rows


def write_table(root: Path, rows: list[list[Any]], delimiter: str = ",", name: str = "labels.csv") -> None:
    (root / name).write_text("".join(delimiter.join(map(str, row)) + "\n" for row in rows), encoding="utf-8-sig")


def write_tree(root: Path) -> Path:
    """Write the videos, the images and a wide table to a folder, and return it."""
    for name, length in LENGTHS.items():
        if name == "carla/images":
            (root / name).mkdir(parents=True)
            for number in range(length):
                Image.fromarray(numbered_frame(number)).save(root / name / f"{number:04d}.jpg")
        else:
            codec = "mpeg4" if name.endswith("avi") else "libx264"
            write_video(root / name, map(numbered_frame, range(length)), codec)
    write_table(root, wide())
    return root


def load(root: Path, **options: Any) -> datasets.DatasetDict:
    return load_au_dataset("au_video_folder", root, **{"clip_length": CLIP} | options)


def labels_of(data: datasets.DatasetDict, root: Path) -> dict[str, np.ndarray]:
    """Map each video, of either side, to its labels in frame order."""
    found = {}
    for rows in data.values():
        names = list(dict.fromkeys(Path(video).relative_to(root).as_posix() for video in rows["video"]))
        found |= dict(zip(names, video_labels(rows), strict=True))
    return found


def check(data: datasets.DatasetDict, root: Path) -> None:
    """Check that the labels are exactly those of `codes`, by ascending AU."""
    assert au_names(data) == au_names(data["test"]) == ["AU1", "AU4", "AU12"]
    found = labels_of(data, root)
    assert found.keys() == LENGTHS.keys()
    for name, labels in found.items():
        assert labels.tolist() == codes(name)[:, [0, 2, 1]].tolist()
