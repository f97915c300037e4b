"""Bridge the gaps of tracks, and smooth them as strongly as their motion allows."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from ..video.reading import Frame
from .appearance import LOOK_SIZE, is_visible
from .face import Face

NOISE = 0.015
"""Standard deviation of a detector's landmarks, as a fraction of the eye distance."""

TOLERANCE = 1.8
"""How far two fits may lie apart, in standard deviations, before the wider one is taken to miss a motion."""

STEPS = (0.25, 0.5, 1.0)
"""Widths of the fits, as fractions of the widest."""

MEMORY = 2.0
"""Time in seconds after which a face that returns is another one."""

NO_FACE = np.full(15 + LOOK_SIZE, np.nan)
"""Row of numbers for a missing face.

A row has the box (4), landmarks (10) and confidence (1) of a face, and its look, see `appearance.look_at`."""

Rows = dict[int, np.ndarray]
"""Rows of the faces of a frame, by track number."""


@dataclass(frozen=True)
class TrackedFace(Face):
    """Hold the smoothed face of one frame.

    Its confidence is 0 in a bridged gap, where the detector missed a face that is visible.

    Args:
        track: Track number, from 0. It changes at a hard cut, when another face takes its place, and when the face is
            lost for more than `max_gap` and does not return near its place, with its looks, within `MEMORY`. Tracks are
            neither bridged nor smoothed across such a change.
    """

    track: int


@dataclass(frozen=True)
class Widths:
    """Hold the widths of tracking in frames, derived from those in seconds.

    Args:
        max_gap, min_length, memory: Numbers of frames.
        smoothing: Standard deviation in frames.
    """

    max_gap: int
    smoothing: float
    min_length: int
    memory: int

    @classmethod
    def at(cls, rate: float, max_gap: float, smoothing: float, min_length: float) -> "Widths":
        """Convert seconds to frames."""
        return cls(round(max_gap * rate), smoothing * rate, round(min_length * rate), round(MEMORY * rate))

    @property
    def reach(self) -> int:
        """Return the number of frames on either side that affect a frame."""
        return max(self.max_gap + math.ceil(3 * self.smoothing), self.min_length)


def steady_faces(
    tracked: Iterable[tuple[Frame, bool, Rows]], widths: Widths
) -> Iterator[tuple[Frame, list[TrackedFace]]]:
    """Bridge the gaps of tracks, smooth them, drop short ones, and number the rest.

    Numbers follow the order of appearance.

    Args:
        tracked: Frames, whether a shot begins with them, and the rows of their faces; rows may still be added while a
            frame is among the last `widths.reach`.
        widths: Widths in frames.
    """
    reach = widths.reach
    none: tuple[Frame | None, bool, Rows] = (None, False, {})
    window: deque[tuple[Frame | None, int, Rows]] = deque([(None, -1, {})] * (2 * reach + 1), maxlen=2 * reach + 1)
    numbers: dict[int, int] = {}  # of the tracks that are long enough
    shot = 0
    for count, (frame, cut, rows) in enumerate(chain(tracked, repeat(none, reach))):
        shot += cut
        window.append((frame, shot if frame is not None else -1, rows))
        current, middle_shot, current_rows = window[reach]
        if count < reach or current is None:
            continue
        window[reach] = (None, middle_shot, current_rows)  # its pixels are not needed any more
        shot_length = sum(one == middle_shot for _, one, _ in window)
        faces = []
        for track in sorted(set().union(*(one for _, _, one in window))):
            track_rows = np.array([one.get(track, NO_FACE) if at == middle_shot else NO_FACE for _, at, one in window])
            row = interpolate(track_rows, reach, widths.max_gap)
            length = np.count_nonzero(~np.isnan(track_rows[:, 0]))
            if row is None or (track not in numbers and length < min(widths.min_length, shot_length)):
                continue
            if row[14] == 0 and not is_visible(current[2], row):
                continue
            number = numbers.setdefault(track, len(numbers))
            place = smooth(track_rows, row, reach, widths.smoothing)
            faces.append(TrackedFace(place[:4], place[4:].reshape(5, 2), float(row[14]), number))
        yield current, sorted(faces, key=lambda one: one.track)


def interpolate(rows: np.ndarray, middle: int, max_gap: int) -> np.ndarray | None:
    """Find the row of one frame, or interpolate it with confidence 0 in a short gap.

    Args:
        rows: Float, shape (T, 15 or more): box, landmarks, confidence and more; NaN without a face.
        middle: Position of the frame.
        max_gap: Longest gap that is bridged, in frames.

    Returns:
        A row, or None without a face.
    """
    if not np.isnan(rows[middle, 0]):
        return np.array(rows[middle])
    seen = np.flatnonzero(~np.isnan(rows[:, 0]))
    after = int(np.searchsorted(seen, middle))
    if not 0 < after < len(seen) or seen[after] - seen[after - 1] > max_gap + 1:
        return None
    start, stop = seen[after - 1], seen[after]
    share = (middle - start) / (stop - start)
    row: np.ndarray = (1 - share) * rows[start] + share * rows[stop]
    row[14] = 0
    return row


def smooth(rows: np.ndarray, row: np.ndarray, middle: int, width: float) -> np.ndarray:
    """Smooth the box and the landmarks of one frame.

    Straight lines are fitted around the frame with Gaussian weights of growing width; they add no lag, also at the ends
    of a track. The widest fit is taken that agrees with all narrower ones within the detector's noise: it is wide at
    rest, and narrow where the motion bends.

    Args:
        rows, middle: See `interpolate`.
        row: Row of the frame.
        width: Widest standard deviation of the weights, in frames; they end at three of them. 0 disables smoothing.

    Returns:
        Float, shape (14,).
    """
    seen = np.flatnonzero(~np.isnan(rows[:, 0]))
    lags, places = seen - middle, rows[seen, :14]
    noise = NOISE * float(np.linalg.norm(row[6:8] - row[4:6]))
    fits, spreads = [row[:14]], [1.0]
    for step in STEPS if width > 0 else ():
        weights = np.exp(-0.5 * (lags / (step * width)) ** 2) * (abs(lags) <= np.ceil(3 * step * width))
        mass, moment, inertia = (float(weights @ lags**power) for power in (0, 1, 2))
        determinant = mass * inertia - moment**2
        if determinant <= 1e-6:  # a line needs two frames
            continue
        shares = weights * (inertia - moment * lags) / determinant
        fit = shares @ places
        apart = [float(np.sqrt(np.mean((fit[4:] - other[4:]) ** 2))) for other in fits]
        if any(one > TOLERANCE * noise * spread for one, spread in zip(apart, spreads, strict=True)):
            break
        fits.append(fit)
        spreads.append(float(np.sqrt(shares @ shares)))
    return fits[-1]
