"""Judge which decoded frames are damaged."""

from collections.abc import Iterable, Iterator
from typing import Any

import av
from av.video.frame import PictureType

MAX_DELAY = 8
"""Most frames that are held back until the frame that they refer to is shown."""


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
