"""Sliding windows over a stream of face crops, and their overlaps blended into one row per frame and face.

A window is what the encoder sees at once. (A clip of `clip_length` frames is several windows that know nothing of each
other, so that to slide by clips would see the same windows twice.) Windows slide along *runs*: the frames that one face
is in without interruption. A frame without a face is in no run, and so in no window: the tokens of a window are all of
the face. A run that is shorter than a window is filled up with its last crop, as the last clip of a video is in
training; what is filled up is not read. The last window of a longer run ends with it, so that no other needs filling.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from ..faces.crop import CroppedFrame


@dataclass(frozen=True)
class Window:
    """The crops of one window.

    Args:
        track: number of the face's track.
        start: place of the first crop in its run, from 0.
        crops: `length` uint8 arrays of one shape (S, S, 3).
    """

    track: int
    start: int
    crops: list[np.ndarray]


def window_weights(length: int) -> NDArray[np.float64]:
    """How far each frame of a window is trusted: a triangle, since frames in the middle are seen in their context.

    No frame has the weight 0, so that the first and the last of a video are predicted, too; and with a stride of half
    a window the weights of each frame add up to the same.

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
) -> Iterator[tuple[CroppedFrame, NDArray[np.float64] | None]]:
    """Predict a stream of crops window by window and average the windows that a frame is in.

    What comes out does not depend on `batch_size`, but for the rounding inside of `predict`. It runs at most
    `length + (batch_size - 1) * stride + 1` frames behind its input, the last of which tells that a frame shows no more
    faces, and holds as many in memory.

    Args:
        crops: in the order of their frames, several to a frame if it shows several faces, as `crop.iter_crops` gives.
        predict: from windows to float of shape (windows, length, N), values of N quantities at each of their frames.
        length: frames of a window.
        stride: frames between the starts of two windows, in [1, length].
        batch_size: `predict` is called with so many windows, or fewer.

    Yields:
        Every item of `crops`, in order, with its N values, float of shape (N,); None without a face.
    """
    blender = _Blender(predict, length, stride, batch_size)
    for _, faces in groupby(crops, attrgetter("index")):
        yield from blender.push(list(faces))
    yield from blender.finish()


@dataclass(eq=False)
class _Row:
    """A frame's face on its way: what its windows said so far, and whether there is more to come."""

    cropped: CroppedFrame
    total: NDArray[np.float64] | float = 0.0
    weight: float = 0.0
    waiting: int = 0  # windows it is in that are not predicted yet
    settled: bool = False  # it will be in no other window

    def result(self) -> tuple[CroppedFrame, NDArray[np.float64] | None]:
        return self.cropped, np.asarray(self.total / self.weight) if self.weight else None


@dataclass
class _Run:
    """The rows of a face that are seen so far and may be in another window, the last `length` at most."""

    rows: deque[_Row] = field(default_factory=deque)
    count: int = 0  # of all its rows
    covered: int = 0  # end of its last window


class _Blender:
    def __init__(
        self, predict: Callable[[list[Window]], NDArray[np.floating]], length: int, stride: int, batch_size: int
    ) -> None:
        self.predict, self.length, self.stride, self.batch_size = predict, length, stride, batch_size
        self.weights = window_weights(length)
        self.rows: deque[_Row] = deque()  # in the order they came in
        self.runs: dict[int, _Run] = {}  # by track
        self.queue: list[tuple[Window, list[_Row]]] = []
        self.queued_since = 0
        self.frames = 0

    def push(self, faces: list[CroppedFrame]) -> Iterator[tuple[CroppedFrame, NDArray[np.float64] | None]]:
        """Take the faces of one frame in, give out the rows that are finished."""
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
        # few windows are no reason to let the rows wait for others that may never come
        if self.queue and self.frames - self.queued_since >= (self.batch_size - 1) * self.stride:
            self._flush()
        yield from self._finished()

    def finish(self) -> Iterator[tuple[CroppedFrame, NDArray[np.float64] | None]]:
        """Give out the rest."""
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
            # a short run has fewer rows than the window has frames
            for row, weight, value in zip(rows, self.weights, window_values, strict=False):
                row.total = row.total + weight * value
                row.weight += weight
                row.waiting -= 1
        self.queue = []

    def _finished(self) -> Iterator[tuple[CroppedFrame, NDArray[np.float64] | None]]:
        while self.rows and self.rows[0].settled and not self.rows[0].waiting:
            yield self.rows.popleft().result()
