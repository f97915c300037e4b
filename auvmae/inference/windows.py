"""Slide windows over a stream of face crops, and blend their overlaps.

The result is one row per frame and face. A window is the input of one encoder pass. (A clip of `clip_length` frames
consists of several independent windows, so sliding by clips would predict the same windows twice.) Windows slide along
*runs*, the uninterrupted frames of one face. A frame without a face belongs to no run and no window, so all tokens of a
window show the face. A run that is shorter than a window is padded with its last crop, as the last clip of a video is
in training; predictions for the padding are discarded. The last window of a longer run ends at the end of the run, so
no other window needs padding.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from ..faces.crop import CroppedFrame


@dataclass(frozen=True)
class Window:
    """Hold the crops of one window.

    Args:
        track: Number of the face's track.
        start: Position of the first crop in its run, from 0.
        crops: `length` uint8 arrays of the same shape (S, S, 3).
    """

    track: int
    start: int
    crops: list[np.ndarray]


def window_weights(length: int) -> NDArray[np.float64]:
    """Weight the frames of a window by a triangle, since central frames have context.

    No weight is 0, so that the first and last frames of a video are predicted, too. With a stride of half a window, the
    weights of each frame have the same sum.

    >>> window_weights(6)
    array([1., 2., 3., 3., 2., 1.])
    """
    return np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)).astype(float)


def blend_windows(
    crops: Iterable[CroppedFrame],
    predict: Callable[[list[Window]], NDArray[np.floating]],
    length: int,
    stride: int,
    batch_size: int,
) -> Generator[tuple[CroppedFrame, NDArray[np.float64] | None], None, None]:
    """Predict face crops in overlapping windows, and average them per frame.

    Up to rounding in `predict`, the results do not depend on `batch_size`. The output is at most
    `length + (batch_size - 1) * stride + 1` frames behind the input, and at most that many frames are held in memory.
    The `+ 1` is there because a frame is known to be complete only when the next one arrives.

    Args:
        crops: Crops in frame order, several per frame if it shows several faces, as from `crop.iter_crops`.
        predict: Function from windows to float (windows, length, ...): the values of each frame.
        length: Frames per window.
        stride: Frames between the starts of two windows, in [1, length].
        batch_size: Maximum number of windows per call of `predict`.

    Yields:
        Every item of `crops`, in order, paired with its values, float (...), or with None if it shows no face.
    """
    blender = _Blender(predict, length, stride, batch_size)
    for _, faces in groupby(crops, attrgetter("index")):
        yield from blender.push(list(faces))
    yield from blender.finish()


@dataclass(eq=False)
class _Row:
    """Accumulate the windows of one face in one frame, until none is missing."""

    cropped: CroppedFrame
    total: NDArray[np.float64] | float = 0.0
    weight: float = 0.0
    waiting: int = 0  # its windows that are not predicted yet
    settled: bool = False  # no later window will contain it

    def result(self) -> tuple[CroppedFrame, NDArray[np.float64] | None]:
        return self.cropped, np.asarray(self.total / self.weight) if self.weight else None


@dataclass
class _Run:
    """Hold the rows of a face that a later window may contain, at most `length`."""

    rows: deque[_Row] = field(default_factory=deque)
    count: int = 0  # number of all rows so far
    covered: int = 0  # end of the last window


class _Blender:
    def __init__(
        self, predict: Callable[[list[Window]], NDArray[np.floating]], length: int, stride: int, batch_size: int
    ) -> None:
        self.predict, self.length, self.stride, self.batch_size = predict, length, stride, batch_size
        self.weights = window_weights(length)
        self.rows: deque[_Row] = deque()  # in input order
        self.runs: dict[int, _Run] = {}  # by track
        self.queue: list[tuple[Window, list[_Row]]] = []
        self.queued_since = 0
        self.frames = 0

    def push(self, faces: list[CroppedFrame]) -> Iterator[tuple[CroppedFrame, NDArray[np.float64] | None]]:
        """Add the faces of one frame, and yield the rows that are finished."""
        self.frames += 1
        present = {cropped.face.track for cropped in faces if cropped.face is not None}
        for track in [track for track in self.runs if track not in present]:
            self._close(track)
        for cropped in faces:
            row = _Row(cropped)
            self.rows.append(row)
            if cropped.face is None:
                row.settled = True
            else:
                self._extend(cropped.face.track, row)
        # do not let rows wait for a full batch: further windows may never come
        if self.queue and self.frames - self.queued_since >= (self.batch_size - 1) * self.stride:
            self._flush()
        yield from self._finished()

    def finish(self) -> Iterator[tuple[CroppedFrame, NDArray[np.float64] | None]]:
        """Yield the remaining rows."""
        for track in list(self.runs):
            self._close(track)
        self._flush()
        yield from self._finished()

    def _extend(self, track: int, row: _Row) -> None:
        run = self.runs.setdefault(track, _Run())
        if len(run.rows) == self.length:
            run.rows.popleft().settled = True
        run.rows.append(row)
        run.count += 1
        if run.count >= self.length and (run.count - self.length) % self.stride == 0:
            self._enqueue(track, run)

    def _close(self, track: int) -> None:
        run = self.runs.pop(track)
        if run.covered < run.count:
            self._enqueue(track, run)
        for row in run.rows:
            row.settled = True

    def _enqueue(self, track: int, run: _Run) -> None:
        crops = [row.cropped.crop for row in run.rows if row.cropped.crop is not None]
        crops += crops[-1:] * (self.length - len(crops))
        for row in run.rows:
            row.waiting += 1
        if not self.queue:
            self.queued_since = self.frames
        self.queue.append((Window(track, run.count - len(run.rows), crops), list(run.rows)))
        run.covered = run.count
        if len(self.queue) == self.batch_size:
            self._flush()

    def _flush(self) -> None:
        if not self.queue:
            return
        values = self.predict([window for window, _ in self.queue])
        for (_, rows), window_values in zip(self.queue, np.asarray(values, np.float64), strict=True):
            # a padded window has more frames than rows
            for row, weight, value in zip(rows, self.weights, window_values, strict=False):
                row.total = row.total + weight * value
                row.weight += weight
                row.waiting -= 1
        self.queue = []

    def _finished(self) -> Iterator[tuple[CroppedFrame, NDArray[np.float64] | None]]:
        while self.rows and self.rows[0].settled and not self.rows[0].waiting:
            yield self.rows.popleft().result()
