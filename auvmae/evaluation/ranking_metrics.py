"""What the probabilities are worth without a threshold: average precision, ROC AUC, calibration. All per AU."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..knowledge.facs import NOT_CODED


def average_precision(probs: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Area under the steps of the precision-recall curve, by scikit-learn.

    Args:
        probs: `(frames, N)` in [0, 1].
        labels: `(frames, N)`: 0, 1, or -100 where not coded (counted nowhere).

    Returns:
        `(N,)` in [0, 1]; NaN for an AU that is present in no coded frame.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    return _per_au(_scikit_learn().average_precision_score, probs, labels, needs={1})


def roc_auc(probs: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Probability that a frame with the AU gets a higher value than one without it (a tie is half), by scikit-learn.

    Args:
        probs, labels: See `average_precision`.

    Returns:
        `(N,)` in [0, 1]; NaN for an AU that is present in none or in all of its coded frames.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    return _per_au(_scikit_learn().roc_auc_score, probs, labels, needs={0, 1})


def expected_calibration_error(probs: NDArray[Any], labels: NDArray[Any], bins: int = 15) -> NDArray[np.float64]:
    """How far the probability of an AU is from the share of frames that have it (Naeini et al. 2015, Guo et al. 2017).

    Coded frames are put into bins of equal width by their probability, `[k / bins, (k + 1) / bins)`, the last one
    closed; the error is the mean over frames of the bin's |mean probability - share of present|. The probability is
    that of presence, not that of the more likely class, which for rare AUs is near 1 whatever the model says.

    Args:
        probs, labels: See `average_precision`.
        bins: Number of bins.

    Returns:
        `(N,)` in [0, 1]; NaN for an AU that is coded nowhere.
    """

    def error(present: NDArray[Any], prob: NDArray[Any]) -> float:
        prob = prob.astype(np.float64)
        index = np.minimum((prob * bins).astype(int), bins - 1)
        return float(np.abs(np.bincount(index, weights=prob - present, minlength=bins)).sum() / len(prob))

    return _per_au(error, probs, labels, needs=set())


def _per_au(
    score: Callable[..., float], probs: NDArray[Any], labels: NDArray[Any], needs: set[int]
) -> NDArray[np.float64]:
    """`score(labels, probs)` of the coded frames of each AU; NaN where there is none, or a label that it needs."""
    scores = np.full(probs.shape[1], np.nan)
    for column in range(probs.shape[1]):
        coded = labels[:, column] != NOT_CODED
        present = labels[coded, column]
        if len(present) and needs <= set(np.unique(present).tolist()):
            scores[column] = score(present, probs[coded, column])
    return scores


def _scikit_learn() -> Any:
    try:
        import sklearn.metrics
    except ImportError as error:
        message = f"average precision and ROC AUC need the extra `ranking`: pip install auvmae[ranking] ({error})"
        raise ImportError(message) from error
    return sklearn.metrics
