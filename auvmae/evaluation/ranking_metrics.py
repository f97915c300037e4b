"""Score probabilities per AU without a threshold.

The metrics are average precision, ROC AUC and expected calibration error.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..knowledge.facs import NOT_CODED


def average_precision(probs: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the area under the stepwise precision-recall curve with scikit-learn.

    Args:
        probs: Probabilities `(frames, N)` in [0, 1].
        labels: Labels `(frames, N)`: 0, 1, or -100 where not coded (ignored).

    Returns:
        `(N,)` in [0, 1]; NaN for an AU that is present in no coded frame.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    return _per_au(_scikit_learn().average_precision_score, probs, labels, needs={1})


def roc_auc(probs: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the area under the ROC curve with scikit-learn.

    It is the probability that a frame with the AU scores higher than a frame without it; a tie counts as half.

    Args:
        probs, labels: See `average_precision`.

    Returns:
        `(N,)` in [0, 1]; NaN for an AU that is present in none or all of its coded frames.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    return _per_au(_scikit_learn().roc_auc_score, probs, labels, needs={0, 1})


def expected_calibration_error(probs: NDArray[Any], labels: NDArray[Any], bins: int = 15) -> NDArray[np.float64]:
    """Compute the expected calibration error (Naeini et al. 2015, Guo et al. 2017).

    It measures how far the probability of an AU is from the share of frames that show it. Coded frames are sorted by
    probability into bins of equal width, `[k / bins, (k + 1) / bins)`, the last one closed. The error is |mean
    probability - share of present| of each bin, averaged over frames. The probability is that of presence, not that of
    the more likely class, which for rare AUs is near 1 whatever the model predicts.

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
    """Compute `score(labels, probs)` over the coded frames of each AU.

    The score is NaN if there is no such frame, or if a label in `needs` does not occur.
    """
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
