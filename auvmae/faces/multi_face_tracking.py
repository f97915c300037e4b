"""Track all faces of a video, as `tracking.track_face` tracks one."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product

import numpy as np

from ..video.reading import Frame
from .detection import MOST_THREADS, Face, FaceDetector
from .shots import measure_rate
from .smoothing import Rows, TrackedFace, Widths, steady_faces
from .tracking import SAME_FACE_IOU, between, detect_chunks, look_for, overlap, returns, to_row

FULL_LOOK = 4
"""The whole frame is searched in every so-many-th detection, at least; in between near the known faces."""


def track_faces(
    frames: Iterable[Frame],
    detector: FaceDetector,
    *,
    search: str = "near",
    detect_every: int = 1,
    max_gap: float = 0.4,
    smoothing: float = 0.08,
    min_length: float = 0.2,
    min_confidence: float = 0.9,
) -> Iterator[tuple[Frame, list[TrackedFace]]]:
    """Track all faces in a stream of frames, and smooth each track over time.

    Consecutive detections are matched by their overlap, the largest overlap first, then by looks. A face that returns
    after more than `MEMORY`, or far from its place, starts a new track. The delay is the same as in `track_face`. For a
    single face that does not jump, the result is also the same. With `search="near"`, the whole frame is searched in
    every fourth detection, and where a known face is lost; a new face is then searched for in the frames before.

    Args:
        frames: Frame stream in time order.
        detector, search, detect_every, max_gap, smoothing, min_length, min_confidence: See `track_face`.

    Yields:
        Every frame, in order, with its faces in ascending order of their track numbers. Of the faces that appear in the
        same frame, a larger one has a lower number.
    """
    rate, frames = measure_rate(frames)
    widths = Widths.at(rate, max_gap, smoothing, min_length)
    tracker = _MultiFaceTracker(detector, search, detect_every, widths, min_confidence)
    yield from steady_faces(tracker.run(frames), widths)


@dataclass
class _LiveTrack:
    row: np.ndarray  # last detection
    step: np.ndarray | None = None  # change of its landmarks per frame
    missed: int = 0  # frames since the last detection


class _MultiFaceTracker:
    """Match the faces detected in a frame with the live tracks."""

    def __init__(
        self, detector: FaceDetector, search: str, detect_every: int, widths: Widths, min_confidence: float
    ) -> None:
        self.detector = detector
        self.near = search == "near"
        self.detect_every = detect_every
        self.widths = widths
        self.min_confidence = min_confidence
        self.live: dict[int, _LiveTrack] = {}
        self.num_tracks = self.frames = 0
        self.left: tuple[dict[int, _LiveTrack], int] = {}, 0  # tracks at the last cut, frames until then
        self.boxes: deque[list[np.ndarray] | None] = deque([None] * (MOST_THREADS + 1))  # see `_FaceTracker`
        # frames since the last full look that are not returned yet
        self.recent: deque[tuple[Frame, Rows]] = deque(maxlen=widths.reach)

    def run(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool, Rows]]:
        """Yield every frame, whether a shot begins, and the rows of its faces."""
        chunks = detect_chunks(frames, self.detector, self.detect_every, self.boxes.popleft)
        for number, (chunk, faces, whole, cut) in enumerate(chunks):
            if cut:
                self._cut()
            self.frames += len(chunk)
            rows = self._rows(chunk[-1], faces)
            matched, new = self._match(rows)
            if not whole and (new or set(matched) != self._seen()):
                rows, whole = self._rows(chunk[-1], look_for(self.detector, chunk[-1][2])()), True
            known = self.num_tracks
            items = list(self._advance(chunk, rows))
            if whole:
                self._look_back(items, known)
                self.recent.clear()
            else:
                self.recent.extend(items)
            for frame, found in items:
                yield frame, cut, found
                cut = False
            steady = self.near and self.live and not any(live.missed for live in self.live.values())
            full = (number + 1) % FULL_LOOK == 0
            self.boxes.append([live.row[:4] for live in self.live.values()] if steady and not full else None)

    def _cut(self) -> None:
        """Start new tracks, as `_FaceTracker` does."""
        gap, (left, until) = self.widths.max_gap, self.left
        shown = {track: live for track, live in self.live.items() if live.missed == 0}
        hidden = {track: live for track, live in self.live.items() if 0 < live.missed <= gap}
        if self.frames - until <= gap:
            hidden = left | hidden
        self.live = {track: _LiveTrack(live.row, None, gap + 1) for track, live in hidden.items()}
        self.left = shown, self.frames
        self.recent.clear()

    def _seen(self) -> set[int]:
        return {track for track, live in self.live.items() if not live.missed}

    def _look_back(self, items: list[tuple[Frame, Rows]], known: int) -> None:
        """Follow new faces of a full search back to the full search before."""
        for track, row in items[0][1].items() if self.recent else ():
            if track < known:
                continue
            for frame, rows in reversed(self.recent):
                near = self._rows(frame, look_for(self.detector, frame[2], [row[:4]])())
                best = max(near, key=lambda one: overlap(one, row), default=None)
                if best is None or overlap(best, row) < SAME_FACE_IOU:
                    break
                if any(overlap(best, one) >= SAME_FACE_IOU for one in rows.values()):
                    break
                rows[track] = row = best

    def _advance(self, chunk: list[Frame], rows: list[np.ndarray]) -> Iterator[tuple[Frame, Rows]]:
        """Derive the faces of a chunk from the faces detected in its last frame."""
        *first, last = chunk
        matched, new = self._match(rows)
        boxes = None
        if not new and set(matched) == self._seen():
            steps = {
                track: between(chunk, self.live[track].row, row, self.live[track].step)
                for track, row in matched.items()
            }
            if all(one is not None for one in steps.values()):
                for number, frame in enumerate(first):
                    yield frame, {track: one[number] for track, one in steps.items() if one is not None}
                moved = {track: (row - self.live[track].row)[4:14] / len(chunk) for track, row in matched.items()}
                for live in self.live.values():
                    live.missed += len(first) if live.missed else 0
                yield last, self._update(rows)
                for track, step in moved.items():
                    self.live[track].step = step
                return
            boxes = [row[:4] for row in matched.values()] if self.near else None
        # a face appeared, disappeared, jumped or changed its speed
        for frame, found in zip(first, [look_for(self.detector, frame[2], boxes) for frame in first], strict=True):
            yield frame, self._update(self._rows(frame, found()))
        yield last, self._update(rows)

    def _rows(self, frame: Frame, faces: list[Face]) -> list[np.ndarray]:
        faces = [face for face in faces if face.confidence >= self.min_confidence]
        return [to_row(face, frame[2]) for face in sorted(faces, key=lambda face: -face.box[2] * face.box[3])]

    def _match(self, rows: list[np.ndarray]) -> tuple[Rows, list[np.ndarray]]:
        """Split detections into those of live tracks, keyed by track, and new faces."""
        pairs = list(product(self.live, range(len(rows))))
        near = {pair: overlap(rows[pair[1]], self.live[pair[0]].row) for pair in pairs if self._held(pair[0])}
        alike = {pair: float(rows[pair[1]][15:] @ self.live[pair[0]].row[15:]) for pair in pairs}
        matched: dict[int, int] = {}
        first = [pair for pair, iou in sorted(near.items(), key=lambda item: -item[1]) if iou >= SAME_FACE_IOU]
        second = [pair for pair, _ in sorted(alike.items(), key=lambda item: -item[1])]
        second = [(track, index) for track, index in second if returns(rows[index], self.live[track].row)]
        for track, index in chain(first, second):
            if track not in matched and index not in matched.values():
                matched[track] = index
        new = [row for index, row in enumerate(rows) if index not in matched.values()]
        return {track: rows[index] for track, index in sorted(matched.items())}, new

    def _held(self, track: int) -> bool:
        return self.live[track].missed <= self.widths.max_gap

    def _update(self, rows: list[np.ndarray]) -> Rows:
        matched, new = self._match(rows)
        for row in new:
            matched[self.num_tracks] = row
            self.num_tracks += 1
        for live in self.live.values():
            live.missed += 1
        before = self.live
        self.live = {track: live for track, live in before.items() if live.missed <= self.widths.memory}
        for track, row in matched.items():
            last = before.get(track)
            step = (row - last.row)[4:14] if last is not None and last.missed == 1 else None
            self.live[track] = _LiveTrack(row, step)
        return matched
