"""Subtract a running baseline from action units that depend on the person.

Heavy or low brows look like AU4, so that its probability tells people apart rather than expressions. OpenFace therefore
normalises such action units by the person's median (Baltrusaitis, Mahmoud and Robinson 2015). Unlike `calibration`,
this module needs no whole recording, so that live streams and files get the same values.
"""

from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from ...faces.crop import CroppedFrame
from ..calibration import REST, logit

Rows = Generator[tuple[CroppedFrame, NDArray[np.float64] | None], None, None]

QUANTILE = 0.2
"""Quantile of the logits so far that is the baseline, chosen on real clips for development (docs/real-faces.md)."""

STEP = 0.01
"""Width of the bins that logits are counted in. No value is held, so memory does not grow with a recording."""

LIMIT = 15.0
"""Larger than any logit of a probability with six places."""


class RunningBaseline:
    """Make the probabilities of some action units relative to the face's own.

    The baseline of a frame is a low quantile of the logits of the face up to this frame. The result is the logit minus
    the baseline, moved so that a face at its baseline lies `REST` logits below the threshold. The first frame of a face
    is therefore at its baseline, whatever it shows.

    Args:
        columns: Numbers of these action units.
        thresholds: Their thresholds in the model.
        per_face: Keep a baseline for each track. Otherwise the recording has one, as it shows one person.
    """

    def __init__(self, columns: Sequence[int], thresholds: Sequence[float], per_face: bool) -> None:
        self.columns, self.per_face = list(columns), per_face
        self.neutral = logit(np.asarray(thresholds, float)) - REST
        self._counts: dict[int, NDArray[np.int64]] = defaultdict(
            lambda: np.zeros((len(self.columns), round(2 * LIMIT / STEP)), np.int64)
        )

    def apply(self, rows: Rows) -> Rows:
        """Replace probabilities in a stream of values (K, N), where they come first."""
        with closing(rows):
            for cropped, values in rows:
                if cropped.face is not None and values is not None:
                    values = values.copy()
                    track = cropped.face.track if self.per_face else 0
                    values[0, self.columns] = self._relative(track, values[0, self.columns])
                yield cropped, values

    # Paper: Sec. 3.3 takes probabilities as they are, whoever shows them
    def _relative(self, track: int, probs: NDArray[np.float64]) -> NDArray[np.float64]:
        logits, counts = logit(probs), self._counts[track]
        bins = ((logits + LIMIT) / STEP).astype(int)
        counts[np.arange(len(bins)), bins] += 1
        cumulative = counts.cumsum(axis=1)
        lowest = (cumulative >= QUANTILE * cumulative[:, -1:]).argmax(axis=1)
        baseline = (lowest + 0.5) * STEP - LIMIT
        return np.asarray(1 / (1 + np.exp(baseline - logits - self.neutral)))
