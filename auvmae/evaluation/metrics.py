"""Per-AU F1 and accuracy from counts that add over batches, clips, processes, subjects and folds."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
import torch
from numpy.typing import NDArray

from ..knowledge.facs import NOT_CODED


def au_counts(
    probs: NDArray[Any], labels: NDArray[Any], threshold: float | NDArray[np.float64] = 0.5
) -> NDArray[np.int64]:
    """Count true positives, false positives, false negatives and true negatives per AU.

    Args:
        probs: `(frames, N)` in [0, 1].
        labels: `(frames, N)`: 0, 1, or -100 where not coded (counted nowhere).
        threshold: Predicted present where `probs` is greater; one for all AUs or `(N,)`.

    Returns:
        `(4, N)` int64: TP, FP, FN, TN.

    Raises:
        ValueError: The shapes differ.
    """
    probs, labels = np.asarray(probs), np.asarray(labels)
    if probs.shape != labels.shape or probs.ndim != 2:
        raise ValueError(f"probs and labels must share one shape (frames, N), found {probs.shape} and {labels.shape}.")
    coded, predicted, present = labels != NOT_CODED, probs > threshold, labels == 1
    cells = (predicted & present, predicted & ~present, ~predicted & present, ~predicted & ~present)
    return np.stack([(cell & coded).sum(axis=0) for cell in cells])


def f1_from_counts(counts: NDArray[Any], undefined: float = 0.0) -> NDArray[np.float64]:
    """`2 TP / (2 TP + FP + FN)` per AU, `(..., 4, N)` -> `(..., N)`.

    Args:
        counts: TP, FP, FN, TN; TN is not looked at.
        undefined: The F1 of an AU that is neither present nor predicted. 0 is the field's convention, for whole folds.
    """
    true_positive, false_positive, false_negative = np.moveaxis(counts[..., :3, :].astype(np.float64), -2, 0)
    total = 2 * true_positive + false_positive + false_negative
    return np.where(total > 0, 2 * true_positive / np.maximum(total, 1), undefined)


def accuracy_from_counts(counts: NDArray[Any]) -> NDArray[np.float64]:
    """`(TP + TN) / coded frames` per AU, `(..., 4, N)` -> `(..., N)`; 0 where no frame is coded."""
    return (counts[..., 0, :] + counts[..., 3, :]) / np.maximum(counts.sum(axis=-2), 1)


def counts_by_group(
    probs: NDArray[Any],
    labels: NDArray[Any],
    groups: NDArray[Any],
    threshold: float | NDArray[np.float64] = 0.5,
) -> NDArray[np.int64]:
    """`au_counts` of each group of frames, e.g. of each subject: `(groups, 4, N)`, groups in sorted order.

    Args:
        probs, labels, threshold: See `au_counts`.
        groups: `(frames,)`, the group of each frame.
    """
    members = [groups == group for group in np.unique(groups)]
    counts = [au_counts(probs[member], labels[member], threshold) for member in members]
    return np.array(counts, dtype=np.int64).reshape(-1, 4, labels.shape[1])


def f1_averages(counts: NDArray[np.int64]) -> dict[str, float]:
    """Put the F1 of several folds into one number, in the four ways in use.

    Args:
        counts: `(folds, 4, N)`: TP, FP, FN, TN.

    Returns:
        Fractions: macro F1 (mean over AUs of their F1; 0 for an AU neither present nor predicted) and micro F1 (of the
        counts summed over AUs), each as mean over folds (`macro_fold_mean` is the paper's) and `pooled`, that is of the
        counts summed over folds.
    """
    averages = {}
    for over, part in (("fold_mean", counts), ("pooled", counts.sum(axis=0, keepdims=True))):
        averages[f"macro_{over}"] = float(f1_from_counts(part).mean())
        averages[f"micro_{over}"] = float(f1_from_counts(part.sum(axis=-1, keepdims=True)).mean())
    return averages


def au_metrics(
    probs: NDArray[Any],
    labels: NDArray[Any],
    au_names: Sequence[str],
    threshold: float | NDArray[np.float64] = 0.5,
) -> dict[str, float]:
    """Score a fold: the field's metric, pooled over all its coded frames per AU, then averaged over AUs.

    Args:
        probs, labels, threshold: See `au_counts`.
        au_names: N names in the order of the columns, e.g. `["AU1", "AU2"]`.

    Returns:
        Fractions in [0, 1]: `f1` and `accuracy` (means over AUs), `f1_AU1`, ..., `accuracy_AU1`, ...

    Raises:
        ValueError: The shapes or the number of names differ.

    Example:
        >>> au_metrics(np.array([[0.9], [0.2], [0.8]]), np.array([[1], [1], [0]]), ["AU12"])["f1_AU12"]
        0.5
    """
    counts = au_counts(probs, labels, threshold)
    if len(au_names) != counts.shape[1]:
        raise ValueError(f"au_names must name the {counts.shape[1]} columns, found {list(au_names)}.")
    scores: dict[str, float] = {}
    for metric, values in (("f1", f1_from_counts(counts)), ("accuracy", accuracy_from_counts(counts))):
        scores[metric] = float(values.mean())
        scores |= {f"{metric}_{name}": float(value) for name, value in zip(au_names, values, strict=True)}
    return scores


class AUF1(evaluate.Metric):
    """`au_metrics` behind the interface of `evaluate`: `AUF1(au_names).compute(predictions=..., references=...)`.

    Works offline. One prediction is one frame's probabilities, one reference its labels.

    Args:
        au_names: N names in the order of the columns.
        threshold: Predicted present where the probability is greater.
        kwargs: `evaluate.Metric`'s, e.g. `experiment_id`.
    """

    def __init__(self, au_names: Sequence[str], threshold: float = 0.5, **kwargs: Any) -> None:
        self.au_names, self.threshold = list(au_names), threshold
        super().__init__(**kwargs)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="F1 and accuracy per action unit, pooled over coded frames.",
            citation="",
            inputs_description="predictions: probabilities (N,) per frame; references: labels (N,), -100 = not coded.",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float32")),
                    "references": datasets.Sequence(datasets.Value("int32")),
                }
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return au_metrics(np.asarray(predictions), np.asarray(references), self.au_names, self.threshold)


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
        recordings: `(frames,)`, which recording a frame is of, e.g. `FoldPredictions.recordings`.
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


def frame_probs(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Logits to probabilities, same shape, float32."""
    return torch.as_tensor(logits).float().sigmoid().numpy()
