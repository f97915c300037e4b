"""Bridge the gaps of one track, and smooth it as strongly as its motion allows."""

import numpy as np

NOISE = 0.015
"""Standard deviation of a detector's landmarks, as a fraction of the eye distance."""

TOLERANCE = 1.8
"""How far two fits may lie apart, in standard deviations, before the wider one is taken to miss a motion."""

STEPS = (0.25, 0.5, 1.0)
"""Widths of the fits, as fractions of the widest."""


def interpolate(rows: np.ndarray, middle: int, max_gap: int) -> np.ndarray | None:
    """Find the row of one frame, or interpolate it with confidence 0 in a short gap.

    Args:
        rows: Float, shape (T, 15 or more): box, landmarks, confidence and more; NaN without a face.
        middle: Position of the frame.
        max_gap: Longest gap that is bridged, in frames.

    Returns:
        A row, or None without a face.
    """
    if not np.isnan(rows[middle, 0]):
        return np.array(rows[middle])
    seen = np.flatnonzero(~np.isnan(rows[:, 0]))
    after = int(np.searchsorted(seen, middle))
    if not 0 < after < len(seen) or seen[after] - seen[after - 1] > max_gap + 1:
        return None
    start, stop = seen[after - 1], seen[after]
    share = (middle - start) / (stop - start)
    row: np.ndarray = (1 - share) * rows[start] + share * rows[stop]
    row[14] = 0
    return row


def smooth(rows: np.ndarray, row: np.ndarray, middle: int, width: float) -> np.ndarray:
    """Smooth the box and the landmarks of one frame.

    Straight lines are fitted around the frame with Gaussian weights of growing width; they add no lag, also at the ends
    of a track. The widest fit is taken that agrees with all narrower ones within the detector's noise: it is wide at
    rest, and narrow where the motion bends.

    Args:
        rows, middle: See `interpolate`.
        row: Row of the frame.
        width: Widest standard deviation of the weights, in frames; they end at three of them. 0 disables smoothing.

    Returns:
        Float, shape (14,).
    """
    seen = np.flatnonzero(~np.isnan(rows[:, 0]))
    lags, places = seen - middle, rows[seen, :14]
    noise = NOISE * float(np.linalg.norm(row[6:8] - row[4:6]))
    fits, spreads = [row[:14]], [1.0]
    for step in STEPS if width > 0 else ():
        weights = np.exp(-0.5 * (lags / (step * width)) ** 2) * (abs(lags) <= np.ceil(3 * step * width))
        mass, moment, inertia = (float(weights @ lags**power) for power in (0, 1, 2))
        determinant = mass * inertia - moment**2
        if determinant <= 1e-6:  # a line needs two frames
            continue
        shares = weights * (inertia - moment * lags) / determinant
        fit = shares @ places
        apart = [float(np.sqrt(np.mean((fit[4:] - other[4:]) ** 2))) for other in fits]
        if any(one > TOLERANCE * noise * spread for one, spread in zip(apart, spreads, strict=True)):
            break
        fits.append(fit)
        spreads.append(float(np.sqrt(shares @ shares)))
    return fits[-1]
