"""Track one face through a video, bridge short gaps, and smooth without lag.

Everything streams: a frame is returned as soon as the few later frames that affect it are known. Clips, recordings of
any length and cameras share the same code and give the same numbers.
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
"""Minimum intersection over union of two boxes of the same face."""

NO_FACE = np.full(15, np.nan)
"""Row of numbers for a missing face; a row has the box (4), landmarks (10) and confidence (1) of a face."""


@dataclass(frozen=True)
class TrackedFace(Face):
    """Hold the smoothed face of one frame.

    Its confidence is 0 in a bridged gap, where the detector missed the face.

    Args:
        track: Track number, from 0. It changes when the face is lost for more than `max_gap` frames, or when another
            face takes its place. Tracks are neither bridged nor smoothed across such a change.
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
    """Track one face in a stream of frames, and smooth it over time.

    The output is `detect_every + max_gap + ceil(3 * smoothing)` frames behind the input. As many frames are held in
    memory.

    Args:
        frames: Frame stream in time order.
        detector: Face detector for single frames. Each thread of a `ParallelDetector` adds `detect_every` frames to the
            delay.
        face: "tracked" follows a face by the overlap of consecutive detections, and switches to another face (the
            largest) only after more than `max_gap` frames without it. "largest" takes the largest face of each frame.
        search: "near" searches for the tracked face around its position five detections ago, and in the whole frame if
            the face is not found there. "frame" always searches the whole frame, as does `face="largest"`.
        detect_every: Detect faces on every k-th frame, and interpolate in between. If a detection does not continue the
            previous one (the face appeared, disappeared or jumped), the detector also runs on the frames in between,
            so that a track starts and ends on the right frame.
        max_gap: Longest gap in frames that is bridged.
        smoothing: Standard deviation, in frames, of the Gaussian weights of a local linear fit; 0 disables smoothing.
        min_confidence: Minimum confidence of a detection, in [0, 1].

    Yields:
        Every frame, in order, with its face or None.
    """
    reach = max_gap + math.ceil(3 * smoothing)
    rows = deque([NO_FACE] * (2 * reach + 1), maxlen=2 * reach + 1)
    tracks = deque([-1] * (2 * reach + 1), maxlen=2 * reach + 1)
    waiting: deque[Frame] = deque()
    tracked = _FaceTracker(detector, face, search, detect_every, max_gap, min_confidence).run(frames)
    for count, (frame, row, track) in enumerate(chain(tracked, repeat((None, NO_FACE, -1), reach))):
        rows.append(row)
        tracks.append(track)
        if frame is not None:
            waiting.append(frame)
        if count >= reach:
            steady, steady_tracks = steady_rows(np.array(rows), np.array(tracks), max_gap, smoothing)
            yield waiting.popleft(), to_face(steady[reach], int(steady_tracks[reach]))


def steady_rows(rows: np.ndarray, tracks: np.ndarray, max_gap: int, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """Bridge the short gaps of a whole recording, and smooth each track.

    A straight line is fitted around each frame with Gaussian weights. Inside a track, this is a Gaussian filter without
    lag. At its ends, it does not pull a moving face back, as a filter with shrinking support would.

    Args:
        rows: Float, shape (T, 15): box, landmarks and confidence; NaN without a face.
        tracks: Int, shape (T,): track number; -1 without a face.
        max_gap: Longest gap, in frames, that is bridged. A gap is interpolated linearly, with confidence 0, if the same
            track continues after it.
        smoothing: Standard deviation of the weights, in frames; they are cut off at three standard deviations. 0
            disables smoothing.

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
    """Convert a face to a row like `NO_FACE`."""
    return np.concatenate([face.box, face.landmarks.ravel(), [face.confidence]])


def to_face(row: np.ndarray, track: int) -> TrackedFace | None:
    """Convert a row and its track number to a face; None if the number is -1."""
    if track < 0:
        return None
    return TrackedFace(box=row[:4], landmarks=row[4:14].reshape(5, 2), confidence=float(row[14]), track=track)


def detect_chunks(
    frames: Iterable[Frame],
    detector: FaceDetector,
    detect_every: int,
    near: Callable[[], np.ndarray | None] = lambda: None,
) -> Iterator[tuple[list[Frame], list[Face], bool]]:
    """Split a stream into chunks, and detect faces in the last frame of each.

    The first chunk is the first frame alone; every further chunk has `detect_every` frames.

    Args:
        frames, detector, detect_every: See `track_face`.
        near: Called once per chunk, in order, to get the detector's `near`.

    Yields:
        The frames of the chunk, the faces of its last frame, and whether the whole frame was searched. A
        `ParallelDetector` works ahead by one chunk per thread.
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


class _FaceTracker:
    """Select the detected face that continues the track."""

    def __init__(
        self, detector: FaceDetector, face: str, search: str, detect_every: int, max_gap: int, min_confidence: float
    ) -> None:
        self.detector = detector
        self.face = face
        self.near = search == "near" and face == "tracked"
        self.detect_every = detect_every
        self.max_gap = max_gap
        self.min_confidence = min_confidence
        self.row, self.track = NO_FACE, -1  # last detection
        self.missed = max_gap + 1  # frames since the last detection
        # boxes of earlier detections; enough that the oldest is known for any number of threads
        self.boxes: deque[np.ndarray | None] = deque([None] * (MOST_THREADS + 1))

    def run(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame | None, np.ndarray, int]]:
        """Yield every frame with the row of its face and the track number."""
        for chunk, faces, whole in detect_chunks(frames, self.detector, self.detect_every, self.boxes.popleft):
            faces = self._confident(faces)
            if not whole and self._choose(faces)[1] != self.track:
                faces = self._confident(self.detector.detect(chunk[-1][2]))
            yield from self._advance(chunk, faces)
            self.boxes.append(self.row[:4] if self.near and not self.missed else None)

    def _advance(self, chunk: list[Frame], faces: list[Face]) -> Iterator[tuple[Frame, np.ndarray, int]]:
        """Derive the face in each frame of a chunk from the faces in its last frame."""
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
                yield frame, *self._update(self._confident(self.detector.detect(frame[2])))
        yield last, *self._update(faces)

    def _confident(self, faces: list[Face]) -> list[Face]:
        return [face for face in faces if face.confidence >= self.min_confidence]

    def _update(self, faces: list[Face]) -> tuple[np.ndarray, int]:
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
    """Compute the intersection over union of two boxes.

    A box is the first four numbers of its array: x, y, width, height.
    """
    low = np.maximum(box[:2], other[:2])
    high = np.minimum(box[:2] + box[2:4], other[:2] + other[2:4])
    intersection = float(np.prod(np.maximum(high - low, 0)))
    union = float(box[2] * box[3] + other[2] * other[3]) - intersection
    return intersection / union if union > 0 else 0.0
