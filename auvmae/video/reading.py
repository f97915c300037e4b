"""Decode the frames of videos.

A *video* is a video file, or a folder of images numbered by their frame indices (`7.jpg` and `0007.jpg` are both
frame 7). The number may follow a prefix that is the same for all (`frame_0007.png`). Rotation metadata is applied, so
that every function and backend returns the same upright frames.
"""

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
VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"),
    *(".mts", ".m2ts", ".ts", ".3gp", ".3g2", ".flv", ".f4v", ".vob", ".ogv", ".asf", ".mxf", ".dv"),
    *(".m2v", ".mpe", ".mod", ".tod", ".divx", ".insv", ".qt"),
)


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
    """Map frame indices to images, in ascending order; skip other files, and pipes.

    The names of the images are integers. In a folder without such names, they are integers after a common prefix.

    Raises:
        VideoDecodeError: No image is numbered, their prefixes differ, or two have the same number.
    """
    series: dict[str, dict[int, Path]] = {}
    for file in sorted(Path(folder).iterdir()):
        if (found := image_number(file)) and file.is_file():
            prefix, number = found
            files = series.setdefault(prefix, {})
            if number in files:
                raise VideoDecodeError.of(folder, f"{files[number].name} and {file.name} are the same frame")
            files[number] = file
    if not series:
        raise VideoDecodeError.of(folder, "the folder contains no JPEG or PNG file named by its frame index")
    if "" not in series and len(series) > 1:
        first, second, *_ = (next(iter(files.values())).name for files in series.values())
        raise VideoDecodeError.of(folder, f"{first} and {second} belong to different series of images")
    files = series.get("") or next(iter(series.values()))
    return dict(sorted(files.items()))


def image_number(file: Path) -> tuple[str, int] | None:
    """Split the name of an image into its prefix and its frame index, None if it has none."""
    if file.suffix.lower() not in IMAGE_SUFFIXES or file.name.startswith("."):
        return None
    prefix = "" if file.stem.isdecimal() else file.stem.rstrip("0123456789")
    number = file.stem[len(prefix) :]
    return (prefix, int(number)) if number else None


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
