"""Where the videos of a data set are: files and image folders found by pattern, and the numbers of their frames."""

import os
import re
from pathlib import Path

import numpy as np

from ..faces.crop_files import index_path, read_index
from ..faces.crop_folder import find_videos as find_sources
from ..video.reading import VIDEO_SUFFIXES, image_files, num_frames

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
