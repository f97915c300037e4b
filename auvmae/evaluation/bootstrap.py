"""How far a score depends on who happened to be in the test side: bootstrap over subjects.

Frames of a person are alike, so the subjects are drawn, with replacement, and all frames of a person come along. Scores
are computed from counts, which add over frames: a draw is a weighted sum of the counts of the subjects, and ten
thousand draws are one matrix product.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import f1_from_counts

DRAWS = 10_000


def draw_subjects(num_subjects: Sequence[int], draws: int = DRAWS, seed: int = 0) -> list[NDArray[np.int64]]:
    """Draw as many subjects as there are, with replacement, within each fold.

    Args:
        num_subjects: Test subjects of each fold.
        draws: Number of draws.
        seed: Of the generator.

    Returns:
        Per fold `(draws, subjects)`: how often each subject was drawn; a row sums to the number of subjects.

    Raises:
        ValueError: There is no draw.
    """
    if draws < 1:
        raise ValueError(f"the bootstrap needs at least one draw, found {draws}.")
    generator = np.random.default_rng(seed)
    return [generator.multinomial(number, np.full(number, 1 / number), size=draws) for number in num_subjects]


def bootstrap_scores(
    counts: Sequence[NDArray[np.int64]],
    drawn: Sequence[NDArray[np.int64]],
    score: Callable[[NDArray[Any]], NDArray[np.float64]] = f1_from_counts,
) -> NDArray[np.float64]:
    """Score every draw as the tables score the test sides: per AU, mean over folds.

    For the difference of two runs, give both the same draws and subtract (paired bootstrap).

    Args:
        counts: Per fold `(subjects, 4, N)`, see `auvmae.evaluation.metrics.counts_by_group`.
        drawn: Per fold `(draws, subjects)`, see `draw_subjects`.
        score: `(draws, 4, N)` counts to `(draws, N)` scores. The F1 of an AU that is neither present nor predicted in a
            draw is 0, as everywhere in this metric.

    Returns:
        `(draws, N)`; the mean over AUs is the macro score.
    """
    folds = [score(np.tensordot(weights, part, axes=1)) for weights, part in zip(drawn, counts, strict=True)]
    return np.mean(folds, axis=0)


def percentile_interval(scores: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """The interval that holds the middle `level` of the draws, `(draws, ...)` -> `(2, ...)`: low, high."""
    return np.quantile(scores, [(1 - level) / 2, (1 + level) / 2], axis=0)
