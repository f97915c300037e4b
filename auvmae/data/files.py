"""Where the videos of a data set are: files and image folders found by pattern, and the numbers of their frames."""

import csv
import os
import re
from collections.abc import Collection
from pathlib import Path
from textwrap import dedent

import numpy as np

from ..faces.crop_files import index_path, read_index
from ..video.reading import VIDEO_SUFFIXES, image_files, num_frames
from ..video.reading import find_videos as find_sources

MAX_LISTED = 24


class DatasetLayoutError(ValueError):
    """A folder that is not laid out as its data set is."""

    @classmethod
    def of(cls, problem: str, expected: str, root: Path | None) -> "DatasetLayoutError":
        """The error that says what is wrong, draws the tree expected, and lists what was found under `root`."""
        found = "(no folder was given)" if root is None else f"{root}\n{_draw_tree(root)}"
        return cls(f"{problem}\n\nExpected:\n{dedent(expected).strip()}\n\nFound:\n{found}")


class LabelError(ValueError):
    """A label file that cannot be read, or that disagrees with its video."""

    @classmethod
    def at(cls, path: Path, line: int | None, found: str, remedy: str) -> "LabelError":
        """The error that names file, line (from 1; None for the whole file), what is there and what should be."""
        return cls(f"{path}{'' if line is None else f', line {line}'}: found {found}. {remedy}")


def _draw_tree(root: Path) -> str:
    if not root.is_dir():
        return "    (a file)" if root.exists() else "    (it does not exist)"
    lines = []
    for entry in sorted(root.iterdir()):
        lines.append(f"    {entry.name}{'/' if entry.is_dir() else ''}")
        if entry.is_dir():
            lines += [f"        {child.name}{'/' if child.is_dir() else ''}" for child in sorted(entry.iterdir())[:3]]
    lines = [*lines[:MAX_LISTED], "    ..."] if len(lines) > MAX_LISTED else lines
    return "\n".join(lines) or "    (it is empty)"


VIDEO_FILE = rf"\.({'|'.join(suffix[1:] for suffix in VIDEO_SUFFIXES)})"
"""Pattern of the suffix of a video file: AVI as distributed, MP4 as face crops are."""


def find_videos(root: Path) -> list[Path]:
    """The video files and image folders under `root`, to its depths, sorted; hidden files are left out."""
    # the function pairs each with the path of its crop, which is not wanted here
    return sorted(video for video, _ in find_sources(root, Path(os.devnull)))


def frame_numbers(video: Path) -> np.ndarray:
    """The numbers that the frames of a video go by, int64, ascending: of an image folder and its crop, the images'."""
    if video.is_dir():
        return np.array(list(image_files(video)))
    if index_path(video).is_file():
        return read_index(video).frame
    return np.arange(num_frames(video))


def find_files(root: Path, pattern: str) -> list[Path]:
    """Files and folders under `root` that match level by level, whatever their case (copies differ in it), sorted."""
    paths = [root]
    for level in pattern.split("/"):
        name = re.compile(level, re.IGNORECASE)
        children = [child for path in paths if path.is_dir() for child in path.iterdir()]
        paths = sorted(child for child in children if name.fullmatch(child.name))
    return paths


def read_label_file(path: Path, header: bool = False) -> tuple[list[str], np.ndarray]:
    """Read a comma-separated file of integers whose first column counts frames, upwards by one.

    Args:
        path: the file.
        header: whether its first line names the columns.

    Returns:
        The cells of the header ([] without one), and an int64 array (rows, columns).

    Raises:
        LabelError: text in a cell, rows of unequal length, frames that repeat, jump or go back, or no row.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = [(number, line) for number, line in enumerate(csv.reader(file), 1) if line]
    names = lines.pop(0)[1] if header and lines else []
    rows: list[list[int]] = []
    for number, line in lines:
        try:
            rows.append([int(cell) for cell in line])
        except ValueError:
            raise LabelError.at(path, number, repr(",".join(line)), "Every cell must be an integer.") from None
        if len(line) != len(names or rows[0]) or len(line) < 2:
            raise LabelError.at(path, number, f"{len(line)} cells", f"There must be {len(names or rows[0])}.")
        if len(rows) > 1 and rows[-1][0] != rows[-2][0] + 1:
            remedy = f"After frame {rows[-2][0]} comes {rows[-2][0] + 1}: each frame once, in order."
            raise LabelError.at(path, number, f"frame {rows[-1][0]}", remedy)
    if not rows:
        raise LabelError.at(path, None, "no label", "There must be one line per coded frame.")
    return names, np.array(rows)


def check_values(path: Path, values: np.ndarray, allowed: Collection[int], first_line: int = 1) -> np.ndarray:
    """Give `values`, (rows,) or (rows, columns), back if they are all allowed.

    Raises:
        LabelError: one is not; names the first.
    """
    wrong = np.argwhere(~np.isin(values, list(allowed)))
    if len(wrong):
        found = f"the value {values[tuple(wrong[0])]}"
        raise LabelError.at(path, first_line + int(wrong[0][0]), found, f"Values are {', '.join(map(str, allowed))}.")
    return values
