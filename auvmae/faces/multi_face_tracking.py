"""Track all faces of a video, as `tracking.track_face` tracks one."""

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
    """Track all faces in a stream of frames, and smooth each track over time.

    Consecutive detections are matched by their overlap, the largest overlap first. A face that returns after more than
    `max_gap` frames starts a new track. The delay is the same as in `track_face`. For a single face that does not jump,
    the result is also the same.

    Args:
        frames: Frame stream in time order.
        detector, detect_every, max_gap, smoothing, min_confidence: See `track_face`.

    Yields:
        Every frame, in order, with its faces in ascending order of their track numbers. Of the faces that appear in the
        same frame, a larger one has a lower number.
    """
    reach = max_gap + math.ceil(3 * smoothing)
    no_faces: dict[int, np.ndarray] = {}
    window = deque([no_faces] * (2 * reach + 1), maxlen=2 * reach + 1)
    waiting: deque[Frame] = deque()
    tracked = _MultiFaceTracker(detector, detect_every, max_gap, min_confidence).run(frames)
    for count, (frame, rows) in enumerate(chain(tracked, repeat((None, no_faces), reach))):
        window.append(rows)
        if frame is not None:
            waiting.append(frame)
        if count >= reach:
            yield waiting.popleft(), list(_steady(window, reach, max_gap, smoothing))


def _steady(window: deque[dict[int, np.ndarray]], reach: int, max_gap: int, smoothing: float) -> Iterator[TrackedFace]:
    """Yield the smoothed faces of the middle frame of a window."""
    for number in sorted(set().union(*window)):
        rows = np.array([rows.get(number, NO_FACE) for rows in window])
        tracks = np.array([number if number in rows else -1 for rows in window])
        steady, steady_tracks = steady_rows(rows, tracks, max_gap, smoothing)
        if face := to_face(steady[reach], int(steady_tracks[reach])):
            yield face


@dataclass
class _LiveTrack:
    row: np.ndarray  # last detection
    missed: int = 0  # frames since the last detection


class _MultiFaceTracker:
    """Match the faces detected in a frame with the live tracks."""

    def __init__(self, detector: FaceDetector, detect_every: int, max_gap: int, min_confidence: float) -> None:
        self.detector = detector
        self.detect_every = detect_every
        self.max_gap = max_gap
        self.min_confidence = min_confidence
        self.live: dict[int, _LiveTrack] = {}
        self.num_tracks = 0

    def run(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame | None, dict[int, np.ndarray]]]:
        """Yield every frame with the rows of its faces, keyed by track number."""
        for chunk, faces, _ in detect_chunks(frames, self.detector, self.detect_every):
            yield from self._advance(chunk, self._rows(faces))

    def _advance(self, chunk: list[Frame], rows: list[np.ndarray]) -> Iterator[tuple[Frame, dict[int, np.ndarray]]]:
        """Derive the faces of a chunk from the faces detected in its last frame."""
        *between, last = chunk
        matched, new = self._match(rows)
        if not new and set(matched) == {track for track, live in self.live.items() if not live.missed}:
            for step, frame in enumerate(between, start=1):
                share = step / len(chunk)
                yield frame, {track: self.live[track].row * (1 - share) + row * share for track, row in matched.items()}
            for live in self.live.values():
                live.missed += len(between) if live.missed else 0
        else:  # a face appeared, disappeared or jumped
            for frame in between:
                yield frame, self._update(self._rows(self.detector.detect(frame[2])))
        yield last, self._update(rows)

    def _rows(self, faces: list[Face]) -> list[np.ndarray]:
        faces = [face for face in faces if face.confidence >= self.min_confidence]
        return [to_row(face) for face in sorted(faces, key=lambda face: -face.box[2] * face.box[3])]

    def _match(self, rows: list[np.ndarray]) -> tuple[dict[int, np.ndarray], list[np.ndarray]]:
        """Split detections into those of live tracks, keyed by track, and new faces."""
        ious = {(track, index): overlap(rows[index], self.live[track].row) for track, index in self._pairs(rows)}
        matched: dict[int, int] = {}
        for (track, index), iou in sorted(ious.items(), key=lambda item: -item[1]):
            if iou >= SAME_FACE_IOU and track not in matched and index not in matched.values():
                matched[track] = index
        new = [row for index, row in enumerate(rows) if index not in matched.values()]
        return {track: rows[index] for track, index in sorted(matched.items())}, new

    def _pairs(self, rows: list[np.ndarray]) -> Iterable[tuple[int, int]]:
        return product([track for track, live in self.live.items() if live.missed <= self.max_gap], range(len(rows)))

    def _update(self, rows: list[np.ndarray]) -> dict[int, np.ndarray]:
        matched, new = self._match(rows)
        for row in new:
            matched[self.num_tracks] = row
            self.num_tracks += 1
        for live in self.live.values():
            live.missed += 1
        self.live = {track: live for track, live in self.live.items() if live.missed <= self.max_gap}
        self.live |= {track: _LiveTrack(row) for track, row in matched.items()}
        return matched
