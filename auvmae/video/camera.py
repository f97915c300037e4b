"""A camera, a pipe or any other live source that PyAV opens, as a stream of frames and as rows of a table."""

import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from ..system.read_ahead import read_ahead
from .container import VideoDecodeError
from .reading import Frame, decode_frames

if TYPE_CHECKING:
    pass

WAIT = 0.005
"""Seconds after which a camera that has no frame yet is asked again."""

AHEAD = 8
"""Frames of a live source that may wait to be taken; a camera's oldest is dropped for the next."""


@dataclass(frozen=True)
class Device:
    """What is opened.

    Args:
        name: for PyAV: a device, path or URL.
        format: FFmpeg's name of the way to read devices; None for what is no device.
        options: FFmpeg's, for that format.
    """

    name: str
    format: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, platform: str = sys.platform) -> "Device":
        """The device that a user means.

        Args:
            name: "" for the first camera; a camera's number or device ("1", "/dev/video1", on Windows "video=NAME");
                "-" for standard input; or a file, named pipe or URL.
            platform: as `sys.platform`.

        Raises:
            ValueError: on Windows cameras have names, no numbers.
        """
        if name == "-":
            return cls("pipe:0")
        if platform == "win32":
            if not name or name.isdecimal():
                raise ValueError(
                    "on Windows a camera is named: --webcam 'video=NAME'; "
                    "`ffmpeg -list_devices true -f dshow -i dummy` lists the names"
                )
            return cls(name, "dshow") if name.startswith("video=") else cls(name)
        if platform == "darwin":
            # avfoundation's own default of 29.97 is a rate that most cameras refuse
            camera = not name or name.isdecimal()
            return cls(name or "0", "avfoundation", (("framerate", "30"),)) if camera else cls(name)
        if not name or name.isdecimal():
            name = f"/dev/video{name or 0}"
        return cls(name, "v4l2") if name.startswith("/dev/video") else cls(name)


def live_frames(device: Device, stopped: Callable[[], bool] = lambda: False) -> Iterator[Frame]:
    """Stream the frames of a live source, read by a thread of its own.

    Frames of a camera for which there is no time are dropped, the oldest first: their numbers are missing.

    Args:
        device: what to open.
        stopped: once it says so, the stream ends.

    Yields:
        Index, timestamp in seconds, uint8 frame (H, W, 3). A camera's clock begins with its first frame.

    Raises:
        VideoDecodeError: the source does not open, or a frame of it is damaged.
    """
    return read_ahead(_decode(device), AHEAD, drop=device.format is not None, stopped=stopped)


class _WaitingContainer:
    """A container that waits where it has no frame yet: cameras of macOS say so between any two."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def decode(self, **streams: int) -> Iterator[Any]:
        while True:
            try:
                yield from self._container.decode(**streams)
                return
            except BlockingIOError:
                time.sleep(WAIT)


def _decode(device: Device) -> Generator[Frame, None, None]:
    try:
        container = av.open(device.name, format=device.format, options=dict(device.options))
    except (OSError, ValueError, av.FFmpegError) as error:
        raise VideoDecodeError(f"cannot open {device.name} as a live source: {error}") from error
    start = 0.0
    with container:
        if not container.streams.video:
            raise VideoDecodeError(f"cannot open {device.name} as a live source: it has no video stream")
        for index, timestamp, frame in decode_frames(_WaitingContainer(container), Path(device.name)):
            if device.format is not None and not index:
                start = timestamp
            yield index, timestamp - start, frame
