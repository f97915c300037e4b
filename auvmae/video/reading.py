"""Decode the frames of videos.

A *video* is a video file, or a folder of images numbered by their frame indices (`7.jpg` and `0007.jpg` are both
frame 7). The number may follow a prefix that is the same for all (`frame_0007.png`). Rotation metadata is applied, so
that every function and backend returns the same upright frames.
"""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from heapq import heappop, heappush
from math import inf
from pathlib import Path
from typing import Any, overload

import av
import numpy as np
from PIL import Image, ImageOps

from .clock import Clock
from .container import VideoDecodeError, open_container, video_stream
from .damage.completeness import missing_end
from .damage.dropped import DROPPING_CODECS, DroppedFrames
from .damage.faults import Faults
from .damage.judge import DAMAGED, decode, demux, judge
from .packets import list_packets
from .pixels import to_rgb

Frame = tuple[int, float, np.ndarray | None]
"""One item of `iter_frames`: index, timestamp in seconds, uint8 pixels of shape (H, W, 3); None if it is damaged."""

IMAGE_FOLDER_FPS = 25  # images have no timestamps; BP4D's frame rate
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"),
    *(".mts", ".m2ts", ".ts", ".3gp", ".3g2", ".flv", ".f4v", ".vob", ".ogv", ".asf", ".mxf", ".dv"),
    *(".m2v", ".mpe", ".mod", ".tod", ".divx", ".insv", ".qt"),
)


@overload
def iter_frames(path: str | Path) -> Iterator[tuple[int, float, np.ndarray]]: ...
@overload
def iter_frames(path: str | Path, faults: Faults | None) -> Iterator[Frame]: ...
def iter_frames(path: str | Path, faults: Faults | None = None) -> Iterator[Any]:
    """Decode a whole video in order, one frame in memory at a time.

    Args:
        path: Video file, or folder of images named by their frame index.
        faults: Collects what is wrong with the recording. Without it, a fault raises.

    Yields:
        (index, timestamp in seconds, uint8 frame of shape (H, W, 3)). The timestamp never goes back: a clock that
        restarts is continued. It is NaN for images and for files without timestamps. With `faults`, the pixels of a
        damaged frame are None.

    Raises:
        VideoDecodeError: The file does not open, or no frame can be decoded; without `faults`, also if one frame is
            damaged or the file is cut off.
    """
    path = Path(path)
    if path.is_dir():
        for number, (index, file) in enumerate(image_files(path).items(), start=1):
            yield index, float("nan"), _read_or_note(file, index, faults)
            if faults is not None:
                faults.frames = number
        _check_any_sound(path, faults)
        return
    with open_container(path) as container:
        cut = missing_end(path, container.format.name)
        yield from decode_frames(container, path, faults)
    _check_any_sound(path, faults)
    if faults is not None:
        faults.cut = faults.cut or cut
    elif cut:
        raise VideoDecodeError.of(path, f"the file is cut off: {cut}")


def _check_any_sound(path: Path, faults: Faults | None) -> None:
    if faults is not None and len(faults.damaged) == faults.frames:
        raise VideoDecodeError.of(path, f"none of its {faults.frames} frames can be decoded")


def _read_or_note(file: Path, index: int, faults: Faults | None) -> np.ndarray | None:
    try:
        return read_image(file, index)
    except VideoDecodeError:
        if faults is None:
            raise
        faults.damaged.append(index)
        return None


def decode_frames(container: Any, path: Path, faults: Faults | None = None) -> Iterator[Any]:
    """Decode the video stream of an open PyAV container.

    The items and the errors are those of `iter_frames`. `path` is used in error messages only.
    """
    stream = video_stream(container)
    clock = Clock(1 / float(stream.average_rate or IMAGE_FOLDER_FPS))
    found = Faults() if faults is None else faults
    try:
        for index, (frame, damage, time) in enumerate(_timed(container, stream, found)):
            found.frames = index + 1
            seconds = clock.follow(time)
            if clock.restarted:
                found.restarts.append(index)
            if damage and faults is None:
                raise VideoDecodeError.of(path, damage, index)
            if damage:
                found.damaged.append(index)
            yield index, seconds, None if damage else to_rgb(frame, stream)
    except av.FFmpegError as error:  # of the container: its frames are whole up to here
        if faults is None:
            raise VideoDecodeError.of(path, error, found.frames) from error
        faults.cut = f"{error}"
    if not found.frames:
        raise VideoDecodeError.of(path, "it contains no frames")


def _timed(container: Any, stream: Any, found: Faults) -> Iterator[tuple[Any, str, float | None]]:
    """Yield frames in presentation order, their damage in words, and their seconds.

    A frame that the decoder refuses is None. Its time is that of its packet.
    """
    # AVI stores decoding times only, and with B-frames FFmpeg derives wrong presentation times from them. Up to a
    # constant delay, the k-th frame is shown when the k-th packet is decoded.
    by_decoding = container.format.name == "avi" and stream.codec_context.has_b_frames
    decoding: deque[float | None] = deque()
    refused: list[tuple[float, str]] = []  # time and cause of the packets without a frame, a heap
    dropping = stream.codec_context.name in DROPPING_CODECS
    dropped = DroppedFrames()

    def decoded() -> Iterator[Any]:
        begun = _knows_frames(container, stream)
        for packet in demux(container, stream):
            begun = begun or packet.is_keyframe
            found.headless += bool(packet.size) and not begun and not packet.is_discard
            if packet.size and begun:  # packets before the first keyframe give no frame
                decoding.append(None if packet.dts is None else float(packet.dts * stream.time_base))
            try:
                frames = decode(packet)
            except av.FFmpegError as error:
                frames = []
                if begun and packet.size and not packet.is_discard:
                    timed = packet.pts is not None and not by_decoding
                    heappush(refused, (float(packet.pts * stream.time_base) if timed else -inf, str(error)))
                    frames = [None]
                    dropped.begin()
            else:
                if dropping and begun and packet.size and packet.pts is not None and not packet.is_discard:
                    dropped.take(packet.pts)
            yield from frames

    def next_time(time: float | None) -> float | None:
        if by_decoding:
            return decoding.popleft() if decoding else None
        return time

    def refused_before(time: float | None) -> Iterator[tuple[Any, str, float | None]]:
        while refused and (time is None or refused[0][0] < time):
            known, cause = heappop(refused)
            yield None, cause, next_time(None if known == -inf else known)

    def refuse(times: list[int]) -> None:
        for pts in times:
            heappush(refused, (float(pts * stream.time_base), DAMAGED))

    for frame, damaged in judge(decoded()):
        if frame is not None:
            if dropping and frame.pts is not None:
                refuse(dropped.give(frame.pts))
            yield from refused_before(frame.time)
            yield frame, DAMAGED * damaged, next_time(frame.time)
    refuse(dropped.end())
    yield from refused_before(None)


def _knows_frames(container: Any, stream: Any) -> bool:
    """Tell whether the header lists all frames.

    Those before the first sound keyframe then count, too.
    """
    return stream.frames > 0 and container.format.name != "avi"


def num_frames(path: str | Path, partly: bool = False) -> int:
    """Count the frames of a video file, or the images of a folder.

    Frames are counted from the packets, without decoding. Those that an edit list hides, and those before the first
    keyframe, are not shown and do not count.

    Args:
        path: Video file, or folder of images.
        partly: Count a file that is cut off as far as it goes.

    Raises:
        VideoDecodeError: The file does not open; without `partly`, also if it is cut off.
    """
    path = Path(path)
    if path.is_dir():
        return len(image_files(path))
    with open_container(path) as container:
        packets = list_packets(container, path, partly)
        cut = "its last frame is incomplete" * packets[-1].is_corrupt or missing_end(path, container.format.name)
        counted = _knows_frames(container, video_stream(container))
    if cut and not partly:
        raise VideoDecodeError.of(path, f"the file is cut off: {cut}", len(packets) - 1)
    keys = (number for number, packet in enumerate(packets) if packet.is_keyframe)
    first = 0 if counted else next(keys, 0)
    return sum(not packet.is_discard for packet in packets[first:])


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
    """Split the name of an image into prefix and frame index; None without index."""
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
