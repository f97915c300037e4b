"""Stream frames from a camera, a pipe or any other live source that PyAV opens."""

import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from ..system.read_ahead import read_ahead
from .container import VideoDecodeError, video_stream
from .reading import Frame, decode_frames

WAIT = 0.005
"""Seconds to wait before polling a camera without a new frame again."""

AHEAD = 8
"""Maximum number of buffered frames of a live source. When the buffer is full, a camera drops its oldest frame."""


@dataclass(frozen=True)
class Device:
    """Describe a live source to open with PyAV.

    Args:
        name: Device, path or URL, as PyAV expects it.
        format: FFmpeg input format of a camera; None for files, pipes and URLs.
        options: FFmpeg options of the input format.
    """

    name: str
    format: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, platform: str = sys.platform) -> "Device":
        """Resolve the name given by a user.

        Args:
            name: "" for the first camera; a camera's number or device ("1", "/dev/video1", on Windows "video=NAME");
                "-" for standard input; or a file, named pipe or URL.
            platform: Platform name, as in `sys.platform`.

        Raises:
            ValueError: `name` is "" or a number on Windows, where cameras have names only.
        """
        if name == "-":
            return cls("pipe:0")
        if platform == "win32":
            if not name or name.isdecimal():
                raise ValueError(
                    "on Windows, cameras are selected by name: pass --webcam 'video=NAME'. "
                    "`ffmpeg -list_devices true -f dshow -i dummy` lists the names"
                )
            return cls(name, "dshow") if name.startswith("video=") else cls(name)
        if platform == "darwin":
            # most cameras refuse avfoundation's default rate of 29.97
            camera = not name or name.isdecimal()
            return cls(name or "0", "avfoundation", (("framerate", "30"),)) if camera else cls(name)
        if not name or name.isdecimal():
            name = f"/dev/video{name or 0}"
        return cls(name, "v4l2") if name.startswith("/dev/video") else cls(name)


def live_frames(device: Device, stopped: Callable[[], bool] = lambda: False) -> Iterator[Frame]:
    """Stream the frames of a live source, read in a background thread.

    If the consumer falls behind a camera, the oldest frames are dropped and their indices are missing.

    Args:
        device: Source to open.
        stopped: The stream ends once this returns True.

    Yields:
        Index, timestamp in seconds, uint8 frame (H, W, 3). A camera's clock starts at its first frame.

    Raises:
        VideoDecodeError: The source does not open, or one of its frames is damaged.
    """
    return read_ahead(_decode(device), AHEAD, drop=device.format is not None, stopped=stopped)


class _WaitingContainer:
    """Wrap a container, and wait while it has no frame yet.

    Cameras on macOS report between any two frames that no frame is available.
    """

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, stream: Any) -> Iterator[Any]:
        while True:
            try:
                yield from self._container.demux(stream)
                return
            except BlockingIOError:
                time.sleep(WAIT)


def _decode(device: Device) -> Generator[Frame, None, None]:
    try:
        container = av.open(device.name, format=device.format, options=dict(device.options), metadata_errors="replace")
    except (OSError, ValueError, av.FFmpegError) as error:
        raise VideoDecodeError(f"cannot open {device.name} as a live source: {error}") from error
    start = 0.0
    with container:
        if video_stream(container) is None:
            raise VideoDecodeError(f"cannot open {device.name} as a live source: it has no video stream")
        for index, timestamp, frame in decode_frames(_WaitingContainer(container), Path(device.name)):
            if device.format is not None and not index:
                start = timestamp
            yield index, timestamp - start, frame
