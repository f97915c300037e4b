"""Open a video container, and read what its packets say of the frames."""

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter


def ffmpeg_path(path: Path) -> str:
    """A path that FFmpeg takes for one: what stands before a colon in its first part would be a protocol."""
    return os.path.join(".", path)


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


class Packet(NamedTuple):
    """What a container says of one frame, without its data."""

    pts: int | None
    is_keyframe: bool
    is_discard: bool
    is_corrupt: bool


def open_container(path: Path) -> Any:
    """Open a video file with PyAV, to be decoded by one thread.

    Raises:
        VideoDecodeError: the file does not open, or holds no video stream.
    """
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
def frame_times(path: Path, size: int, changed: int) -> tuple[list[int], list[int]]:
    """When each frame of a file (of this size and time of change) is shown, and the keyframes among them; both empty
    where a frame does not say when.
    """
    with open_container(path) as container:
        packets = [packet for packet in list_packets(container, path) if not packet.is_discard]
    times = [packet.pts for packet in packets if packet.pts is not None]
    keys = [packet.pts for packet in packets if packet.pts is not None and packet.is_keyframe]
    return (sorted(times), sorted(keys)) if len(times) == len(packets) else ([], [])


def list_packets(container: Any, path: Path) -> list[Packet]:
    """What is said of the frames of a video in its packets, one each, without their data being kept or decoded."""
    packets: list[Packet] = []
    try:
        for packet in container.demux(video=0):
            if packet.size:
                packets.append(Packet(packet.pts, packet.is_keyframe, packet.is_discard, packet.is_corrupt))
    except av.FFmpegError as error:
        raise VideoDecodeError.of(path, error, len(packets)) from error
    if not packets:
        raise VideoDecodeError.of(path, "it holds no frame")
    return packets


_THREAD = threading.local()


def to_rgb(frame: Any, path: Path, index: int) -> np.ndarray:
    """Convert a decoded frame to upright RGB, uint8 of shape (H, W, 3).

    Raises:
        VideoDecodeError: the frame is damaged.
    """
    if frame.is_corrupt:
        raise VideoDecodeError.of(path, "the frame is damaged", index)
    if not hasattr(_THREAD, "reformatter"):  # a frame's own would set up its conversion anew for every frame
        _THREAD.reformatter = VideoReformatter()
    # one thread: the threads it would start do not survive a fork, and a loader's worker would wait for them forever
    pixels = _THREAD.reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
    # the display matrix turns counterclockwise, as np.rot90 does
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))
