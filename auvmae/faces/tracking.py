"""Track one face through a video, bridge short gaps, and smooth without lag.

Everything streams: a frame is returned as soon as the few later frames that affect it are known. Clips, recordings of
any length and cameras share the same code and give the same numbers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain

import numpy as np

from ..video.reading import Frame
from .appearance import LOOK_SIZE, is_same, is_visible, look_at
from .detection import MOST_THREADS, Face, FaceDetector, ParallelDetector
from .shots import LOOKAHEAD, mark_cuts, measure_rate
from .smoothing import NO_FACE, Rows, TrackedFace, Widths, steady_faces

SAME_FACE_IOU = 0.3
"""Minimum intersection over union of two boxes of the same face."""

BEND = 0.1
"""Change of a face's step from one detection to the next, as a fraction of the eye distance, from which on the frames
between are detected, too."""


def track_face(
    frames: Iterable[Frame],
    detector: FaceDetector,
    *,
    face: str = "tracked",
    search: str = "near",
    detect_every: int = 1,
    max_gap: float = 0.4,
    smoothing: float = 0.08,
    min_length: float = 0.2,
    min_confidence: float = 0.9,
) -> Iterator[tuple[Frame, TrackedFace | None]]:
    """Track one face in a stream of frames, and smooth it over time.

    The output is `delay_in_frames` behind the input. As many frames are held in memory. Tracking starts again at
    hard cuts, see `shots.mark_cuts`.

    Args:
        frames: Frame stream in time order. The first timestamps give the frame rate for the widths in seconds, at most
            60 frames per second; without a clock it is 25. Pixels that are None have no face.
        detector: Face detector for single frames. Each thread of a `ParallelDetector` adds `detect_every` frames to the
            delay.
        face: "tracked" follows a face by the overlap of consecutive detections and by its looks, and switches to
            another face (the largest) only after more than `max_gap` without it. "largest" takes the largest face of
            each frame.
        search: "near" searches for the tracked face around its position five detections ago, and in the whole frame if
            the face is not found there. "frame" always searches the whole frame, as does `face="largest"`.
        detect_every: Detect faces on every k-th frame, and interpolate in between. If a detection does not continue the
            previous one (the face appeared, disappeared or jumped), if the face changes its speed, or if a frame in
            between does not show it, the detector also runs on the frames in between.
        max_gap: Longest gap in seconds that is bridged. Only frames that show the face are.
        smoothing: Standard deviation, in seconds, of the Gaussian weights of a local linear fit where the
            face does not move, see `smoothing.smooth`; 0 disables smoothing.
        min_length: Shortest track, in seconds of detections. Shorter ones are dropped, unless the shot is as short.
        min_confidence: Minimum confidence of a detection, in [0, 1].

    Yields:
        Every frame, in order, with its face or None.
    """
    rate, frames = measure_rate(frames)
    widths = Widths.at(rate, max_gap, smoothing, min_length)
    tracker = _FaceTracker(detector, face, search, detect_every, widths, min_confidence)
    for frame, faces in steady_faces(tracker.run(frames), widths):
        yield frame, next(iter(faces), None)


def delay_in_frames(detect_every: int, max_gap: float, smoothing: float, min_length: float, rate: float) -> int:
    """Compute the maximum delay of `track_face` and `track_faces` in frames."""
    return detect_every + LOOKAHEAD + Widths.at(rate, max_gap, smoothing, min_length).reach


def to_row(face: Face, image: np.ndarray | None = None) -> np.ndarray:
    """Convert a face to a row like `NO_FACE`; without the image, it has no look."""
    look = np.zeros(LOOK_SIZE) if image is None else look_at(image, face.landmarks)
    return np.concatenate([face.box, face.landmarks.ravel(), [face.confidence], look])


def detect_chunks(
    frames: Iterable[Frame],
    detector: FaceDetector,
    detect_every: int,
    near: Callable[[], list[np.ndarray] | None] = lambda: None,
) -> Iterator[tuple[list[Frame], list[Face], bool, bool]]:
    """Split a stream into chunks, and detect faces in the last frame of each.

    The first chunk of a shot is its first frame alone; every further chunk has `detect_every` frames, or fewer at the
    end of the shot.

    Args:
        frames, detector, detect_every: See `track_face`.
        near: Called once per chunk, in order, to get the boxes to search near; None for the whole frame.

    Yields:
        The frames of the chunk, the faces of its last frame, whether the whole frame was searched, and whether a shot
        begins. A `ParallelDetector` works ahead by one chunk per thread.
    """
    ahead = detector.threads if isinstance(detector, ParallelDetector) else 0
    waiting: deque[tuple[list[Frame], Callable[[], list[Face]], bool, bool]] = deque()
    since = 0  # chunks since the shot began
    for chunk, cut in _chunks(mark_cuts(frames), detect_every):
        since = 0 if cut else since + 1
        boxes = near()
        boxes = None if since <= MOST_THREADS else boxes  # boxes of the shot before
        waiting.append((chunk, look_for(detector, chunk[-1][2], boxes), boxes is None, cut))
        if len(waiting) > ahead:
            chunk, found, whole, cut = waiting.popleft()
            yield chunk, found(), whole, cut
    for chunk, found, whole, cut in waiting:
        yield chunk, found(), whole, cut


def look_for(
    detector: FaceDetector, image: np.ndarray | None, boxes: list[np.ndarray] | None = None
) -> Callable[[], list[Face]]:
    """Start to detect the faces of a frame, near each of the boxes or everywhere.

    Call the result to get the faces.
    """
    if image is None:
        return list
    nears: list[np.ndarray | None] = [None] if boxes is None else [*boxes]
    if isinstance(detector, ParallelDetector):
        parts = [detector.submit(image, near).result for near in nears]
    else:
        parts = [partial(detector.detect, image, near) for near in nears]
    return lambda: _distinct([part() for part in parts])


def _distinct(parts: list[list[Face]]) -> list[Face]:
    """Join the faces that were found near several boxes, each face once."""
    if len(parts) == 1:
        return parts[0]
    kept: list[Face] = []
    for face in sorted(chain(*parts), key=lambda face: -face.confidence):
        if all(overlap(face.box, other.box) < SAME_FACE_IOU for other in kept):
            kept.append(face)
    return kept


def _chunks(frames: Iterable[tuple[Frame, bool]], detect_every: int) -> Iterator[tuple[list[Frame], bool]]:
    chunk: list[Frame] = []
    count = 0
    for frame, cut in frames:
        if cut:
            if chunk:
                yield chunk, False
            chunk, count = [], 0
        chunk.append(frame)
        if count % detect_every == 0:
            yield chunk, cut
            chunk = []
        count += 1
    if chunk:
        yield chunk, False


def between(chunk: list[Frame], last: np.ndarray, row: np.ndarray, step: np.ndarray | None) -> list[np.ndarray] | None:
    """Interpolate a face in the frames of a chunk but its last.

    Args:
        chunk: Frames after the one of `last`, up to that of `row`.
        last, row: Rows of the same face.
        step: Change of the landmarks (10,) per frame up to `last`; None if unknown.

    Returns:
        A row per frame; None if the face changed its speed, or if a frame does not show it there.
    """
    steps = len(chunk)
    eyes = float(np.linalg.norm(row[6:8] - row[4:6]))
    if steps > 1 and step is not None:
        bend = ((row - last)[4:14] / steps - step) * steps
        if np.sqrt(np.mean(bend**2)) > BEND * eyes:
            return None
    rows = [last + (row - last) * (number / steps) for number in range(1, steps)]
    for (_, _, image), one in zip(chunk, rows, strict=False):
        if not is_visible(image, one):
            return None
    return rows


def returns(row: np.ndarray, last: np.ndarray) -> bool:
    """Tell by looks and place whether a face is the one detected last."""
    apart = float(np.abs(row[:2] + row[2:4] / 2 - last[:2] - last[2:4] / 2).max())
    return apart <= 2 * last[2:4].max() and 0.5 <= row[3] / last[3] <= 2 and is_same(row[15:], last[15:])


class _FaceTracker:
    """Select the detected face that continues the track."""

    def __init__(
        self, detector: FaceDetector, face: str, search: str, detect_every: int, widths: Widths, min_confidence: float
    ) -> None:
        self.detector = detector
        self.face = face
        self.near = search == "near" and face == "tracked"
        self.detect_every = detect_every
        self.widths = widths
        self.min_confidence = min_confidence
        self.row, self.track = NO_FACE, -1  # last detection
        self.step: np.ndarray | None = None  # change of its landmarks per frame
        self.missed = widths.memory + 1  # frames since the last detection
        self.newest = -1  # highest track number
        self.frames = 0
        self.left: tuple[np.ndarray, int, int] | None = None  # row and track at the last cut, frames until then
        # boxes of earlier detections; enough that the oldest is known for any number of threads
        self.boxes: deque[list[np.ndarray] | None] = deque([None] * (MOST_THREADS + 1))

    def run(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool, Rows]]:
        """Yield every frame, whether a shot begins, and the row of its face."""
        for chunk, faces, whole, cut in detect_chunks(frames, self.detector, self.detect_every, self.boxes.popleft):
            if cut:
                self._cut()
            self.frames += len(chunk)
            rows = self._rows(chunk[-1], faces)
            if not whole and self._choose(rows)[1] != self.track:
                rows = self._rows(chunk[-1], look_for(self.detector, chunk[-1][2])())
            for frame, row, track in self._advance(chunk, rows):
                yield frame, cut, {track: row} if track >= 0 else {}
                cut = False
            self.boxes.append([self.row[:4]] if self.near and not self.missed else None)

    def _cut(self) -> None:
        """Start a new track, except for a face that was hidden at the cut.

        That face may still return by its looks, so a hand before the camera, a shot of its own, starts no new track.
        """
        gap, left = self.widths.max_gap, self.left
        if self.missed == 0:
            self.left = self.row, self.track, self.frames
        if 0 < self.missed <= gap:
            self.missed = gap + 1
        elif left is not None and self.frames - left[2] <= gap:
            self.row, self.track, self.missed = *left[:2], gap + 1
        else:
            self.missed = self.widths.memory + 1

    def _advance(self, chunk: list[Frame], rows: list[np.ndarray]) -> Iterator[tuple[Frame, np.ndarray, int]]:
        """Derive the face in each frame of a chunk from the faces in its last frame."""
        *first, last = chunk
        row, track = self._choose(rows)
        if self.missed == 0 and track == self.track:
            steps = between(chunk, self.row, row, self.step)
            if steps is not None:
                step = (row - self.row)[4:14] / len(chunk)
                yield from zip(first, steps, [track] * len(first), strict=True)
                yield last, *self._update(rows)
                self.step = step
                return
            box = [row[:4]] if self.near else None
        elif self.missed > 0 and track < 0:
            self.missed += len(first)
            for frame in first:
                yield frame, NO_FACE, -1
            first, box = [], None
        else:
            box = None
        for frame, found in zip(first, [look_for(self.detector, frame[2], box) for frame in first], strict=True):
            yield frame, *self._update(self._rows(frame, found()))
        yield last, *self._update(rows)

    def _rows(self, frame: Frame, faces: list[Face]) -> list[np.ndarray]:
        return [to_row(face, frame[2]) for face in faces if face.confidence >= self.min_confidence]

    def _update(self, rows: list[np.ndarray]) -> tuple[np.ndarray, int]:
        row, track = self._choose(rows)
        if track < 0:
            self.missed, self.step = self.missed + 1, None
        else:
            known = track == self.track and self.missed == 0
            self.step = (row - self.row)[4:14] if known else None
            self.row, self.track, self.missed = row, track, 0
            self.newest = max(self.newest, track)
        return row, track

    def _choose(self, rows: list[np.ndarray]) -> tuple[np.ndarray, int]:
        lost = self.missed > self.widths.max_gap
        if not rows:
            return NO_FACE, -1
        if self.face == "largest":
            rows = [max(rows, key=lambda row: row[2] * row[3])]
        if not lost:
            best = max(rows, key=lambda row: overlap(row, self.row))
            if overlap(best, self.row) >= SAME_FACE_IOU:
                return best, self.track
        if self.missed <= self.widths.memory:
            best = max(rows, key=lambda row: float(row[15:] @ self.row[15:]))
            if returns(best, self.row):
                return best, self.track
        if not lost and self.face != "largest":
            return NO_FACE, -1
        return max(rows, key=lambda row: row[2] * row[3]), self.newest + 1


def overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Compute the intersection over union of two boxes.

    A box is the first four numbers of its array: x, y, width, height.
    """
    low = np.maximum(box[:2], other[:2])
    high = np.minimum(box[:2] + box[2:4], other[:2] + other[2:4])
    intersection = float(np.prod(np.maximum(high - low, 0)))
    union = float(box[2] * box[3] + other[2] * other[3]) - intersection
    return intersection / union if union > 0 else 0.0
