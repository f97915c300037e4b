"""Every face of a frame, followed over time: as `tracking.track_face` does with one."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product, repeat

import numpy as np

from ..video.reading import Frame
from .detection import Face, FaceDetector
from .tracking import NO_FACE, SAME_FACE_IOU, TrackedFace, detect_chunks, overlap, steady_rows, to_face, to_row


def track_faces(
    frames: Iterable[Frame],
    detector: FaceDetector,
    *,
    detect_every: int = 1,
    max_gap: int = 10,
    smoothing: float = 2.0,
    min_confidence: float = 0.9,
) -> Iterator[tuple[Frame, list[TrackedFace]]]:
    """Find all faces in a stream of frames and steady each over time.

    From detection to detection faces are paired by their overlap, the closest first. A face that has been lost for more
    than `max_gap` frames is another one when it returns. It runs as far behind its input as `track_face`, and gives
    what that gives where there is but one face, which does not jump.

    Args:
        frames: in time order.
        detector, detect_every, max_gap, smoothing, min_confidence: as for `track_face`.

    Yields:
        Every frame, in order, with its faces by the number of their track; a larger face that appears in the same frame
        has the lower one.
    """
    reach = max_gap + math.ceil(3 * smoothing)
    nothing: dict[int, np.ndarray] = {}
    around = deque([nothing] * (2 * reach + 1), maxlen=2 * reach + 1)
    waiting: deque[Frame] = deque()
    followed = _Followers(detector, detect_every, max_gap, min_confidence).follow(frames)
    for count, (frame, rows) in enumerate(chain(followed, repeat((None, nothing), reach))):
        around.append(rows)
        if frame is not None:
            waiting.append(frame)
        if count >= reach:
            yield waiting.popleft(), list(_steady(around, reach, max_gap, smoothing))


def _steady(around: deque[dict[int, np.ndarray]], reach: int, max_gap: int, smoothing: float) -> Iterator[TrackedFace]:
    """The faces of the frame in the middle."""
    for number in sorted(set().union(*around)):
        rows = np.array([rows.get(number, NO_FACE) for rows in around])
        tracks = np.array([number if number in rows else -1 for rows in around])
        steady, steady_tracks = steady_rows(rows, tracks, max_gap, smoothing)
        if face := to_face(steady[reach], int(steady_tracks[reach])):
            yield face


@dataclass
class _Live:
    row: np.ndarray  # as last seen
    missed: int = 0  # frames since then


class _Followers:
    """Pairs the faces detected in a frame with those of the frames before."""

    def __init__(self, detector: FaceDetector, detect_every: int, max_gap: int, min_confidence: float) -> None:
        self.detector = detector
        self.detect_every = detect_every
        self.max_gap = max_gap
        self.min_confidence = min_confidence
        self.live: dict[int, _Live] = {}
        self.born = 0

    def follow(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame | None, dict[int, np.ndarray]]]:
        """Yield every frame with the rows of its faces by track."""
        for chunk, faces, _ in detect_chunks(frames, self.detector, self.detect_every):
            yield from self._advance(chunk, self._rows(faces))

    def _advance(self, chunk: list[Frame], rows: list[np.ndarray]) -> Iterator[tuple[Frame, dict[int, np.ndarray]]]:
        """From the faces of the chunk's last frame, place them in those before it."""
        *between, last = chunk
        paired, new = self._pair(rows)
        if not new and set(paired) == {track for track, live in self.live.items() if not live.missed}:
            for step, frame in enumerate(between, start=1):
                share = step / len(chunk)
                yield frame, {track: self.live[track].row * (1 - share) + row * share for track, row in paired.items()}
            for live in self.live.values():
                live.missed += len(between) if live.missed else 0
        else:  # a face came, went or jumped
            for frame in between:
                yield frame, self._take(self._rows(self.detector.detect(frame[2])))
        yield last, self._take(rows)

    def _rows(self, faces: list[Face]) -> list[np.ndarray]:
        faces = [face for face in faces if face.confidence >= self.min_confidence]
        return [to_row(face) for face in sorted(faces, key=lambda face: -face.box[2] * face.box[3])]

    def _pair(self, rows: list[np.ndarray]) -> tuple[dict[int, np.ndarray], list[np.ndarray]]:
        """Split detections into those of a live track, by its number, and new faces."""
        likeness = {(track, index): overlap(rows[index], self.live[track].row) for track, index in self._pairs(rows)}
        paired: dict[int, int] = {}
        for (track, index), share in sorted(likeness.items(), key=lambda item: -item[1]):
            if share >= SAME_FACE_IOU and track not in paired and index not in paired.values():
                paired[track] = index
        new = [row for index, row in enumerate(rows) if index not in paired.values()]
        return {track: rows[index] for track, index in sorted(paired.items())}, new

    def _pairs(self, rows: list[np.ndarray]) -> Iterable[tuple[int, int]]:
        return product([track for track, live in self.live.items() if live.missed <= self.max_gap], range(len(rows)))

    def _take(self, rows: list[np.ndarray]) -> dict[int, np.ndarray]:
        paired, new = self._pair(rows)
        for row in new:
            paired[self.born] = row
            self.born += 1
        for live in self.live.values():
            live.missed += 1
        self.live = {track: live for track, live in self.live.items() if live.missed <= self.max_gap}
        self.live |= {track: _Live(row) for track, row in paired.items()}
        return paired
