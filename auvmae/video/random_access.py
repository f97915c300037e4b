"""Read selected frames of a video."""

import bisect
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from .container import VideoDecodeError, ffmpeg_path, frame_times, open_container, to_rgb
from .reading import image_files, iter_frames, read_image


def read_frames(path: str | Path, indices: Sequence[int] | np.ndarray, backend: str = "decord") -> np.ndarray:
    """Decode the given frames of a video.

    Other frames are decoded only where the given ones depend on them.

    Args:
        path: Video file, or folder of images named by their frame index.
        indices: Frame indices in any order, 0-based for a video file. Repeated indices are allowed.
        backend: "decord", "pyav" or "torchcodec". All backends return the same frames.

    Returns:
        uint8 array of shape (len(indices), H, W, 3), RGB, upright.

    Raises:
        VideoDecodeError: The file does not open, or one of the frames is missing or damaged.
        ValueError: `indices` is empty or has a negative index, or the backend is unknown.
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


def _read_images(folder: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    files = image_files(folder)
    for index in indices.tolist():
        if index not in files:
            known = f"its images are numbered {min(files)} to {max(files)}"
            raise VideoDecodeError.of(folder, f"the folder has no such image; {known}", index)
        yield read_image(files[index], index)


def _read(path: Path, indices: np.ndarray, backend: str) -> Iterator[np.ndarray]:
    if not _seeks_exactly(path):
        yield from _read_streamed(path, indices)
        return
    done = 0
    if len(indices) > 1 and np.diff(indices).min() > 1:
        # only PyAV can skip frames that no other frame refers to: 3 in 4 of those that `VideoWriter` writes
        for frame in _decode_at(path, indices, "NONREF"):
            yield frame
            done += 1
    if done < len(indices):
        yield from BACKENDS[backend](path, indices[done:])


def _seeks_exactly(path: Path) -> bool:
    """Check whether every backend seeks to the exact frame.

    Backends miss the frame in MPEG and WMV, and in AVI with B-frames, because AVI does not store presentation times.
    Such files are decoded from the start.
    """
    if path.suffix.lower() != ".avi":
        return path.suffix.lower() in (".mp4", ".m4v", ".mov", ".mkv", ".webm")
    with open_container(path) as container:
        return not container.streams.video[0].codec_context.has_b_frames


def _read_streamed(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    wanted, index = indices.tolist(), -1
    for index, _, frame in iter_frames(path):
        if index == wanted[0]:
            yield frame
            wanted.pop(0)
        if not wanted:
            return
    raise VideoDecodeError.of(path, f"the video has only {index + 1} frames", wanted[0])


def _read_decord(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    import decord

    done = 0
    try:
        # one thread and one reader per call: a reader that is shared by threads or survives a fork hangs or aborts.
        # The tolerance keeps decord from replacing a damaged frame with the nearest good one.
        reader = decord.VideoReader(ffmpeg_path(path), ctx=decord.cpu(0), num_threads=1, fault_tol=1e-9)
        while done < len(indices):
            frame = reader[int(indices[done])].asnumpy()
            # decord 3.4 mistakes row padding for channels: (H, 32, 6) if a row of 32 pixels takes 192 bytes
            height, width, _ = frame.shape
            yield frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)
            done += 1
    except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, IndexError, AssertionError):
        # decord 3.4 also fails on valid HEVC files; PyAV reads the same frames, or reports the damaged one
        yield from _read_pyav(path, indices[done:])


def _read_pyav(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    done = 0
    for frame in _decode_at(path, indices, "DEFAULT"):
        yield frame
        done += 1
    if done < len(indices):
        yield from _read_streamed(path, indices[done:])


def _decode_at(path: Path, indices: np.ndarray, skip_frame: str) -> Iterator[np.ndarray]:
    """Decode frames at ascending indices, up to the first that is not found.

    A frame is not found if `skip_frame` skips it, if the file has no presentation times, or if the container seeks past
    the frame (some containers seek by dts).
    """
    with open_container(path) as container:
        status = path.stat()
        times, keys = frame_times(path, status.st_size, status.st_mtime_ns)
        if not keys:
            return
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = skip_frame
        decoded: Iterator[Any] = iter(())
        last = -math.inf
        for index in indices.tolist():
            if index >= len(times):
                raise VideoDecodeError.of(path, f"the video has only {len(times)} frames", index)
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
            yield to_rgb(frame, path, index)


def _read_torchcodec(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    from torchcodec.decoders import VideoDecoder

    try:
        decoder = VideoDecoder(ffmpeg_path(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
        frames = decoder.get_frames_at(indices.tolist())
    except (RuntimeError, ValueError, IndexError):
        return _read_pyav(path, indices)
    # torchcodec 0.13 returns the next good frame in place of a damaged one
    return iter(frames.data.numpy()) if (frames.pts_seconds.diff() > 0).all() else _read_pyav(path, indices)


# each backend yields the frames of a video file at ascending, distinct indices
BACKENDS: dict[str, Callable[[Path, np.ndarray], Iterator[np.ndarray]]] = {
    "decord": _read_decord,
    "pyav": _read_pyav,
    "torchcodec": _read_torchcodec,
}
