"""Compute F1 and accuracy per AU from counts.

Counts add over batches, clips, processes, subjects and folds.
"""

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
    """Count true and false positives and negatives per AU.

    Args:
        probs: Probabilities `(frames, N)` in [0, 1].
        labels: Labels `(frames, N)`: 0, 1, or -100 where not coded (ignored).
        threshold: An AU is predicted where `probs` exceeds it; one for all AUs or `(N,)`.

    Returns:
        int64 `(4, N)`: TP, FP, FN, TN.

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
    """Compute F1 per AU, `(..., 4, N)` -> `(..., N)`.

    F1 is `2 TP / (2 TP + FP + FN)`.

    Args:
        counts: TP, FP, FN, TN; TN is ignored.
        undefined: F1 of an AU that is neither present nor predicted. For whole folds the field uses 0.
    """
    true_positive, false_positive, false_negative = np.moveaxis(counts[..., :3, :].astype(np.float64), -2, 0)
    total = 2 * true_positive + false_positive + false_negative
    return np.where(total > 0, 2 * true_positive / np.maximum(total, 1), undefined)


def accuracy_from_counts(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Compute accuracy per AU, `(..., 4, N)` -> `(..., N)`.

    Accuracy is `(TP + TN) / coded frames`, and 0 if no frame is coded.
    """
    return (counts[..., 0, :] + counts[..., 3, :]) / np.maximum(counts.sum(axis=-2), 1)


def counts_by_group(
    probs: NDArray[Any],
    labels: NDArray[Any],
    groups: NDArray[Any],
    threshold: float | NDArray[np.float64] = 0.5,
) -> NDArray[np.int64]:
    """Compute `au_counts` of each group of frames, e.g. of each subject.

    Args:
        probs, labels, threshold: See `au_counts`.
        groups: Group of each frame, `(frames,)`.

    Returns:
        int64 `(groups, 4, N)`, groups in sorted order.
    """
    members = [groups == group for group in np.unique(groups)]
    counts = [au_counts(probs[member], labels[member], threshold) for member in members]
    return np.array(counts, dtype=np.int64).reshape(-1, 4, labels.shape[1])


def f1_averages(counts: NDArray[np.int64]) -> dict[str, float]:
    """Average the F1 of several folds in the four common ways.

    Macro F1 is the mean F1 of the AUs; an AU that is neither present nor predicted counts as 0. Micro F1 is computed
    from the counts summed over AUs. Both are averaged over folds (`fold_mean`) or computed from the counts summed over
    folds (`pooled`).

    Args:
        counts: `(folds, 4, N)`: TP, FP, FN, TN.

    Returns:
        The four averages as fractions. The paper reports `macro_fold_mean`.
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
    """Score a fold by F1 and accuracy.

    As usual in the field, each AU is scored over all coded frames of the fold, and the scores are averaged over AUs.

    Args:
        probs, labels, threshold: See `au_counts`.
        au_names: N names in column order, e.g. `["AU1", "AU2"]`.

    Returns:
        Fractions in [0, 1]: `f1` and `accuracy` (means over AUs), `f1_AU1`, ..., `accuracy_AU1`, ...

    Raises:
        ValueError: The shapes differ, or the number of names is wrong.

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
    """Wrap `au_metrics` as a metric of `evaluate`.

    Call `AUF1(au_names).compute(predictions=..., references=...)`. A prediction is the probabilities of one frame, a
    reference its labels. The metric works offline.

    Args:
        au_names: N names in column order.
        threshold: An AU is predicted where its probability exceeds this value.
        kwargs: Arguments of `evaluate.Metric`, e.g. `experiment_id`.
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
    """Match predicted events to true events per AU.

    An event is a maximal run of consecutive active frames in one recording. Frames that are not coded for the AU, or
    missing, belong to no event and split a run into two events. A predicted event matches a true event if their
    intersection over union (IoU) is at least 0.5. The matching is one-to-one, because an event that spans two others
    also covers the frame between them and cannot share half of the union with both.

    Args:
        predicted: Predicted presence `(frames, N)`.
        labels: Labels `(frames, N)`: 0, 1, or -100 where not coded.
        recordings: Recording of each frame, `(frames,)`, e.g. `FoldPredictions.recordings`.
        frames: Frame index in the recording, `(frames,)`, ascending within it.

    Returns:
        int64 `(3, N)`: matched events, unmatched predicted events, unmatched true events. Pass them to
        `auvmae.evaluation.metrics.f1_from_counts` for the F1.
    """
    broken = np.ones(len(frames), dtype=bool)
    broken[1:] = (np.diff(recordings) != 0) | (np.diff(frames) != 1)
    coded = labels != NOT_CODED
    columns = range(labels.shape[1])
    counts = [_match(predicted[:, i] & coded[:, i], labels[:, i] == 1, broken) for i in columns]
    return np.array(counts, dtype=np.int64).reshape(-1, 3).T


def _match(predicted: NDArray[np.bool_], present: NDArray[np.bool_], broken: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Count matched, unmatched predicted and unmatched true events of one AU.

    A frame is `broken` if it does not directly follow the previous one.
    """
    (predicted_event, predicted_length), (true_event, true_length) = (
        _events(run, broken) for run in (predicted, present)
    )
    both = predicted & present
    pairs, shared = np.unique(np.stack([predicted_event[both], true_event[both]]), axis=1, return_counts=True)
    union = predicted_length[pairs[0]] + true_length[pairs[1]] - shared
    matched = int((2 * shared >= union).sum())
    return matched, len(predicted_length) - matched, len(true_length) - matched


def _events(active: NDArray[np.bool_], broken: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Assign each frame the number of its event, and measure the events.

    The number is only meaningful for active frames.
    """
    starts = active & broken
    starts[1:] |= active[1:] & ~active[:-1]
    event = np.cumsum(starts) - 1
    return event, np.bincount(event[active], minlength=int(starts.sum()))


def frame_probs(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Convert logits to float32 probabilities of the same shape."""
    return torch.as_tensor(logits).float().sigmoid().numpy()
