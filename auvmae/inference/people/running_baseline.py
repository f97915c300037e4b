"""Subtract a running baseline from action units that depend on the person.

Heavy or low brows look like AU4, so that its probability tells people apart rather than expressions. OpenFace therefore
normalises such action units by the person's median (Baltrusaitis, Mahmoud and Robinson 2015). Unlike `calibration`,
this module needs no whole recording, so that live streams and files get the same values.
"""

import math
from collections import defaultdict
from collections.abc import Generator
from contextlib import closing
from heapq import heappop, heappush, heappushpop
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...faces.crop import CroppedFrame
from ..calibration import REST, logit

Rows = Generator[tuple[CroppedFrame, NDArray[np.float64] | None], None, None]

QUANTILE = 0.2
"""Quantile of the logits so far that is the baseline, chosen on real clips for development (docs/real-faces.md)."""


class RunningBaseline:
    """Make the probabilities of some action units relative to the face's own.

    The baseline of a frame is a low quantile of the logits of the face up to this frame. The result is the logit minus
    the baseline, moved so that a face at its baseline lies `REST` logits below the threshold. The first frame of a face
    is therefore at its baseline, whatever it shows. About 32 bytes are kept per frame and action unit.

    Args:
        thresholds: Thresholds of these action units in the model, by their columns.
        per_face: Keep a baseline for each track. Otherwise the recording has one, as it shows one person.
    """

    def __init__(self, thresholds: dict[int, float], per_face: bool) -> None:
        self.per_face = per_face
        self._columns = [*thresholds]
        self._resting = logit(np.array([*thresholds.values()])) - REST
        self._quantiles: defaultdict[tuple[int, int], RunningQuantile] = defaultdict(RunningQuantile)

    def apply(self, rows: Rows) -> Rows:
        """Replace probabilities in a stream of values (K, N), where they come first."""
        with closing(rows):
            for cropped, values in rows:
                if self._columns and cropped.face is not None and values is not None:
                    values = values.copy()
                    track = cropped.face.track if self.per_face else 0
                    # Paper: Sec. 3.3 takes probabilities as they are, whoever shows them
                    logits = logit(values[0, self._columns])
                    baselines = [
                        self._quantiles[track, column].add(own)
                        for column, own in zip(self._columns, logits.tolist(), strict=True)
                    ]
                    values[0, self._columns] = 1 / (1 + np.exp(baselines - logits - self._resting))
                yield cropped, values


def describe_baselines(thresholds: dict[int, float], names: list[str]) -> dict[str, Any]:
    """Describe baselines in JSON types, by the names of all columns."""
    return {
        names[column]: {"threshold": threshold, "quantile": QUANTILE, "rest": REST}
        for column, threshold in thresholds.items()
    }


class RunningQuantile:
    """Find the `QUANTILE` of all numbers so far.

    It is the lowest number with at least this share of them at or below it. Two heaps hold the numbers up to it and
    those above it.
    """

    def __init__(self) -> None:
        self._low: list[float] = []  # negated, so that the greatest comes first
        self._high: list[float] = []

    def add(self, number: float) -> float:
        """Add a number, and return the quantile."""
        heappush(self._high, -heappushpop(self._low, -number))
        # the tolerance keeps 0.2 * 15 from becoming 4
        if len(self._low) < math.ceil(QUANTILE * (len(self._low) + len(self._high)) - 1e-9):
            heappush(self._low, -heappop(self._high))
        return -self._low[0]
