"""Find AU events in per-frame probabilities.

As in FACS coding, an event has an onset, an apex and an offset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..knowledge.facs import au_column

if TYPE_CHECKING:
    import pandas

EVENT_COLUMNS = (
    *("face_id", "au", "onset", "apex", "offset", "duration", "mean_probability", "apex_probability"),
    *("onset_frame", "apex_frame", "offset_frame"),
)

HOLE = 0.5
"""Shortest time in seconds without a frame, beyond five frame intervals, that ends an event."""

ROUNDING = 1e-6  # tolerance in seconds for minimum lengths, so that ten frames of 0.01 s count as 0.1 s


@dataclass(frozen=True)
class EventRule:
    """Define when an event begins and ends, with hysteresis.

    An event begins when the probability reaches the threshold, and ends when it falls clearly below.

    Args:
        release: Fraction of the threshold below which an event ends, in (0, 1]; 1 for no hysteresis.
        min_pause: Shortest pause in seconds between two events of a face; across a shorter pause they are merged.
        min_duration: Shortest duration of an event in seconds; shorter events are dropped after merging.

    Raises:
        ValueError: If a value is out of range.
    """

    release: float = 0.8
    min_pause: float = 0.1
    min_duration: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.release <= 1 or self.min_pause < 0 or self.min_duration < 0:
            raise ValueError(
                f"release must lie in (0, 1], and min_pause and min_duration must not be negative, found {self}"
            )


def find_active(probs: NDArray[np.floating], threshold: float, release: float) -> list[tuple[int, int]]:
    """Find the active intervals of `probs` (T,).

    An interval begins where `probs` reaches `threshold`, and lasts while it is at least `release * threshold`.

    Returns:
        Half-open frame ranges (start, stop), in order.

    >>> find_active(np.array([0.1, 0.6, 0.45, 0.7, 0.3, 0.45]), threshold=0.5, release=0.8)
    [(1, 4)]
    """
    held = np.concatenate([[False], probs >= release * threshold, [False]])
    edges = np.flatnonzero(np.diff(held.astype(np.int8)))
    intervals = []
    for start, stop in edges.reshape(-1, 2).tolist():
        reached = np.flatnonzero(probs[start:stop] >= threshold)
        if len(reached):
            intervals.append((start + int(reached[0]), stop))
    return intervals


def find_events(
    rows: np.ndarray, au_names: Sequence[str], thresholds: Sequence[float], rule: EventRule
) -> "pandas.DataFrame":
    """Find the events of every face and action unit.

    An event does not continue across frames without the face, nor across a hole in the clock, where the recording was
    paused (see `frame_spans`).

    Args:
        rows: Rows of an `AUPrediction`.
        au_names, thresholds: N names and N probabilities.
        rule: When an event begins, ends, and is too short.

    Returns:
        A table with `EVENT_COLUMNS`, sorted by onset. `au` is written as in table columns, "AU01". Times are in
        seconds: `onset` is the time of the first active frame, `offset` the time of the first frame after it that is
        no longer active, `apex` the time of the highest probability. The last frame of a recording, and the last before
        a hole, end after a usual interval. `offset_frame` is the last active frame.

    Raises:
        ValueError: If the frames have no timestamps, and events therefore no duration.
    """
    import pandas

    frame, probs = rows["frame"], rows["probs"]
    events = []
    for face, run, edges in face_runs(rows):
        for column, name in enumerate(au_names):
            for event in _events_of_run(edges, probs[run, column], thresholds[column], rule):
                frames = {f"{place}_frame": frame[run[row]] for place, row in event.pop("rows").items()}
                events.append({"face_id": face, "au": au_column(name), **event, **frames})
    table = pandas.DataFrame(events, columns=list(EVENT_COLUMNS))
    return table.sort_values(["onset", "face_id"], kind="stable", ignore_index=True)


def face_runs(rows: np.ndarray) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
    """Split the rows of each face into runs of neighbouring frames.

    A run ends where the face is absent, or the clock has a hole (see `frame_spans`).

    Args:
        rows: Rows of an `AUPrediction`.

    Yields:
        For each run of T frames: `face_id`, the numbers of its rows (T,), and in seconds the start of each frame and
        the end of the last, (T + 1,).

    Raises:
        ValueError: If the frames have no timestamps.
    """
    frame, face_id, timestamp = (rows[name] for name in ("frame", "face_id", "timestamp"))
    # consecutive numbers, even if images are missing
    _, first, numbers = np.unique(frame, return_index=True, return_inverse=True)
    starts, ends = frame_spans(timestamp[first])
    with_face = numbers[face_id >= 0]
    if np.isnan(ends[with_face]).any() or np.isnan(starts[with_face]).any():
        raise ValueError(
            "events are in seconds, but these frames have no timestamps (images and arrays have none): pass frames as "
            "(index, seconds, frame)"
        )
    for face in np.unique(face_id[face_id >= 0]).tolist():
        own = np.flatnonzero(face_id == face)
        broken = (np.diff(numbers[own]) > 1) | (ends[numbers[own[:-1]]] < starts[numbers[own[1:]]])
        for run in np.split(own, np.flatnonzero(broken) + 1):
            yield face, run, np.append(starts[numbers[run]], ends[numbers[run[-1]]])


def frame_spans(times: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Find when each frame begins and ends.

    A frame lasts until the next; the last one as long as the frame before. Before a hole, a frame lasts for the median
    interval. A hole is longer than `HOLE` and than five such intervals.

    Args:
        times: Timestamps in seconds, shape (T,).

    Returns:
        Two arrays (T,) in seconds.

    >>> frame_spans(np.array([0.0, 0.5, 1.0, 9.0]))[1]
    array([0.5, 1. , 1.5, 9.5])
    """
    steps = np.diff(times)
    typical = float(np.nanmedian(steps)) if np.isfinite(steps).any() else 0.0
    lasting = np.where(steps > max(HOLE, 5 * typical), typical, steps)
    return times, times + np.append(lasting, lasting[-1:] if len(lasting) else np.zeros(len(times)))


def _events_of_run(
    edges: NDArray[np.floating], probs: NDArray[np.floating], threshold: float, rule: EventRule
) -> Iterator[dict]:
    """Find the events of an uninterrupted run of T frames.

    `edges` (T + 1,) holds the start time of each frame, and the end of the last.
    """
    events: list[tuple[int, int]] = []
    for start, stop in find_active(probs, threshold, rule.release):
        if events and edges[start] - edges[events[-1][1]] < rule.min_pause - ROUNDING:
            start, _ = events.pop()
        events.append((start, stop))
    for start, stop in events:
        if edges[stop] - edges[start] < rule.min_duration - ROUNDING:
            continue
        apex = start + int(probs[start:stop].argmax())
        yield {
            "onset": edges[start],
            "apex": edges[apex],
            "offset": edges[stop],
            "duration": edges[stop] - edges[start],
            "mean_probability": probs[start:stop].mean(),
            "apex_probability": probs[apex],
            "rows": {"onset": start, "apex": apex, "offset": stop - 1},
        }
