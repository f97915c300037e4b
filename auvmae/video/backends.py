"""Read frames with other decoders than PyAV where they give the same frames."""

import sys
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from .container import ffmpeg_path
from .reading import iter_frames


def _read_decord(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    import decord

    # one thread and one reader per call: a reader that is shared by threads or survives a fork hangs or aborts.
    # The tolerance keeps decord from replacing a damaged frame with the nearest good one.
    reader = decord.VideoReader(ffmpeg_path(path), ctx=decord.cpu(0), num_threads=1, fault_tol=1e-9)
    for index in indices.tolist():
        frame = reader[index].asnumpy()
        # decord 3.4 mistakes row padding for channels: (H, 32, 6) if a row of 32 pixels takes 192 bytes
        height, width, _ = frame.shape
        yield frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


def _read_torchcodec(path: Path, indices: np.ndarray) -> Iterator[np.ndarray]:
    if "decord" in sys.modules:  # its FFmpeg takes the place of torchcodec's, which then crashes on AV1
        raise RuntimeError("torchcodec cannot decode beside decord")
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(ffmpeg_path(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    for index in indices.tolist():
        yield decoder.get_frame_at(index).data.numpy()


JUMPS = 64

# each yields the frames of a video file at the given indices
DECODERS: dict[str, Callable[[Path, np.ndarray], Iterator[np.ndarray]]] = {
    "decord": _read_decord,
    "torchcodec": _read_torchcodec,
}


@lru_cache(maxsize=8192)
def agrees(backend: str, path: Path, size: int, changed: int, keys: tuple[int, ...]) -> bool:
    """Check that another decoder gives the frames of `iter_frames`.

    These decoders hide damage, know nothing of mirrored frames, pixel aspects and HDR, and miss frames of open GOPs. So
    all frames are compared once per process: in order, then by jumps to each keyframe and its neighbours, and to
    `JUMPS` other frames.

    Args:
        backend: Name of the decoder.
        path: Video file.
        size: Size of the file, part of the cache key.
        changed: Its modification time, part of the cache key.
        keys: Frame indices of the keyframes.
    """
    try:
        expected = np.array([zlib.crc32(frame.data) for *_, frame in iter_frames(path)])
        jumps = [key + step for key in reversed(keys) for step in (-2, 0, -1, 1) if 0 <= key + step < len(expected)]
        # elsewhere, too: a decoder may take a recovery point of H.264 for a keyframe
        anywhere = np.random.default_rng(0).permutation(len(expected))[:JUMPS]
        order = np.array([*range(len(expected)), *jumps, *anywhere])
        found = DECODERS[backend](path, order)
        sums = (zlib.crc32(np.ascontiguousarray(frame).data) for frame in found)
        return all(int(expected[index]) == value for index, value in zip(order.tolist(), sums, strict=True))
    except ImportError:
        raise
    except Exception:  # of many kinds in C++; PyAV then reads the file, or names the damaged frame
        return False
