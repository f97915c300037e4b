"""From the faces of single frames to one steady face per frame: follow it, bridge short gaps, smooth without lag.

All of it streams: a frame comes out as soon as the few frames after it that bear on it are known. A recording of any
length and a camera go through the same code as a clip, and get the same numbers.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise, repeat

import numpy as np

from ..video.reading import Frame
from .detection import MOST_THREADS, Face, FaceDetector, ParallelDetector

SAME_FACE_IOU = 0.3
"""Two boxes that overlap less (intersection over union) are not the same face."""

NO_FACE = np.full(15, np.nan)
"""A face as one row of numbers: box (4), landmarks (10), confidence (1); here of none."""


@dataclass(frozen=True)
class TrackedFace(Face):
    """The steady face of one frame; its confidence is 0 where the detector missed it and a short gap was bridged.

    Args:
        track: number of the track, from 0. It changes where the face is lost for longer than a short gap, or where
            another face takes its place; nothing is bridged or smoothed across that.
    """

    track: int


def track_face(
    frames: Iterable[Frame],
    detector: FaceDetector,
    *,
    face: str = "tracked",
    search: str = "near",
    detect_every: int = 1,
    max_gap: int = 10,
    smoothing: float = 2.0,
    min_confidence: float = 0.9,
) -> Iterator[tuple[Frame, TrackedFace | None]]:
    """Find one face in a stream of frames and steady it over time.

    It runs `detect_every + max_gap + ceil(3 * smoothing)` frames behind its input, and holds as many in memory.

    Args:
        frames: in time order.
        detector: finds the faces of one frame. With a `ParallelDetector` this runs `detect_every` further frames behind
            for each of its threads.
        face: "tracked" follows a face by its overlap from detection to detection, and takes up another (the largest)
            only once it has been lost for more than `max_gap` frames; "largest" takes each frame's largest.
        search: "near" looks for a face that is followed near where it was five detections ago, and in the whole frame
            where it is not found there; "frame" always in the whole frame, as for the "largest".
        detect_every: the detector runs on every k-th frame and the face is interpolated in between. Where one detection
            does not continue the one before (the face came, went or jumped) all frames between them are looked at, so
            that a track begins and ends on the right frame.
        max_gap: a face that is back after at most so many frames was there all the time.
        smoothing: standard deviation, in frames, of the Gaussian that weighs a local straight line; 0 for none.
        min_confidence: detections below it do not count, in [0, 1].

    Yields:
        Every frame, in order, with its face or None.
    """
    reach = max_gap + math.ceil(3 * smoothing)
    rows = deque([NO_FACE] * (2 * reach + 1), maxlen=2 * reach + 1)
    tracks = deque([-1] * (2 * reach + 1), maxlen=2 * reach + 1)
    waiting: deque[Frame] = deque()
    follower = _Follower(detector, face, search, detect_every, max_gap, min_confidence)
    for count, (frame, row, track) in enumerate(chain(follower.follow(frames), repeat((None, NO_FACE, -1), reach))):
        rows.append(row)
        tracks.append(track)
        if frame is not None:
            waiting.append(frame)
        if count >= reach:
            steady, steady_tracks = steady_rows(np.array(rows), np.array(tracks), max_gap, smoothing)
            yield waiting.popleft(), to_face(steady[reach], int(steady_tracks[reach]))


def steady_rows(rows: np.ndarray, tracks: np.ndarray, max_gap: int, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """Bridge the short gaps of a whole recording and smooth what lies between the long ones.

    A straight line is fitted around each frame with Gaussian weights. Inside a track that is a Gaussian filter, without
    lag; at its ends it does not pull a moving face back, as a filter of shrinking support would.

    Args:
        rows: float, shape (T, 15): box, landmarks and confidence, NaN without a face.
        tracks: int, shape (T,): number of the track, -1 without a face.
        max_gap: in frames; a gap is bridged by a straight line, with confidence 0, if its track goes on after it.
        smoothing: standard deviation of the weights in frames, which end at three of it; 0 for none.

    Returns:
        Arrays like `rows` and `tracks`.
    """
    rows, tracks = rows.copy(), tracks.copy()
    seen = np.flatnonzero(tracks >= 0)
    for start, stop in pairwise(seen.tolist()):
        if 1 < stop - start <= max_gap + 1 and tracks[start] == tracks[stop]:
            share = np.arange(1, stop - start)[:, None] / (stop - start)
            rows[start + 1 : stop] = (1 - share) * rows[start] + share * rows[stop]
            rows[start + 1 : stop, -1] = 0
            tracks[start + 1 : stop] = tracks[start]
    if smoothing > 0:
        lag = np.arange(len(tracks)) - np.arange(len(tracks))[:, None]
        weight = np.exp(-0.5 * (lag / smoothing) ** 2) * (abs(lag) <= math.ceil(3 * smoothing))
        weight *= (tracks == tracks[:, None]) & (tracks >= 0)
        places = np.nan_to_num(rows[:, :-1])
        mass, moment, inertia = (np.sum(weight * lag**power, axis=1, keepdims=True) for power in (0, 1, 2))
        determinant = mass * inertia - moment**2
        fitted = determinant[:, 0] > 1e-6  # a line needs two frames
        line = inertia * (weight @ places) - moment * ((weight * lag) @ places)
        rows[fitted, :-1] = line[fitted] / determinant[fitted]
    return rows, tracks


def to_row(face: Face) -> np.ndarray:
    """A detected face as a row like `NO_FACE`."""
    return np.concatenate([face.box, face.landmarks.ravel(), [face.confidence]])


def to_face(row: np.ndarray, track: int) -> TrackedFace | None:
    """The face of a row and the number of its track; None if that is -1."""
    if track < 0:
        return None
    return TrackedFace(box=row[:4], landmarks=row[4:14].reshape(5, 2), confidence=float(row[14]), track=track)


def detect_chunks(
    frames: Iterable[Frame],
    detector: FaceDetector,
    detect_every: int,
    near: Callable[[], np.ndarray | None] = lambda: None,
) -> Iterator[tuple[list[Frame], list[Face], bool]]:
    """Cut a stream behind every frame in which faces are detected: the first, and then each `detect_every`-th.

    Args:
        frames, detector, detect_every: as for `track_face`.
        near: asked once for every chunk, in order, for the detector's `near`.

    Yields:
        The frames, the faces of their last one, and whether they were looked for in the whole frame. A
        `ParallelDetector` looks at as many chunks ahead as it has threads.
    """
    ahead = detector.threads if isinstance(detector, ParallelDetector) else 0
    found: Callable[[], list[Face]]
    waiting: deque[tuple[list[Frame], Callable[[], list[Face]], bool]] = deque()
    for chunk in _chunks(frames, detect_every):
        frame, box = chunk[-1][2], near()
        if isinstance(detector, ParallelDetector):
            found = detector.submit(frame, box).result
        else:
            found = partial(detector.detect, frame, box)
        waiting.append((chunk, found, box is None))
        if len(waiting) > ahead:
            chunk, found, whole = waiting.popleft()
            yield chunk, found(), whole
    for chunk, found, whole in waiting:
        yield chunk, found(), whole


def _chunks(frames: Iterable[Frame], detect_every: int) -> Iterator[list[Frame]]:
    chunk: list[Frame] = []
    for count, frame in enumerate(frames):
        chunk.append(frame)
        if count % detect_every == 0:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _Follower:
    """Chooses, among the faces detected in a frame, the one that goes on from the frames before."""

    def __init__(
        self, detector: FaceDetector, face: str, search: str, detect_every: int, max_gap: int, min_confidence: float
    ) -> None:
        self.detector = detector
        self.face = face
        self.near = search == "near" and face == "tracked"
        self.detect_every = detect_every
        self.max_gap = max_gap
        self.min_confidence = min_confidence
        self.row, self.track = NO_FACE, -1  # as last seen
        self.missed = max_gap + 1  # frames since then
        # of the detections before: so many that the last is known, however many frames are looked at at once
        self.boxes: deque[np.ndarray | None] = deque([None] * (MOST_THREADS + 1))

    def follow(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame | None, np.ndarray, int]]:
        """Yield every frame with the row of its face and the number of its track."""
        for chunk, faces, whole in detect_chunks(frames, self.detector, self.detect_every, self.boxes.popleft):
            faces = self._confident(faces)
            if not whole and self._choose(faces)[1] != self.track:
                faces = self._confident(self.detector.detect(chunk[-1][2]))
            yield from self._advance(chunk, faces)
            self.boxes.append(self.row[:4] if self.near and not self.missed else None)

    def _advance(self, chunk: list[Frame], faces: list[Face]) -> Iterator[tuple[Frame, np.ndarray, int]]:
        """From the faces of the chunk's last frame, place the one in those before it, back to the last detection."""
        *between, last = chunk
        row, track = self._choose(faces)
        if self.missed == 0 and track == self.track:
            for step, frame in enumerate(between, start=1):
                yield frame, self.row + (row - self.row) * (step / len(chunk)), track
        elif self.missed > 0 and track < 0:
            self.missed += len(between)
            for frame in between:
                yield frame, NO_FACE, -1
        else:
            for frame in between:
                yield frame, *self._take(self._confident(self.detector.detect(frame[2])))
        yield last, *self._take(faces)

    def _confident(self, faces: list[Face]) -> list[Face]:
        return [face for face in faces if face.confidence >= self.min_confidence]

    def _take(self, faces: list[Face]) -> tuple[np.ndarray, int]:
        row, track = self._choose(faces)
        if track < 0:
            self.missed += 1
        else:
            self.row, self.track, self.missed = row, track, 0
        return row, track

    def _choose(self, faces: list[Face]) -> tuple[np.ndarray, int]:
        lost = self.missed > self.max_gap
        if lost or self.face == "largest":
            best = max(faces, key=lambda face: face.box[2] * face.box[3], default=None)
        else:
            best = max(faces, key=lambda face: overlap(face.box, self.row), default=None)
        if best is None:
            return NO_FACE, -1
        same = not lost and overlap(best.box, self.row) >= SAME_FACE_IOU
        if not (same or lost or self.face == "largest"):
            return NO_FACE, -1
        return to_row(best), self.track if same else self.track + 1


def overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (x, y, width, height), the first four numbers of each array."""
    low = np.maximum(box[:2], other[:2])
    high = np.minimum(box[:2] + box[2:4], other[:2] + other[2:4])
    intersection = float(np.prod(np.maximum(high - low, 0)))
    union = float(box[2] * box[3] + other[2] * other[3]) - intersection
    return intersection / union if union > 0 else 0.0
