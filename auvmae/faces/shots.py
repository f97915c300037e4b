"""Find the shots in a stream of frames, and its frame rate."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np

from ..video.reading import IMAGE_FOLDER_FPS, Frame

CUT = 0.1
"""Smallest difference of two frames across a cut: 1 minus the correlation of their thumbnails.

In nine clips of moving heads it is at most 0.053 from one frame to the next; between clips it is mostly above 0.5, but
0.12 and 0.2 for two people before the same wall."""

CUT_AFTER_BLANK = 0.5
"""The same across blank frames, during which the scene may have moved."""

DARK = 24
"""Grey level up to which the bars beside an image are black."""

LOOKAHEAD = 2
"""Number of frames that must follow a cut before it is believed, so that a flash of as many frames is none."""

BLANK = 3.0
"""Standard deviation of the grey levels of a thumbnail below which a frame shows nothing, as in a black frame."""

MOST_FPS = 60
"""Highest frame rate at which widths in seconds are kept; it bounds the frames held in memory."""


def measure_rate(frames: Iterable[Frame]) -> tuple[float, Iterator[Frame]]:
    """Estimate the frame rate from the first five frames.

    Returns:
        Frames per second, at most `MOST_FPS`, `IMAGE_FOLDER_FPS` without a clock; and the whole stream.
    """
    frames = iter(frames)
    first = list(islice(frames, 5))
    steps = np.diff([timestamp for _, timestamp, _ in first])
    steps = steps[steps > 0]  # leaves out NaN, too
    rate = min(1 / float(np.median(steps)), MOST_FPS) if len(steps) else IMAGE_FOLDER_FPS
    return rate, chain(first, frames)


def mark_cuts(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Mark the frames with which a new shot begins.

    It begins at a hard cut, or where the frame size changes.

    Frames are compared by correlation, so that a change of brightness is no cut. Blank frames are passed over. Fast
    motion is no cut: the frames before and after it differ as much. The output is `LOOKAHEAD` frames behind the input.
    """
    waiting: deque[tuple[Frame, np.ndarray | None]] = deque()
    last: np.ndarray | None = None
    shape: tuple[int, ...] | None = None
    speed = 0.0  # difference of the last two frames
    blank = False  # whether blank frames lie between them and the next one

    def decide() -> tuple[Frame, bool]:
        nonlocal last, shape, speed, blank
        frame, small = waiting.popleft()
        # a damaged frame has no pixels
        resized = frame[2] is not None and shape is not None and frame[2].shape != shape
        shape = shape if frame[2] is None else frame[2].shape
        cut = resized
        if resized:
            last, speed = small, 0.0
        elif small is None:
            blank = True
            return frame, False
        elif last is not None:
            here = difference(last, small)
            later = [other for _, other in waiting if other is not None]
            if here > CUT and any(difference(last, other) < min(CUT, here / 2) for other in later):
                return frame, False  # a flash: `last` stays
            after = difference(small, later[0]) if later else 0.0
            cut = here > max(CUT_AFTER_BLANK if blank else CUT, 3 * speed, 3 * after)
            speed = after if cut else here
        last, blank = small, False
        return frame, cut

    for frame in frames:
        waiting.append((frame, thumbnail(frame[2])))
        if len(waiting) > LOOKAHEAD:
            yield decide()
    while waiting:
        yield decide()


def thumbnail(image: np.ndarray | None) -> np.ndarray | None:
    """Resize a frame to 16x16, float32 of shape (256, 3); None if it is blank."""
    import cv2

    if image is None:
        return None
    step = max(1, min(image.shape[:2]) // 36)  # every 36th line is fine enough, and cheap
    small = cv2.resize(image[::step, ::step], (16, 16), interpolation=cv2.INTER_AREA)
    return None if normalise(small) is None else small.reshape(-1, 3).astype(np.float32)


def normalise(image: np.ndarray) -> np.ndarray | None:
    """Convert an image to a vector of mean 0 and norm 1; None if it is blank."""
    flat = image.ravel().astype(np.float32)
    flat -= flat.mean()
    norm = float(np.sqrt(flat @ flat))
    return flat / norm if norm >= BLANK * np.sqrt(flat.size) else None


def difference(small: np.ndarray, other: np.ndarray) -> float:
    """Compute 1 minus the correlation of two thumbnails, without common bars."""
    seen = np.maximum(small, other).max(axis=1) > DARK
    if not seen.any():
        seen[:] = True
    one, two = small[seen] - small[seen].mean(), other[seen] - other[seen].mean()
    norms = float(np.sqrt((one**2).sum() * (two**2).sum()))
    return 1 - float((one * two).sum()) / norms if norms else 1.0
