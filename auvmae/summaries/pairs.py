"""Count the joint states of pairs of predicted action units (Sec. 3.4)."""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pandas
import torch
from numpy.typing import NDArray

from ..inference.events import face_runs
from ..inference.prediction import AUPrediction
from ..knowledge.facs import au_column
from ..knowledge.fsm import (
    CooccurrenceCounts,
    TransitionCounts,
    closest_pair,
    cooccurrence_counts,
    transition_counts,
)

STATES = ("00", "10", "01", "11")
"""Joint states of a pair; the first digit is the first action unit."""


@dataclass(frozen=True)
class PairCounts:
    """Count the joint states of all pairs of N action units.

    Counts of several recordings can be added.

    Args:
        au_names: N names as in table columns, "AU01".
        pairs, steps: See `auvmae.knowledge.fsm`.
    """

    au_names: list[str]
    pairs: CooccurrenceCounts
    steps: TransitionCounts

    @classmethod
    def of(cls, prediction: AUPrediction, face: int | None = None) -> "PairCounts":
        """Count the frames of a prediction, or of one of its faces.

        A transition counts only between neighbouring frames that both show the face.

        Raises:
            ValueError: If the recording has no timestamps.
        """
        names = [*map(au_column, prediction.au_names)]
        present = torch.from_numpy(prediction.occurrence == 1).double()
        # an empty run, so that a prediction without a face counts nothing
        runs = [present[:0], *(present[run] for own, run, _ in face_runs(prediction.rows) if face in (None, own))]
        return reduce(add, (cls(names, cooccurrence_counts(run), transition_counts(run)) for run in runs))

    def __add__(self, other: "PairCounts") -> "PairCounts":
        """Add the counts of another recording with the same action units."""
        assert self.au_names == other.au_names
        pairs = CooccurrenceCounts(*(a + b for a, b in zip(self.pairs, other.pairs, strict=True)))
        steps = TransitionCounts(*(a + b for a, b in zip(self.steps, other.steps, strict=True)))
        return PairCounts(self.au_names, pairs, steps)

    @property
    def cooccurrence(self) -> NDArray[np.float64]:
        """Return P(both | at least one), float (N, N) in [0, 1]; NaN where neither occurs."""
        return torch.where(self.pairs.defined, self.pairs.normalise(), torch.nan).numpy()

    @property
    def transitions(self) -> NDArray[np.float64]:
        """Return the joint distribution of states in consecutive frames, float (N, N, 16).

        The index is that of `auvmae.knowledge.fsm.transition_tensor`.
        """
        return self.steps.normalise().numpy()

    def tables(self) -> tuple[pandas.DataFrame, pandas.DataFrame]:
        """Tabulate all pairs.

        Returns:
            Co-occurrence, with columns au_1, au_2, probability; and transitions, with columns au_1, au_2, from, to
            (such as "10", only the first active), probability.
        """
        names, together, joint = self.au_names, self.cooccurrence, self.transitions
        pairs = [*zip(*np.triu_indices(len(names), k=1), strict=True)]
        return pandas.DataFrame(
            [(names[i], names[j], together[i, j]) for i, j in pairs], columns=["au_1", "au_2", "probability"]
        ), pandas.DataFrame(
            [
                (names[i], names[j], before, after, joint[i, j, start + 4 * stop])
                for i, j in pairs
                for start, before in enumerate(STATES)
                for stop, after in enumerate(STATES)
            ],
            columns=["au_1", "au_2", "from", "to", "probability"],
        )

    def closest_pair(self) -> tuple[str, str]:
        """Name the pair with the highest co-occurrence."""
        first, second = closest_pair(self.cooccurrence)
        return self.au_names[first], self.au_names[second]
