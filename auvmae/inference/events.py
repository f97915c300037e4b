"""From probabilities per frame to events: when an action unit set in, peaked and ended, as FACS coders note them."""

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

ROUNDING = 1e-6  # seconds by which a length may miss a minimum: ten frames of 0.01 s are 0.1 s


@dataclass(frozen=True)
class EventRule:
    """Hysteresis: an event begins where the probability reaches the threshold, and ends where it falls clearly below.

    Args:
        release: it ends below this share of the threshold, in (0, 1]; 1 for no hysteresis.
        min_pause: a shorter pause between two events of one face does not part them, in seconds.
        min_duration: a shorter event is none, in seconds; pauses are closed before.

    Raises:
        ValueError: a value out of its range.
    """

    release: float = 0.8
    min_pause: float = 0.1
    min_duration: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.release <= 1 or self.min_pause < 0 or self.min_duration < 0:
            raise ValueError(f"release must lie in (0, 1], min_pause and min_duration from 0 on, found {self}")


def find_active(probs: NDArray[np.floating], threshold: float, release: float) -> list[tuple[int, int]]:
    """Stretches that begin where `probs` (T,) reaches `threshold` and last while it is at least `release * threshold`.

    Returns:
        (start, stop) of each, in order; `stop` is the first frame that is not in it.

    >>> find_active(np.array([0.1, 0.6, 0.45, 0.7, 0.3, 0.45]), threshold=0.5, release=0.8)
    [(1, 4)]
    """
    held = np.concatenate([[False], probs >= release * threshold, [False]])
    edges = np.flatnonzero(np.diff(held.astype(np.int8)))
    stretches = []
    for start, stop in edges.reshape(-1, 2).tolist():
        reached = np.flatnonzero(probs[start:stop] >= threshold)
        if len(reached):
            stretches.append((start + int(reached[0]), stop))
    return stretches


def find_events(
    rows: np.ndarray, au_names: Sequence[str], thresholds: Sequence[float], rule: EventRule
) -> "pandas.DataFrame":
    """Find the events of every face and action unit. None goes on across frames without the face.

    Args:
        rows: as in `prediction.AUPrediction`.
        au_names, thresholds: N names, N probabilities.
        rule: when an event begins, ends, and is too short.

    Returns:
        A table with `EVENT_COLUMNS`, sorted by onset. `au` is as in the columns of tables, "AU01". `onset` is when
        the first active frame is shown, `offset` when the first that is active no more is (where the recording ends,
        its last frame counts for as long as the one before), `apex` when the highest probability is; seconds.
        `offset_frame` is the last active frame.

    Raises:
        ValueError: the frames have no timestamps, so that nothing has a duration.
    """
    import pandas

    frame, face_id, timestamp, probs = (rows[name] for name in ("frame", "face_id", "timestamp", "probs"))
    events = []
    # numbers are one apart from frame to frame, where images are missing, too
    _, first, numbers = np.unique(frame, return_index=True, return_inverse=True)
    shown = timestamp[first]
    edges = np.append(shown, shown[-1:] + np.diff(shown[-2:]).sum())  # a frame lasts until the next one is shown
    with_face = numbers[face_id >= 0]
    if np.isnan(edges[[*with_face, *(with_face + 1)]]).any():
        raise ValueError(
            "events last for seconds, but these frames have no timestamps (images and arrays have none): give them as "
            "(index, seconds, frame)"
        )
    for face in np.unique(face_id[face_id >= 0]).tolist():
        own = np.flatnonzero(face_id == face)
        for run in np.split(own, np.flatnonzero(np.diff(numbers[own]) > 1) + 1):
            for column, name in enumerate(au_names):
                times = edges[numbers[run[0]] : numbers[run[-1]] + 2]
                for event in _events_of_run(times, probs[run, column], thresholds[column], rule):
                    frames = {f"{place}_frame": frame[run[row]] for place, row in event.pop("rows").items()}
                    events.append({"face_id": face, "au": au_column(name), **event, **frames})
    table = pandas.DataFrame(events, columns=list(EVENT_COLUMNS))
    return table.sort_values(["onset", "face_id"], kind="stable", ignore_index=True)


def _events_of_run(
    edges: NDArray[np.floating], probs: NDArray[np.floating], threshold: float, rule: EventRule
) -> Iterator[dict]:
    """`edges` (T + 1,): when each of the T frames begins, and when the last one ends."""
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
