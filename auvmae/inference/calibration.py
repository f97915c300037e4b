"""Person calibration: what a person's resting face looks like to the model is taken off, in logits.

Some faces at rest look to a model as if an action unit were present: heavy brows as AU4, raised corners of the mouth as
AU12. Where the resting face of a person is known, or guessed from the lowest probabilities of a recording, each action
unit is lowered by so many logits that rest lies clearly below the threshold.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

REST = 3.0
"""Logits that a resting face lies below the threshold after calibration: with a threshold of 0.5 at 0.05."""


@dataclass(frozen=True)
class Calibration:
    """How the baseline of a person is found.

    Args:
        neutral: (start, stop) in seconds of the recording: a stretch in which the face is at rest; the baseline is the
            mean logit of its frames.
        quantile: in (0, 1): the baseline is this quantile of the logits of all frames. An action unit that is present
            in most of them is taken for rest: choose it low, and only for recordings in which the face rests at times.
        per_face: a baseline for each `face_id`; otherwise one for the recording, which shows one person, who may get
            another number after an absence.

    Raises:
        ValueError: neither `neutral` nor `quantile` or both, or a value out of its range.
    """

    neutral: tuple[float, float] | None = None
    quantile: float | None = None
    per_face: bool = False

    def __post_init__(self) -> None:
        if (self.neutral is None) == (self.quantile is None):
            raise ValueError("a calibration needs a neutral stretch or a quantile, one of the two")
        if self.neutral is not None and not 0 <= self.neutral[0] < self.neutral[1] < np.inf:
            raise ValueError(f"neutral must be START < STOP in seconds, from 0 on, found {self.neutral}")
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise ValueError(f"quantile must lie in (0, 1), found {self.quantile}")

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON, and what rest is."""
        return {
            "neutral": self.neutral and list(self.neutral),
            "quantile": self.quantile,
            "per_face": self.per_face,
            "rest": REST,
        }


def find_shifts(
    rows: np.ndarray, thresholds: list[float], calibration: Calibration, name: str
) -> dict[int, NDArray[np.float64]]:
    """Logits to take off each face's action units.

    Where the resting face lies far enough below the threshold nothing is taken off, and never is anything added: it
    would lift noise towards the threshold.

    Args:
        rows: as in `prediction.AUPrediction`.
        thresholds: N probabilities.
        calibration: how the baseline is found.
        name: of the recording, for errors.

    Returns:
        `face_id` -> (N,), at least 0; without `per_face` the same for all. A face of which the neutral stretch shows
        nothing is not there.

    Raises:
        ValueError: the neutral stretch shows no face, or the recording has no timestamps.
    """
    own = rows["face_id"] >= 0
    logits = _logit(rows["probs"])
    ceiling = _logit(np.asarray(thresholds)) - REST
    resting = own
    if calibration.neutral is not None:
        start, stop = calibration.neutral
        if np.isnan(rows["timestamp"]).any():
            raise ValueError(
                f"a neutral stretch is in seconds, but {name} has no timestamps: calibrate it by a quantile, or give "
                "frames as (index, seconds, frame)"
            )
        resting = own & (rows["timestamp"] >= start) & (rows["timestamp"] < stop)
        if not resting.any():
            last = rows["timestamp"].max(initial=0.0)
            raise ValueError(
                f"{name} shows no face from {start:g} to {stop:g} s (it ends at {last:.2f} s): name another stretch"
            )
    shifts = {}
    for face in np.unique(rows["face_id"][own]).tolist():
        chosen = resting & (rows["face_id"] == face) if calibration.per_face else resting
        if chosen.any():
            baseline = (
                logits[chosen].mean(axis=0)
                if calibration.quantile is None
                else np.quantile(logits[chosen], calibration.quantile, axis=0)
            )
            shifts[face] = np.maximum(baseline - ceiling, 0.0)
    return shifts


def shift_probs(probs: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (R, N) with `shift` (N,) logits taken off, rounded to six places; untouched where it is 0.

    >>> shift_probs(np.array([[0.5, 0.123456]]), np.array([2.944439, 0.0])).tolist()
    [[0.05, 0.123456]]
    """
    lowered = 1 / (1 + np.exp(shift - _logit(probs)))
    return np.where(shift > 0, np.round(lowered, 6), probs)


def _logit(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    # probabilities have six places: 0 and 1 stand for what lies within half of the last one
    probs = np.clip(probs, 5e-7, 1 - 5e-7)
    return np.log(probs / (1 - probs))
