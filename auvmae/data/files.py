"""Find the files of a dataset and number its frames."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent
from typing import TypeVar

import numpy as np

from ..faces.crop_files import has_index, read_index
from ..video.finding import find_videos as find_sources
from ..video.reading import VIDEO_SUFFIXES, image_files, num_frames

MAX_LISTED = 24

Key = TypeVar("Key")


class DatasetLayoutError(ValueError):
    """Report a folder whose layout is not that of its dataset."""

    @classmethod
    def of(cls, problem: str, expected: str, root: Path | None) -> "DatasetLayoutError":
        """Create the error that shows the expected and the actual tree under `root`."""
        found = "(no folder was given)" if root is None else f"{root}\n{_draw_tree(root)}"
        return cls(f"{problem}\n\nExpected:\n{dedent(expected).strip()}\n\nFound:\n{found}")


class LabelError(ValueError):
    """Report a label file that cannot be read or does not fit its video."""

    @classmethod
    def at(cls, path: Path, line: int | None, found: str, remedy: str) -> "LabelError":
        """Create the error that names the file, the line, the value found and the remedy.

        Lines count from 1; None stands for the whole file.
        """
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
"""Pattern of the suffix of a video file: AVI as distributed, MP4 for face crops."""


def find_videos(root: Path) -> list[Path]:
    """Find the video files and image folders under `root` recursively, sorted.

    Hidden files are ignored.
    """
    # `find_sources` pairs each video with the path of its crop, which is not needed here
    return sorted(video for video, _ in find_sources(root, Path(os.devnull)))


def frame_numbers(video: Path) -> np.ndarray:
    """Return the frame numbers of a video, int64, ascending.

    A folder of images and its face crop are numbered by the images, any other video from 0.
    """
    if video.is_dir():
        return np.array(list(image_files(video)))
    if has_index(video):
        return read_index(video).frame
    return np.arange(num_frames(video))


def find_files(root: Path, pattern: str) -> list[Path]:
    """Find files and folders under `root` whose path matches a pattern, sorted.

    The pattern is matched level by level. The case is ignored, because it differs between copies of a dataset.
    """
    paths = [root]
    for level in pattern.split("/"):
        name = re.compile(level, re.IGNORECASE)
        children = [child for path in paths if path.is_dir() for child in path.iterdir()]
        paths = sorted(child for child in children if name.fullmatch(child.name))
    return paths


def index_files(paths: Iterable[tuple[Key, Path]]) -> dict[Key, Path]:
    """Map the key of each file to the file.

    Raises:
        DatasetLayoutError: Two files have the same key.
    """
    found: dict[Key, Path] = {}
    for key, path in paths:
        if found.setdefault(key, path) != path:
            raise DatasetLayoutError(f"{found[key]} and {path} are the same recording. Keep one of them.")
    return found
