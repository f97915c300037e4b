"""Frames out of files (and, by `VideoWriter`, into them): the one place where pixels are decoded.

A *video* is a video file or a folder of images whose integer file stems are the frame indices (`7.jpg` and `0007.jpg`
are both frame 7). Rotation metadata is applied, so that every function and backend gives upright, identical frames.
"""

import bisect
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps

from .writing import VideoWriter as VideoWriter
from .writing import ffmpeg_path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


class VideoDecodeError(OSError):
    """A video that cannot be opened, or a frame of it that cannot be decoded.

    Made of one message, as every error here, so that it passes whole from worker to parent process.
    """

    @classmethod
    def of(cls, path: str | Path, cause: object, frame: int | None = None) -> "VideoDecodeError":
        """The error that names the file, the frame where it is one, the cause and the remedy."""
        where = f"{path}" if frame is None else f"frame {frame} of {path}"
        return cls(
            f"cannot decode {where}: {cause}. Copy the file again from its source or re-encode it; if it is beyond "
            "repair, take it (and its labels) out of the data."
        )


def iter_frames(path: str | Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """Decode a whole video in order, one frame in memory at a time.

    Yields:
        (index, timestamp in seconds, uint8 frame of shape (H, W, 3)). Where the file gives no time, as for images, the
        timestamp is NaN.

    Raises:
        VideoDecodeError: the file does not open, or a frame is damaged.
    """
    path = Path(path)
    if path.is_dir():
        for index, file in image_files(path).items():
            yield index, float("nan"), _read_image(file, index)
        return
    with _open(path) as container:
        yield from decode_frames(container, path)


def decode_frames(container: Any, path: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """Decode the first video stream of an open PyAV container, as `iter_frames`; `path` is for errors."""
    index = -1
    try:
        for index, (frame, time) in enumerate(_timed(container)):
            yield index, float("nan") if time is None else time, _to_rgb(frame, path, index)
    except av.FFmpegError as error:
        raise VideoDecodeError.of(path, error, index + 1) from error
    if index < 0:
        raise VideoDecodeError.of(path, "it holds no frame")


def _timed(container: Any) -> Iterator[tuple[Any, float | None]]:
    """The frames as they are shown, and when, in seconds; None if nobody knows."""
    stream = container.streams.video[0]
    if container.format.name != "avi" or not stream.codec_context.has_b_frames:
        for frame in container.decode(video=0):
            yield frame, frame.time
        return
    # AVI says when frames are decoded alone; where there are B-frames, FFmpeg guesses wrong when they are shown. As
    # many are decoded as are shown at any time, but for the delay: the k-th is shown when the k-th is decoded.
    times: deque[float | None] = deque()
    begun = False
    for packet in container.demux(stream):
        begun = begun or packet.is_keyframe
        if packet.size and begun:  # of those before a key frame there is no picture
            times.append(None if packet.dts is None else float(packet.dts * stream.time_base))
        for frame in packet.decode():
            yield frame, times.popleft() if times else None


def num_frames(path: str | Path) -> int:
    """Number of frames of a video file (counted from its packets, nothing is decoded), or of images in a folder.

    Raises:
        VideoDecodeError: the file does not open, is cut off, or hides frames behind an edit list (a cut made without
            re-encoding), where readers disagree about which frame is which.
    """
    path = Path(path)
    if path.is_dir():
        return len(image_files(path))
    with _open(path) as container:
        packets = _packets(container, path)
    if any(packet.is_discard for packet in packets):
        raise VideoDecodeError.of(path, "it was cut without re-encoding and still holds frames from before the cut")
    if packets[-1].is_corrupt:
        raise VideoDecodeError.of(path, "the file is cut off", len(packets) - 1)
    return len(packets)


def read_frames(path: str | Path, indices: Sequence[int] | np.ndarray, backend: str = "decord") -> np.ndarray:
    """Decode the given frames of a video, and of the others only those that they are made from.

    Args:
        path: a video file, or a folder of images named by their frame index.
        indices: frame indices, 0-based for a video file, in any order, repetition allowed.
        backend: "decord", "pyav" or "torchcodec"; all give the same frames.

    Returns:
        uint8 array of shape (len(indices), H, W, 3), RGB, upright.

    Raises:
        VideoDecodeError: the file does not open, or one of the frames is absent or damaged.
        ValueError: no index, a negative one, or an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown video backend {backend!r}; choose from {', '.join(BACKENDS)}")
    numbers = np.asarray(indices)
    if numbers.ndim != 1 or not len(numbers) or numbers.dtype.kind not in "iu" or numbers.min() < 0:
        raise ValueError(f"indices must be one or more frame indices >= 0, got {indices}")
    path = Path(path)
    wanted, order = np.unique(numbers, return_inverse=True)
    frames = np.empty((0, 0, 0, 3), np.uint8)
    for position, frame in enumerate(_read_images(path, wanted) if path.is_dir() else _read(path, wanted, backend)):
        if not position:
            frames = np.empty((len(numbers), *frame.shape), np.uint8)
        if frame.shape != frames.shape[1:]:
            raise VideoDecodeError.of(path, f"its size is {frame.shape}, not {frames.shape[1:]}", int(wanted[position]))
        frames[order == position] = frame
    return frames


def image_files(folder: str | Path) -> dict[int, Path]:
    """The images of a folder by their integer stem, in ascending order; files with other names are left out."""
    files: dict[int, Path] = {}
    for file in sorted(Path(folder).iterdir()):
        if file.suffix.lower() in IMAGE_SUFFIXES and file.stem.isdecimal():
            if int(file.stem) in files:
                raise VideoDecodeError.of(folder, f"{files[int(file.stem)].name} and {file.name} are the same frame")
            files[int(file.stem)] = file
    if not files:
        raise VideoDecodeError.of(folder, "the folder holds no JPEG or PNG that is named by its frame index")
    return dict(sorted(files.items()))


def _read_images(folder: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    files = image_files(folder)
    for index in indices.tolist():
        if index not in files:
            raise VideoDecodeError.of(folder, f"there is no such image; it holds {min(files)} to {max(files)}", index)
        yield _read_image(files[index], index)


def _read_image(file: Path, index: int) -> np.ndarray:
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # grey of 16 bits, of which Pillow makes white: it cuts off at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:  # Pillow reports a broken PNG as SyntaxError
        raise VideoDecodeError.of(file, error, index) from error


def _read(path: Path, indices: np.ndarray, backend: str) -> Iterator[np.ndarray]:
    if not _seeks_exactly(path):
        yield from _read_streamed(path, indices)
        return
    done = 0
    if len(indices) > 1 and np.diff(indices).min() > 1:
        # PyAV alone can leave out the frames that no other one needs: of what `VideoWriter` writes, 3 in 4
        for frame in _decode_at(path, indices, "NONREF"):
            yield frame
            done += 1
    if done < len(indices):
        yield from BACKENDS[backend](path, indices[done:])


def _seeks_exactly(path: Path) -> bool:
    """Whether every backend finds the frame asked for. In MPEG and WMV they miss it, and in AVI if there are B-frames,
    since it has no place for the time that a frame is shown at; those are decoded from their beginning.
    """
    if path.suffix.lower() != ".avi":
        return path.suffix.lower() in (".mp4", ".m4v", ".mov", ".mkv", ".webm")
    with _open(path) as container:
        return not container.streams.video[0].codec_context.has_b_frames


def _read_streamed(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    wanted, index = indices.tolist(), -1
    for index, _, frame in iter_frames(path):
        if index == wanted[0]:
            yield frame
            wanted.pop(0)
        if not wanted:
            return
    raise VideoDecodeError.of(path, f"it has {index + 1} frames", wanted[0])


def _read_decord(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    import decord

    done = 0
    try:
        # one thread, one reader per call: a reader shared by threads or kept over a fork hangs or aborts.
        # The tolerance forbids decord to stand in the nearest good frame for a damaged one.
        reader = decord.VideoReader(ffmpeg_path(path), ctx=decord.cpu(0), num_threads=1, fault_tol=1e-9)
        while done < len(indices):
            frame = reader[int(indices[done])].asnumpy()
            # decord 3.4 takes the padding of narrow frames for channels: (H, 32, 6) if a row of 32 pixels is 192 bytes
            height, width, _ = frame.shape
            yield frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)
            done += 1
    except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, IndexError, AssertionError):
        # decord 3.4 fails on sound HEVC files too; PyAV reads the same frames, or says what is wrong with which
        yield from _read_pyav(path, indices[done:])


def _read_pyav(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    done = 0
    for frame in _decode_at(path, indices, "DEFAULT"):
        yield frame
        done += 1
    if done < len(indices):
        yield from _read_streamed(path, indices[done:])


def _decode_at(path: Path, indices: np.ndarray, skip_frame: str) -> Iterator[np.ndarray]:
    """Frames at ascending indices, up to the first that is not found: it is one of those that `skip_frame` leaves out,
    or the file does not say when its frames are shown, or seeks past it (some containers seek by dts).
    """
    with _open(path) as container:
        status = path.stat()
        times, keys = _frame_times(path, status.st_size, status.st_mtime_ns)
        if not keys:
            return
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = skip_frame
        decoded: Iterator[Any] = iter(())
        last = -math.inf
        for index in indices.tolist():
            if index >= len(times):
                raise VideoDecodeError.of(path, f"it has {len(times)} frames", index)
            key = keys[max(bisect.bisect(keys, times[index]) - 1, 0)]
            if key > last:
                container.seek(key, stream=stream)
                decoded = container.decode(video=0)
            last = times[index]
            try:
                frame = next((frame for frame in decoded if frame.pts >= last), None)
            except av.FFmpegError as error:
                raise VideoDecodeError.of(path, error, index) from error
            if frame is None or frame.pts != last:
                return
            yield _to_rgb(frame, path, index)


def _read_torchcodec(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    from torchcodec.decoders import VideoDecoder

    try:
        decoder = VideoDecoder(ffmpeg_path(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
        frames = decoder.get_frames_at(indices.tolist())
    except (RuntimeError, ValueError, IndexError):
        return _read_pyav(path, indices)
    # torchcodec 0.13 gives the next good frame for a damaged one
    return iter(frames.data.numpy()) if (frames.pts_seconds.diff() > 0).all() else _read_pyav(path, indices)


# each gives the frames of a video file at ascending, distinct indices
BACKENDS: dict[str, Callable[[Path, np.ndarray], Iterator[np.ndarray]]] = {
    "decord": _read_decord,
    "pyav": _read_pyav,
    "torchcodec": _read_torchcodec,
}


_THREAD = threading.local()


class _Packet(NamedTuple):
    pts: int | None
    is_keyframe: bool
    is_discard: bool
    is_corrupt: bool


def _open(path: Path) -> Any:
    try:
        container = av.open(ffmpeg_path(path))
    except (OSError, av.FFmpegError) as error:
        raise VideoDecodeError.of(path, error) from error
    if not container.streams.video:
        container.close()
        raise VideoDecodeError.of(path, "it has no video stream")
    container.streams.video[0].codec_context.thread_count = 1  # work is parallel over clips and files
    return container


@lru_cache(maxsize=256)  # clips of a video follow one another, and to list its packets costs more than one of them
def _frame_times(path: Path, size: int, changed: int) -> tuple[list[int], list[int]]:
    """When each frame of a file (of this size and time of change) is shown, and the keyframes among them; both empty
    where a frame does not say when.
    """
    with _open(path) as container:
        packets = [packet for packet in _packets(container, path) if not packet.is_discard]
    times = [packet.pts for packet in packets if packet.pts is not None]
    keys = [packet.pts for packet in packets if packet.pts is not None and packet.is_keyframe]
    return (sorted(times), sorted(keys)) if len(times) == len(packets) else ([], [])


def _packets(container: Any, path: Path) -> list[_Packet]:
    """What is said of the frames of a video in its packets, one each, without their data being kept or decoded."""
    packets: list[_Packet] = []
    try:
        for packet in container.demux(video=0):
            if packet.size:
                packets.append(_Packet(packet.pts, packet.is_keyframe, packet.is_discard, packet.is_corrupt))
    except av.FFmpegError as error:
        raise VideoDecodeError.of(path, error, len(packets)) from error
    if not packets:
        raise VideoDecodeError.of(path, "it holds no frame")
    return packets


def _to_rgb(frame: Any, path: Path, index: int) -> np.ndarray:
    if frame.is_corrupt:
        raise VideoDecodeError.of(path, "the frame is damaged", index)
    if not hasattr(_THREAD, "reformatter"):  # a frame's own would set up its conversion anew for every frame
        _THREAD.reformatter = VideoReformatter()
    # one thread: the threads it would start do not survive a fork, and a loader's worker would wait for them forever
    pixels = _THREAD.reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
    # the display matrix turns counterclockwise, as np.rot90 does
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))
