"""Decode the frames of videos, and find videos in folders.

A *video* is a video file, or a folder of images whose integer file stems are the frame indices (`7.jpg` and `0007.jpg`
are both frame 7). Rotation metadata is applied, so that every function and backend returns the same upright frames.
"""

import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

from .container import VideoDecodeError, open_container, video_stream
from .damage import judge
from .packets import list_packets
from .pixels import to_rgb

Frame = tuple[int, float, np.ndarray]
"""One item of `iter_frames`: index, timestamp in seconds, uint8 pixels of shape (H, W, 3)."""

IMAGE_FOLDER_FPS = 25  # images have no timestamps; BP4D's frame rate
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


def iter_frames(path: str | Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """Decode a whole video in order, one frame in memory at a time.

    Yields:
        (index, timestamp in seconds, uint8 frame of shape (H, W, 3)). The timestamp is NaN for images and for files
        without timestamps.

    Raises:
        VideoDecodeError: The file does not open, or a frame is damaged.
    """
    path = Path(path)
    if path.is_dir():
        for index, file in image_files(path).items():
            yield index, float("nan"), read_image(file, index)
        return
    with open_container(path) as container:
        yield from decode_frames(container, path)


def decode_frames(container: Any, path: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """Decode the first video stream of an open PyAV container.

    The items are those of `iter_frames`. `path` is used in error messages only.
    """
    index, stream = -1, video_stream(container)
    try:
        for index, (frame, damaged, time) in enumerate(_timed(container)):
            yield index, float("nan") if time is None else time, to_rgb(frame, stream, path, index, damaged)
    except av.FFmpegError as error:
        raise VideoDecodeError.of(path, error, index + 1) from error
    if index < 0:
        raise VideoDecodeError.of(path, "it contains no frames")


def _timed(container: Any) -> Iterator[tuple[Any, bool, float | None]]:
    """Yield frames in presentation order, whether they are damaged, and times in seconds (None if unknown)."""
    stream = video_stream(container)
    if container.format.name != "avi" or not stream.codec_context.has_b_frames:
        for frame, damaged in judge(container.decode(stream)):
            yield frame, damaged, frame.time
        return
    # AVI stores decoding times only, and with B-frames FFmpeg derives wrong presentation times from them. Up to a
    # constant delay, the k-th frame is shown when the k-th packet is decoded.
    times: deque[float | None] = deque()

    def decode() -> Iterator[Any]:
        begun = False
        for packet in container.demux(stream):
            begun = begun or packet.is_keyframe
            if packet.size and begun:  # packets before the first keyframe give no frame
                times.append(None if packet.dts is None else float(packet.dts * stream.time_base))
            yield from packet.decode()

    for frame, damaged in judge(decode()):
        yield frame, damaged, times.popleft() if times else None


def num_frames(path: str | Path) -> int:
    """Count the frames of a video file, or the images of a folder.

    Frames are counted from the packets, without decoding.

    Raises:
        VideoDecodeError: The file does not open, is truncated, or hides frames behind an edit list. An edit list is
            left by a cut without re-encoding, and readers then disagree about the frame indices.
    """
    path = Path(path)
    if path.is_dir():
        return len(image_files(path))
    with open_container(path) as container:
        packets = list_packets(container, path)
    if any(packet.is_discard for packet in packets):
        raise VideoDecodeError.of(path, "it was cut without re-encoding and still contains frames from before the cut")
    if packets[-1].is_corrupt:
        raise VideoDecodeError.of(path, "the file is truncated", len(packets) - 1)
    return len(packets)


def image_files(folder: str | Path) -> dict[int, Path]:
    """Map integer file stems to images, in ascending order; skip other files."""
    files: dict[int, Path] = {}
    for file in sorted(Path(folder).iterdir()):
        if file.suffix.lower() in IMAGE_SUFFIXES and file.stem.isdecimal() and file.is_file():
            if int(file.stem) in files:
                raise VideoDecodeError.of(folder, f"{files[int(file.stem)].name} and {file.name} are the same frame")
            files[int(file.stem)] = file
    if not files:
        raise VideoDecodeError.of(folder, "the folder contains no JPEG or PNG file named by its frame index")
    return dict(sorted(files.items()))


def read_image(file: Path, index: int) -> np.ndarray:
    """Decode one image to upright uint8 of shape (H, W, 3); `index` is used in errors."""
    if not file.is_file():  # opening a named pipe would wait forever
        raise VideoDecodeError.of(file, "it is not a regular file", index)
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise VideoDecodeError.of(file, error, index) from error


def frame_rate(source: Path) -> Fraction:
    """Return the mean frame rate of a video, or `IMAGE_FOLDER_FPS` for images."""
    if source.is_dir():
        return Fraction(IMAGE_FOLDER_FPS)
    with open_container(source) as container:
        return Fraction(video_stream(container).average_rate or IMAGE_FOLDER_FPS)


def find_videos(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """List the videos under `source`, each with the path of its crop.

    Videos are video files and image folders; `source` itself may be one.
    """
    if source.is_file():
        return [(source, output / f"{source.stem}.mp4")]
    videos = []
    visited = {output.resolve()}
    for path, folders, files in os.walk(source, followlinks=True):
        here, real = Path(path), Path(path).resolve()
        if real in visited:  # the output folder, or a link back into the tree
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        there = output / here.relative_to(source)
        names = [Path(file) for file in sorted(files) if not file.startswith(".") and (here / file).is_file()]
        if any(name.suffix.lower() in IMAGE_SUFFIXES and name.stem.isdecimal() for name in names):
            within = there if here != source else output / real.name
            videos.append((here, within.with_name(f"{within.name}.mp4")))
        videos += [(here / name, there / f"{name.stem}.mp4") for name in names if name.suffix.lower() in VIDEO_SUFFIXES]
    return videos
