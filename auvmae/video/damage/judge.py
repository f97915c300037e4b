"""Judge which packets and decoded frames are damaged."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.logging
from av.video.frame import PictureType

MAX_DELAY = 8
"""Most frames that are held back until the frame that they refer to is shown."""

LOGGING_CODECS = {"cinepak", "dvvideo", "dnxhd", "ffv1", "ffvhuff", "huffyuv", "mjpeg", "prores", "utvideo"}
"""Codecs whose decoders log damage, and hand on the frame as if it were sound."""

LOGGING_CONTAINERS = {"matroska,webm"}
"""Containers whose demuxers log damage, and resume somewhere behind it, so that frames are missing."""

DAMAGED = "the frame is damaged or refers to a damaged one"
"""Reason why a frame is not returned."""

WHOLE_PACKETS = "mov,mp4,m4a,3gp,3g2,mj2"
"""Container whose packets are marked as damaged only where the file ends within one, or its tables are wrong."""

INVALID_DATA = 1094995529
"""FFmpeg's number of the error."""

_lock = threading.Lock()
_listeners = 0


def judge(frames: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Tell sound frames from damaged ones, for all readers alike.

    Decoders conceal damage, and then continue from the smeared frame without a word. So all frames that are decoded
    after a damaged one count as damaged, up to the next keyframe. A B-frame may refer to the frame that follows it, and
    is held back until that one is known.

    Args:
        frames: Frames of PyAV as the decoder returns them, in the order of presentation; None for a packet that it
            refuses.

    Yields:
        Frame (or None), and whether it is damaged, in the same order.

    Raises:
        av.FFmpegError: The decoder gave up; the frames before have been yielded.
    """
    held: list[tuple[Any, bool]] = []
    smeared, failure, frames = False, None, iter(frames)
    while failure is None:
        try:
            frame = next(frames)
        except StopIteration:
            break
        except av.FFmpegError as error:
            failure = error
            break
        if frame is None or frame.is_corrupt:
            smeared = True
            held = [(before, damaged or _decoded_later(before, frame)) for before, damaged in held]
        elif frame.key_frame and frame.pict_type == PictureType.I:
            smeared = False
        held.append((frame, smeared))
        if frame is not None and (frame.pict_type != PictureType.B or len(held) > MAX_DELAY):
            released = len(held) if frame.pict_type != PictureType.B else 1
            yield from held[:released]
            del held[:released]
    yield from held
    if failure is not None:
        raise failure


def _decoded_later(frame: Any, damaged: Any) -> bool:
    if frame is None or damaged is None:
        return False
    return frame.dts is None or damaged.dts is None or frame.dts > damaged.dts


def demux(container: Any, stream: Any) -> Iterator[Any]:
    """Read the packets of a stream like `container.demux`.

    Raises:
        av.FFmpegError: The container is damaged here, even if FFmpeg would resume behind the damage.
    """
    packets = container.demux(stream)
    if container.format.name not in LOGGING_CONTAINERS:
        for packet in packets:
            if packet.is_corrupt and container.format.name == WHOLE_PACKETS:
                raise av.InvalidDataError(
                    INVALID_DATA, "the file ends within a frame, or its table of frames is damaged"
                )
            yield packet
        return
    while True:
        with _listening():
            packet = next(packets, None)
        if packet is None:
            return
        yield packet


def decode(packet: Any) -> list[Any]:
    """Decode a packet like `packet.decode`.

    Raises:
        av.FFmpegError: The packet is damaged, even if the decoder would conceal it.
    """
    if packet.stream.codec_context.name not in LOGGING_CODECS:
        return packet.decode()
    with _listening():
        return packet.decode()


@contextmanager
def _listening() -> Iterator[None]:
    """Raise the first error that FFmpeg logs in this thread."""
    global _listeners
    with _lock:
        _listeners += 1
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)  # a file that is read twice complains twice
    try:
        with av.logging.Capture() as said:
            yield
    finally:
        with _lock:
            _listeners -= 1
            if not _listeners:
                av.logging.set_level(None)  # as PyAV is imported
    errors = [text.strip() for level, _, text in said if level <= av.logging.ERROR]
    if errors:
        raise av.InvalidDataError(INVALID_DATA, errors[0])
