"""Estimate confidence intervals of scores by bootstrap over test subjects.

The frames of a subject are correlated, so whole subjects are drawn with replacement. Scores are computed from counts
that add over frames. A draw is therefore a weighted sum of the subjects' counts, and ten thousand draws are one matrix
product.
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
        seed: Random seed.

    Returns:
        Per fold `(draws, subjects)`: how often each subject was drawn. A row sums to the number of subjects.

    Raises:
        ValueError: `draws` is not positive.
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
    """Score each AU on every bootstrap draw of subjects, averaged over folds.

    The result tables score the test split of each fold in the same way. To compare two runs, pass the same draws for
    both and subtract the scores (paired bootstrap).

    Args:
        counts: TP, FP, FN and TN per fold, `(subjects, 4, N)`, see `auvmae.evaluation.metrics.counts_by_group`.
        drawn: Per fold `(draws, subjects)`, see `draw_subjects`.
        score: Function from `(draws, 4, N)` counts to `(draws, N)` scores. For F1, an AU that is neither present nor
            predicted in a draw scores 0, as in the tables.

    Returns:
        Scores `(draws, N)`; their mean over AUs is the macro score.
    """
    folds = [score(np.tensordot(weights, part, axes=1)) for weights, part in zip(drawn, counts, strict=True)]
    return np.mean(folds, axis=0)


def percentile_interval(scores: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """Compute the interval that contains the central `level` of the draws.

    The shape changes from `(draws, ...)` to `(2, ...)`: low, high.
    """
    return np.quantile(scores, [(1 - level) / 2, (1 + level) / 2], axis=0)
