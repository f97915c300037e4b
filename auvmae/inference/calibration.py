"""Calibrate predictions to a person by subtracting the logits of the neutral face.

Some neutral faces look to a model as if an action unit were present: heavy brows as AU4, raised mouth corners as AU12.
The neutral face of a person is either known, or estimated from the lowest probabilities of a recording. Each action
unit is then lowered by as many logits as put the neutral face clearly below the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

REST = 1.0
"""Distance in logits of a neutral face below the threshold after calibration; with a threshold of 0.5 it is at 0.27.

`benchmarks/calibration.py` measures it on portraits. The neutral faces of many people lie 1 to 4 logits below the
thresholds, so that a distance of 3 hides action units of everybody.
"""

AUTO_QUANTILE = 0.1
"""Quantile of the logits that counts as the neutral face where nobody has said when it is shown.

Of the quantiles of the same benchmark, it is the highest that lowers no score of people whose face is neutral at times.
"""


@dataclass(frozen=True)
class Calibration:
    """Configure how the neutral baseline of a person is estimated.

    Args:
        neutral: Interval (start, stop) in seconds in which the face is neutral. The baseline is the mean logit of its
            frames.
        quantile: Quantile in (0, 1). The baseline is this quantile of the logits of all frames. An action unit that is
            present in most frames is mistaken for the neutral face, so choose a low quantile, and only for recordings
            in which the face is neutral at times.
        per_face: Estimate a baseline for each `face_id`. Otherwise the recording has one baseline: it shows one person,
            who may get another `face_id` after an absence.

    Raises:
        ValueError: If not exactly one of `neutral` and `quantile` is given, or a value is out of range.
    """

    neutral: tuple[float, float] | None = None
    quantile: float | None = None
    per_face: bool = False

    def __post_init__(self) -> None:
        if (self.neutral is None) == (self.quantile is None):
            raise ValueError("a calibration needs exactly one of neutral and quantile")
        if self.neutral is not None and not 0 <= self.neutral[0] < self.neutral[1] < np.inf:
            raise ValueError(f"neutral must be 0 <= START < STOP in seconds, found {self.neutral}")
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise ValueError(f"quantile must lie in (0, 1), found {self.quantile}")

    def to_dict(self) -> dict[str, Any]:
        """Convert the fields to JSON types, and add `REST`."""
        return {
            "neutral": self.neutral and list(self.neutral),
            "quantile": self.quantile,
            "per_face": self.per_face,
            "rest": REST,
        }


def find_shifts(
    rows: np.ndarray, thresholds: list[float], calibration: Calibration, name: str
) -> dict[int, NDArray[np.float64]]:
    """Find the logits to subtract from each face's action units.

    Nothing is subtracted if the neutral face already lies far enough below the threshold. Logits are never added, which
    would raise noise towards the threshold.

    Args:
        rows: Rows of an `AUPrediction`.
        thresholds: N probabilities.
        calibration: How the baseline is estimated.
        name: Name of the recording, for error messages.

    Returns:
        Logits (N,) by `face_id`, at least 0; without `per_face` the same for all faces. A face that does not appear in
        the neutral interval is left out.

    Raises:
        ValueError: If the neutral interval shows no face, or the recording has no timestamps.
    """
    own = rows["face_id"] >= 0
    neutral = own if calibration.neutral is None else within(rows, calibration.neutral, name)
    shifts = {}
    for face in np.unique(rows["face_id"][own]).tolist():
        chosen = neutral & (rows["face_id"] == face) if calibration.per_face else neutral
        if chosen.any():
            shifts[face] = baseline_shift(rows["probs"][chosen], thresholds, calibration.quantile)
    return shifts


def within(rows: np.ndarray, interval: tuple[float, float], name: str) -> NDArray[np.bool_]:
    """Mark the rows with a face in an interval, bool (R,).

    Args:
        rows: Rows of an `AUPrediction`.
        interval: Start and stop in seconds; the stop is left out.
        name: Name of the recording, for error messages.

    Raises:
        ValueError: If no row is marked, or the recording has no timestamps.
    """
    start, stop = interval
    if np.isnan(rows["timestamp"]).any():
        raise ValueError(
            f"a neutral interval is in seconds, but {name} has no timestamps: calibrate by a quantile, or pass "
            "frames as (index, seconds, frame)"
        )
    marked = (rows["face_id"] >= 0) & (rows["timestamp"] >= start) & (rows["timestamp"] < stop)
    if not marked.any():
        first, last = (rows["timestamp"].min(), rows["timestamp"].max()) if len(rows) else (0.0, 0.0)
        raise ValueError(
            f"{name} shows no face from {start:g} to {stop:g} s (its clock begins at {first:.2f} s and ends at "
            f"{last:.2f} s): choose another interval"
        )
    return marked


def baseline_shift(
    probs: NDArray[np.float64], thresholds: Sequence[float], quantile: float | None
) -> NDArray[np.float64]:
    """Return the logits (N,) to subtract, at least 0.

    Args:
        probs: Probabilities (R, N) of neutral frames; with `quantile`, of all frames.
        thresholds: N probabilities.
        quantile: Quantile of the logits that is the baseline; None for their mean.
    """
    logits = logit(probs)
    baseline = logits.mean(axis=0) if quantile is None else np.quantile(logits, quantile, axis=0)
    return np.maximum(baseline - (logit(np.asarray(thresholds)) - REST), 0.0)


def parse_neutral(text: str) -> Calibration:
    """Parse how the neutral face of a recording is known.

    Args:
        text: START:STOP in seconds, auto, or auto:Q with a quantile Q.

    Raises:
        ValueError: If the text has another format, or a number is out of range.

    >>> parse_neutral("2:4.5").neutral, parse_neutral("auto:0.1").quantile
    ((2.0, 4.5), 0.1)
    """
    kind, colon, number = text.strip().partition(":")
    try:
        values = [float(part) for part in ((number,) * bool(colon) if kind == "auto" else (kind, number))]
    except ValueError as error:
        raise ValueError(f"expected START:STOP in seconds, such as 2:4.5, auto or auto:Q, found {text!r}") from error
    if kind == "auto":
        return Calibration(quantile=values[0] if values else AUTO_QUANTILE)
    return Calibration((values[0], values[1]))


def shift_probs(probs: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract `shift` (N,) logits from probabilities (R, N).

    The results are rounded to six places. Columns with a shift of 0 are unchanged.

    >>> shift_probs(np.array([[0.5, 0.123456]]), np.array([2.944439, 0.0])).tolist()
    [[0.05, 0.123456]]
    """
    lowered = 1 / (1 + np.exp(shift - logit(probs)))
    return np.where(shift > 0, np.round(lowered, 6), probs)


def logit(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the logits of probabilities with six places.

    Those of 0 and 1 are finite.
    """
    # clip by half of the last place
    probs = np.clip(probs, 5e-7, 1 - 5e-7)
    return np.log(probs / (1 - probs))
