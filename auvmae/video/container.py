"""Open video containers, and read frame metadata from their packets."""

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter


def ffmpeg_path(path: Path) -> str:
    """Return a form of the path that FFmpeg does not mistake for a URL.

    In a bare file name, FFmpeg takes the text before a colon for a protocol.
    """
    return os.path.join(".", path)


class VideoDecodeError(OSError):
    """Report a video that cannot be opened, or a frame that cannot be decoded.

    The only argument is the message, so that the error survives pickling from a worker to its parent process.
    """

    @classmethod
    def of(cls, path: str | Path, cause: object, frame: int | None = None) -> "VideoDecodeError":
        """Build the error from the file, the cause and, for a single frame, its index."""
        where = f"{path}" if frame is None else f"frame {frame} of {path}"
        return cls(
            f"cannot decode {where}: {cause}. Copy the file again from its source or re-encode it; if neither helps, "
            "remove the file and its labels from the dataset."
        )


class Packet(NamedTuple):
    """Hold the metadata of one frame, without its data."""

    pts: int | None
    is_keyframe: bool
    is_discard: bool
    is_corrupt: bool


def open_container(path: Path) -> Any:
    """Open a video file with PyAV for single-threaded decoding.

    Raises:
        VideoDecodeError: The file does not open, or contains no video stream.
    """
    try:
        container = av.open(ffmpeg_path(path))
    except (OSError, av.FFmpegError) as error:
        raise VideoDecodeError.of(path, error) from error
    if not container.streams.video:
        container.close()
        raise VideoDecodeError.of(path, "it has no video stream")
    container.streams.video[0].codec_context.thread_count = 1  # clips and files are already processed in parallel
    return container


@lru_cache(maxsize=256)  # listing the packets costs more than reading a clip, and a video has many clips
def frame_times(path: Path, size: int, changed: int) -> tuple[list[int], list[int]]:
    """List the presentation times of all frames and of the keyframes.

    Both lists are in ascending order, and empty if any frame has no presentation time. The size and the modification
    time of the file are part of the cache key.
    """
    with open_container(path) as container:
        packets = [packet for packet in list_packets(container, path) if not packet.is_discard]
    times = [packet.pts for packet in packets if packet.pts is not None]
    keys = [packet.pts for packet in packets if packet.pts is not None and packet.is_keyframe]
    return (sorted(times), sorted(keys)) if len(times) == len(packets) else ([], [])


def list_packets(container: Any, path: Path) -> list[Packet]:
    """List one packet per frame, without decoding the frames or keeping their data."""
    packets: list[Packet] = []
    try:
        for packet in container.demux(video=0):
            if packet.size:
                packets.append(Packet(packet.pts, packet.is_keyframe, packet.is_discard, packet.is_corrupt))
    except av.FFmpegError as error:
        raise VideoDecodeError.of(path, error, len(packets)) from error
    if not packets:
        raise VideoDecodeError.of(path, "it contains no frames")
    return packets


_THREAD = threading.local()


def to_rgb(frame: Any, path: Path, index: int) -> np.ndarray:
    """Convert a decoded frame to upright RGB, uint8 of shape (H, W, 3).

    Raises:
        VideoDecodeError: The frame is damaged.
    """
    if frame.is_corrupt:
        raise VideoDecodeError.of(path, "the frame is damaged", index)
    if not hasattr(_THREAD, "reformatter"):  # `frame.reformat` would set up the conversion again for every frame
        _THREAD.reformatter = VideoReformatter()
    # one thread: threads do not survive a fork, and a worker of a data loader would wait for them forever
    pixels = _THREAD.reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
    # the display matrix rotates counterclockwise, as np.rot90 does
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))
