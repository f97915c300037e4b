"""F1 of events: what counts is whether an AU was seen to come and go, not how many of its frames were found."""

import numpy as np
from numpy.typing import NDArray

from ..knowledge.losses import NOT_CODED


def event_counts(
    predicted: NDArray[np.bool_], labels: NDArray[np.int8], recordings: NDArray[np.int64], frames: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Match predicted with true events per AU.

    An event is a longest run of active frames that follow one another in one recording. A frame that is not coded for
    the AU belongs to no event, true or predicted: it ends a run, and if the AU is active on both sides these are two
    events. So does a frame that is missing. A predicted event is right if it and a true one share at least half of the
    frames that either of them has (IoU >= 0.5). No event can do that with two others, since there is a frame of its own
    between them: the matching is one-to-one by itself.

    Args:
        predicted: `(frames, N)`, called present.
        labels: `(frames, N)`: 0, 1, or -100 where not coded.
        recordings: `(frames,)`, which recording a frame is of, e.g. `Predictions.recordings`.
        frames: `(frames,)`, index in the recording, ascending within it.

    Returns:
        `(3, N)` int64: matched events, predicted ones without a match, true ones without a match. Their F1 is that of
        `auvmae.evaluation.metrics.f1_from_counts`.
    """
    broken = np.ones(len(frames), dtype=bool)
    broken[1:] = (np.diff(recordings) != 0) | (np.diff(frames) != 1)
    coded = labels != NOT_CODED
    columns = range(labels.shape[1])
    counts = [_match(predicted[:, i] & coded[:, i], labels[:, i] == 1, broken) for i in columns]
    return np.array(counts, dtype=np.int64).reshape(-1, 3).T


def _match(predicted: NDArray[np.bool_], present: NDArray[np.bool_], broken: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Matched, unmatched predicted and unmatched true events of one AU; a `broken` frame does not follow the last."""
    (predicted_event, predicted_length), (true_event, true_length) = (
        _events(run, broken) for run in (predicted, present)
    )
    both = predicted & present
    pairs, shared = np.unique(np.stack([predicted_event[both], true_event[both]]), axis=1, return_counts=True)
    union = predicted_length[pairs[0]] + true_length[pairs[1]] - shared
    matched = int((2 * shared >= union).sum())
    return matched, len(predicted_length) - matched, len(true_length) - matched


def _events(active: NDArray[np.bool_], broken: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of the event that a frame is of (only of use where active), and the length of each event."""
    starts = active & broken
    starts[1:] |= active[1:] & ~active[:-1]
    event = np.cumsum(starts) - 1
    return event, np.bincount(event[active], minlength=int(starts.sum()))
