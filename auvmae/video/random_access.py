"""Read selected frames of a video."""

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from .backends import DECODERS, agrees
from .container import VideoDecodeError, open_container, video_stream
from .damage.judge import DAMAGED, decode, judge
from .packets import FrameTable, Key, frame_table, identify
from .pixels import to_rgb
from .reading import image_files, iter_frames, read_image

BACKENDS = ("pyav", *DECODERS)


def read_frames(path: str | Path, indices: Sequence[int] | np.ndarray, backend: str = "pyav") -> np.ndarray:
    """Decode the given frames of a video.

    Other frames are decoded only where the given ones depend on them.

    Args:
        path: Video file, or folder of images named by their frame index.
        indices: Frame indices in any order, 0-based for a video file. Repeated indices are allowed.
        backend: "pyav", "decord" or "torchcodec". All return the same frames: PyAV decodes where the other two are not
            proven to do so. Their proof decodes the file twice, once per process.

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
            sizes = " but {} x {} in frame {}".format(*frames.shape[2:0:-1], wanted[0])
            size = "its size is {1} x {0}".format(*frame.shape)
            raise VideoDecodeError.of(path, size + sizes, int(wanted[position]))
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
    if not path.is_file():
        raise VideoDecodeError.of(path, "there is no such file")
    state = path.stat().st_size, path.stat().st_mtime_ns
    table = frame_table(path, *state)
    if not len(table.times):
        yield from _read_streamed(path, indices)
        return
    if indices[-1] >= len(table.times):
        raise VideoDecodeError.of(path, f"the video has only {len(table.times)} frames", int(indices[-1]))
    if backend != "pyav" and agrees(backend, path, *state, tuple(key.frame for key in table.keys)):
        yield from DECODERS[backend](path, indices)
        return
    done = 0
    # frames that no other frame refers to can be skipped: 3 in 4 of those that `VideoWriter` writes
    for skip_frame in ("NONREF", "DEFAULT") if len(indices) > 1 and np.diff(indices).min() > 1 else ("DEFAULT",):
        for frame in _decode_at(path, table, indices[done:], skip_frame):
            yield frame
            done += 1
        if done == len(indices):
            return
    yield from _read_streamed(path, indices[done:])


def _read_streamed(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    wanted, index = indices.tolist(), -1
    for index, _, frame in iter_frames(path):
        if index == wanted[0]:
            yield frame
            wanted.pop(0)
        if not wanted:
            return
    raise VideoDecodeError.of(path, f"the video has only {index + 1} frames", wanted[0])


def _decode_at(path: Path, table: FrameTable, indices: np.ndarray, skip_frame: str) -> Iterator[np.ndarray]:
    """Decode frames at ascending indices, up to the first that is not found.

    A frame is not found if `skip_frame` skips it, if the container seeks past its keyframe, or if decoding gives other
    frames than the table says.
    """
    starts = [key.frame for key in table.keys]
    with open_container(path) as container:
        stream = video_stream(container)
        stream.codec_context.skip_frame = skip_frame
        frames: Iterator[tuple[Any, bool]] = iter(())
        at = -2  # index of the last decoded frame
        for index in indices.tolist():
            if index < starts[0]:  # the first keyframe is damaged
                return
            key = table.keys[bisect.bisect(starts, index) - 1]
            if key.frame > at + 1:
                frames, at = judge(_decode_from(container, stream, key)), key.frame - 1
            while at < index:
                try:
                    frame, damaged = next(frames, (None, False))
                except av.FFmpegError as error:
                    raise VideoDecodeError.of(path, error, index) from error
                if frame is None or frame.pts is None:
                    return
                if frame.pts < key.pts:  # it refers to frames before the keyframe
                    continue
                at += 1
                if skip_frame == "NONREF":
                    at = int(np.searchsorted(table.times, frame.pts))
                if at > index or table.times[at] != frame.pts:
                    return
            if damaged:
                raise VideoDecodeError.of(path, DAMAGED, index)
            yield to_rgb(frame, stream)


def _decode_from(container: Any, stream: Any, key: Key) -> Iterator[Any]:
    for time in (key.pts, key.dts):  # some containers seek by one, some by the other
        if time is None:
            return
        container.seek(time, stream=stream)
        packets = container.demux(stream)
        for packet in packets:
            if identify(packet) == key.packet:
                yield from decode(packet)
                for later in packets:
                    yield from decode(later)
                return
            if packet.dts is not None and key.dts is not None and packet.dts > key.dts:
                break
