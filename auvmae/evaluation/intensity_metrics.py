"""Score predicted intensities against coded ones.

Frames that are not coded are NaN and are left out.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..knowledge.facs import HIGHEST_INTENSITY


def frame_intensities(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Convert logits of the intensity head to intensities.

    They are float32 in 0..5, and have the shape of the logits.
    """
    return (HIGHEST_INTENSITY * torch.as_tensor(logits).float().sigmoid()).numpy()


def icc(predicted: NDArray[Any], coded: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the intraclass correlation ICC(3,1) of prediction and coding.

    It is that of Shrout and Fleiss (1979) with two fixed raters and frames as targets: `(BMS - EMS) / (BMS + EMS)`,
    which for two raters is `2 cov / (var + var)`. A constant offset between the raters does not lower it.

    Args:
        predicted: Intensities `(frames, N)` in 0..5.
        coded: Intensities `(frames, N)` in 0..5, NaN where not coded.

    Returns:
        `(N,)` in [-1, 1]; NaN for an AU with fewer than two coded frames, or if both are constant.
    """
    covariance, first, second = _moments(predicted, coded)
    return _ratio(2 * covariance, first + second)


def pearson(predicted: NDArray[Any], coded: NDArray[Any]) -> NDArray[np.float64]:
    """Compute Pearson's correlation of prediction and coding.

    Args:
        predicted, coded: See `icc`.

    Returns:
        `(N,)` in [-1, 1]; NaN for an AU whose prediction or coding is constant over the coded frames.
    """
    covariance, first, second = _moments(predicted, coded)
    return np.clip(_ratio(covariance, np.sqrt(first) * np.sqrt(second)), -1, 1)


def mean_absolute_error(predicted: NDArray[Any], coded: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the mean absolute error, in grades.

    Args:
        predicted, coded: See `icc`.

    Returns:
        `(N,)` in [0, 5]; NaN for an AU without a coded frame.
    """
    return _mean(np.abs(_masked(predicted, coded) - _masked(coded, coded)))


def mean_squared_error(predicted: NDArray[Any], coded: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the mean squared error, in squared grades.

    Args:
        predicted, coded: See `icc`.

    Returns:
        `(N,)` in [0, 25]; NaN for an AU without a coded frame.
    """
    return _mean((_masked(predicted, coded) - _masked(coded, coded)) ** 2)


INTENSITY_METRICS: dict[str, tuple[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]]] = {
    "icc": ("ICC(3,1)", icc),
    "pearson": ("Pearson", pearson),
    "mae": ("MAE", mean_absolute_error),
    "mse": ("MSE", mean_squared_error),
}
"""Title of each metric, and the function that computes it per AU, `(N,)`."""

ERRORS = ("mae", "mse")
"""Metrics that are better if they are lower."""


def mean_over_aus(scores: NDArray[np.float64]) -> float:
    """Average the scores of the AUs for which they are defined; NaN if there is none.

    A dataset may code the intensities of some of its AUs only.
    """
    defined = scores[np.isfinite(scores)]
    return float(defined.mean()) if len(defined) else float("nan")


def intensity_scores(predicted: NDArray[Any], coded: NDArray[Any], au_names: Sequence[str]) -> dict[str, float]:
    """Score the intensities of a fold.

    Args:
        predicted: Intensities `(frames, N)` in 0..5.
        coded: Intensities `(frames, N)` in 0..5, NaN where not coded.
        au_names: N names in column order.

    Returns:
        `icc`, `pearson`, `mae` and `mse` (means over AUs, see `mean_over_aus`), and `icc_AU1`, ... per AU. A score that
        is undefined is absent, so that the result is valid JSON.

    Raises:
        ValueError: The shapes differ, or the number of names is wrong.

    Example:
        >>> coded = np.array([[0.0], [2.0], [np.nan]])
        >>> intensity_scores(np.array([[1.0], [2.0], [3.0]]), coded, ["AU12"])["mae_AU12"]
        0.5
    """
    if predicted.shape != coded.shape or predicted.ndim != 2 or predicted.shape[1] != len(au_names):
        raise ValueError(
            f"predicted and coded must be (frames, {len(au_names)}), found {predicted.shape} and {coded.shape}."
        )
    scores: dict[str, float] = {}
    for metric, (_, score) in INTENSITY_METRICS.items():
        values = score(predicted, coded)
        scores[metric] = mean_over_aus(values)
        scores |= {f"{metric}_{name}": float(value) for name, value in zip(au_names, values, strict=True)}
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def _masked(values: NDArray[Any], coded: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(np.isfinite(coded), values, np.nan).astype(np.float64)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.isfinite(values).sum(axis=0)
    return _ratio(np.where(np.isfinite(values), values, 0).sum(axis=0), counts)


def _moments(predicted: NDArray[Any], coded: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """Compute the covariance of both over the coded frames, and the variance of each."""
    used = np.isfinite(coded)
    centred = []
    for values in (_masked(predicted, coded), _masked(coded, coded)):
        # from the lowest value, so that constant values have a variance of exactly 0
        above = values - np.min(values, axis=0, where=used, initial=np.inf)
        centred.append(np.where(used, above - _mean(above), 0))
    first, second = centred
    pairs = (first, second), (first, first), (second, second)
    return tuple(_ratio((one * other).sum(axis=0), used.sum(axis=0)) for one, other in pairs)


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
