"""Compare two conditions within persons by a permutation test."""

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
"""Number of random sign flips; with fewer possible ones, all are tried."""


def permutation_p(differences: NDArray[np.floating], draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """Compute two-sided p-values of a paired permutation test.

    If two conditions do not differ, each person's difference could as well have the other sign. The p-value is the
    share of sign flips whose mean is at least as far from 0 as the observed one. All flips are tried if there are at
    most `draws`; otherwise random ones are drawn, and the observed signs count as one of them.

    Args:
        differences: A difference per person (rows), shape (P, N).
        draws: Number of random flips.
        seed: Seed of the random flips. They are the same for all columns.

    Returns:
        p-values (N,), at least 2 / 2**P and 1 / (draws + 1).

    >>> permutation_p(np.array([[1.0, 1], [2, -2], [3, 1], [2, 1]]))
    array([0.125, 1.   ])
    """
    people = len(differences)
    exact = 2**people <= draws
    if exact:
        bits = np.arange(2**people)[:, None] >> np.arange(people) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (draws, people))
        bits = np.concatenate([np.zeros((1, people), dtype=bits.dtype), bits])
    means = np.abs((1 - 2 * bits) @ differences)
    observed = np.abs(differences.sum(axis=0))
    # equal sums may differ in their last digits
    return (means >= observed * (1 - 1e-9) - 1e-12).mean(axis=0)


def holm(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Correct p-values for their number (Holm, 1979).

    Among N tests whose conditions do not differ, the chance of any corrected p-value below 0.05 is at most 0.05.

    Args:
        p: p-values, shape (N,).

    >>> holm(np.array([0.04, 0.01, 0.03]))
    array([0.06, 0.03, 0.06])
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]), 1)
    return corrected


def effect_size(differences: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute Cohen's d_z.

    It is the mean difference, in standard deviations of the difference.

    Args:
        differences: A difference per person (rows), shape (P, N).

    Returns:
        d_z (N,), NaN where all differences are equal.
    """
    spread = differences.std(axis=0, ddof=1)
    return np.divide(differences.mean(axis=0), spread, out=np.full(spread.shape, np.nan), where=spread > 1e-12)
