"""Compute every metric of a fold from its saved predictions."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .intensity_metrics import INTENSITY_METRICS
from .metrics import accuracy_from_counts, au_counts, counts_by_group, event_counts, f1_from_counts
from .ranking_metrics import average_precision, expected_calibration_error, roc_auc
from .saved_predictions import FoldPredictions


def fold_counts(predictions: FoldPredictions) -> NDArray[np.int64]:
    """Count TP, FP, FN and TN at the thresholds of the run, `(4, N)`."""
    return au_counts(predictions.probs, predictions.labels, predictions.thresholds)


def event_f1(predictions: FoldPredictions) -> NDArray[np.float64]:
    """Compute the F1 of events, `(N,)`, see `event_counts`.

    It is NaN for an AU with neither a true nor a predicted event.
    """
    called = predictions.probs > predictions.thresholds
    counts = event_counts(called, predictions.labels, predictions.recordings, predictions.frames)
    return f1_from_counts(counts, undefined=np.nan)


def f1_by_subject(predictions: FoldPredictions) -> NDArray[np.float64]:
    """Compute the F1 of each subject, `(subjects, N)`.

    It is NaN where an AU is neither present nor predicted.
    """
    counts = counts_by_group(predictions.probs, predictions.labels, predictions.subjects, predictions.thresholds)
    return f1_from_counts(counts, undefined=np.nan)


def mean_subject_f1(predictions: FoldPredictions) -> NDArray[np.float64]:
    """Average `f1_by_subject` over the subjects for which it is defined, `(N,)`.

    It is NaN for an AU that is neither present nor predicted in any subject.
    """
    scores = f1_by_subject(predictions)
    defined = np.isfinite(scores)
    sums, numbers = np.where(defined, scores, 0).sum(axis=0), defined.sum(axis=0)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)


def has_metric(predictions: FoldPredictions, metric: str) -> bool:
    """Tell whether a run trained and saved what a metric scores."""
    return predictions.intensities is not None if metric in INTENSITY_METRICS else predictions.has_occurrences


def _graded(metric: str) -> Callable[[FoldPredictions], NDArray[np.float64]]:
    """Return the function that scores the intensities of a fold by a metric."""

    def score(predictions: FoldPredictions) -> NDArray[np.float64]:
        intensities, coded = predictions.intensities, predictions.coded_intensities
        if intensities is None or coded is None:
            raise ValueError(f"the run has no intensities, so it has no {metric}. Train it with --target both.")
        return INTENSITY_METRICS[metric][1](intensities, coded)

    return score


COUNT_METRICS: dict[str, Callable[..., NDArray[np.float64]]] = {"f1": f1_from_counts, "accuracy": accuracy_from_counts}
"""Metrics with a bootstrap interval: functions from `(..., 4, N)` counts to `(..., N)`."""

METRICS: dict[str, tuple[str, Callable[[FoldPredictions], NDArray[np.float64]]]] = {
    "f1": ("F1", lambda predictions: f1_from_counts(fold_counts(predictions))),
    "accuracy": ("accuracy", lambda predictions: accuracy_from_counts(fold_counts(predictions))),
    "average_precision": (
        "average precision",
        lambda predictions: average_precision(predictions.probs, predictions.labels),
    ),
    "roc_auc": ("ROC AUC", lambda predictions: roc_auc(predictions.probs, predictions.labels)),
    "calibration_error": (
        "calibration error",
        lambda predictions: expected_calibration_error(predictions.probs, predictions.labels),
    ),
    "event_f1": ("event F1", event_f1),
    "subject_f1": ("mean subject F1", mean_subject_f1),
    **{name: (title, _graded(name)) for name, (title, _) in INTENSITY_METRICS.items()},
}
"""Title of each metric, and the function that computes it per AU of one fold, `(N,)`."""
