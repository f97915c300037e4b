"""Draw the wrinkles of action units.

They are shading in a front view of the neutral mesh. A wrinkle is a dark groove with bright ridges along a curve. Its
place depends on the action unit, and its exact course, width and depth on the person.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..action_units import NUMBERS, SCALE
from ..rig import FloatArray, single

LEFT, TOP = -8.0, 10.5
"""Corner of the maps on the neutral mesh, in centimetres."""

CELL = 0.1
"""Side of a cell of the maps, in centimetres."""

SHAPE = (200, 160)
"""Height and width of the maps in cells."""

RIDGE = 0.22
"""Brightness of the ridges beside a groove, as a fraction of its depth."""

SHADOW = 0.15
"""Depth of the wide shadow around a groove, as a fraction of its depth."""

DEEPEST, BRIGHTEST = 0.45, 1.25
"""Lowest and highest factor on the brightness of the skin."""

COURSE, WIDTH, DEPTH, MISSING = 0.1, 0.2, 0.3, 0.15
"""How people differ.

Standard deviations of the points of a curve in centimetres, of the logarithms of width and depth, and share of the
curves that a person does not have.
"""

Curve = tuple[float, float, tuple[tuple[float, float], ...]]

CURVES: dict[int, tuple[Curve, ...]] = {
    1: (
        (0.25, 0.18, ((-0.3, 7.0), (0.8, 7.15), (2.2, 6.95))),
        (0.25, 0.2, ((-0.3, 7.8), (0.9, 7.95), (2.3, 7.7))),
        (0.18, 0.21, ((-0.3, 8.6), (0.9, 8.75), (2.1, 8.5))),
    ),
    2: (
        (0.22, 0.18, ((2.0, 7.0), (3.5, 7.45), (5.2, 6.9))),
        (0.2, 0.2, ((2.2, 7.8), (3.6, 8.2), (5.2, 7.6))),
        (0.14, 0.21, ((2.4, 8.6), (3.7, 8.9), (5.0, 8.4))),
    ),
    4: (
        (0.39, 0.2, ((0.5, 6.7), (0.62, 5.8), (0.5, 4.9))),
        (0.22, 0.17, ((1.0, 6.5), (1.05, 6.0), (0.9, 5.5))),
        (0.17, 0.18, ((0.0, 4.6), (0.35, 4.65), (0.7, 4.55))),
    ),
    6: (
        (0.25, 0.15, ((4.7, 3.7), (5.3, 4.0), (6.0, 4.5))),
        (0.28, 0.15, ((4.75, 3.4), (5.4, 3.4), (6.2, 3.5))),
        (0.25, 0.15, ((4.65, 3.1), (5.3, 2.8), (6.0, 2.5))),
        (0.22, 0.18, ((1.9, 2.7), (3.0, 2.15), (4.2, 2.3), (4.9, 2.6))),
    ),
    7: (
        (0.2, 0.14, ((1.9, 2.9), (3.0, 2.6), (4.3, 2.85))),
        (0.12, 0.15, ((2.2, 2.6), (3.1, 2.3), (4.0, 2.5))),
    ),
    9: (
        (0.17, 0.17, ((0.0, 4.1), (0.4, 4.0), (0.9, 3.8))),
        (0.14, 0.17, ((0.0, 3.6), (0.4, 3.5), (0.9, 3.2))),
        (0.17, 0.17, ((0.5, 2.9), (0.9, 2.5), (1.35, 1.9))),
        (0.15, 0.17, ((0.65, 2.2), (1.05, 1.8), (1.4, 1.2))),
        (0.14, 0.23, ((1.55, 0.6), (1.85, -0.2), (2.1, -1.0))),
    ),
    10: (
        (0.25, 0.25, ((1.5, 0.4), (2.2, -0.6), (2.8, -1.8), (3.1, -2.7))),
        (0.1, 0.23, ((1.9, 2.5), (2.6, 1.9), (3.4, 1.7))),
    ),
    12: (
        (0.25, 0.28, ((1.5, 0.2), (2.6, -1.1), (3.3, -2.4), (3.6, -3.5))),
        (0.12, 0.23, ((2.0, 2.4), (3.0, 1.9), (4.2, 2.1))),
    ),
    14: (
        (0.41, 0.18, ((2.95, -2.75), (3.15, -3.4), (2.95, -4.1))),
        (0.17, 0.21, ((3.5, -2.5), (3.75, -3.4), (3.5, -4.3))),
    ),
    15: (
        (0.25, 0.23, ((2.5, -3.7), (2.95, -4.5), (3.05, -5.4))),
        (0.15, 0.23, ((0.0, -5.5), (0.8, -5.45), (1.6, -5.7))),
    ),
    17: (
        (0.19, 0.25, ((0.0, -5.3), (0.8, -5.35), (1.7, -5.75))),
        (0.14, 0.14, ((0.25, -6.1), (0.45, -6.35), (0.35, -6.6))),
        (0.14, 0.14, ((0.8, -6.0), (0.95, -6.3), (0.8, -6.6))),
        (0.14, 0.14, ((0.5, -6.8), (0.75, -7.0), (0.65, -7.25))),
        (0.13, 0.14, ((1.25, -6.4), (1.35, -6.7), (1.2, -7.0))),
    ),
    20: (
        (0.22, 0.23, ((3.1, -2.4), (3.5, -3.5), (3.3, -4.6))),
        (0.16, 0.23, ((3.8, -2.3), (4.2, -3.5), (4.0, -4.6))),
    ),
    23: (
        (0.1, 0.13, ((0.5, -2.0), (0.5, -2.35), (0.45, -2.7))),
        (0.1, 0.13, ((1.2, -2.1), (1.15, -2.4), (1.1, -2.75))),
        (0.1, 0.13, ((0.7, -4.3), (0.7, -4.6), (0.75, -4.9))),
        (0.1, 0.23, ((2.5, -3.1), (2.7, -3.5), (2.5, -3.9))),
    ),
    24: (
        (0.2, 0.23, ((0.0, -5.0), (0.9, -4.95), (1.9, -4.5))),
        (0.24, 0.17, ((2.4, -3.3), (2.8, -3.5), (2.95, -3.9))),
    ),
}
"""Action unit -> curves of the left side, each with depth, width and points.

The depth is the logarithm of the shading at full intensity. Width and points are centimetres on the neutral mesh.
"""


class Wrinkles:
    """Hold the wrinkles of one person.

    Args:
        seed: Seed of what differs between people.
        strength: Factor on the depth; 0 for none.

    Attributes:
        maps: Logarithms of the shading at full intensity, by the column of an action unit and its side (0 is the right,
            1 the left); each float32 of shape `SHAPE`.
    """

    def __init__(self, seed: int, strength: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.maps: dict[tuple[int, int], FloatArray] = {}
        for number, curves in CURVES.items():
            for side, sign in enumerate((-1, 1)):
                total = np.zeros(SHAPE, np.float32)
                for depth, width, points in curves:
                    jittered = np.array(points) * (sign, 1) + rng.normal(0, COURSE, (len(points), 2))
                    wide, deep = width * np.exp(rng.normal(0, WIDTH)), depth * np.exp(rng.normal(0, DEPTH))
                    if rng.uniform() >= MISSING:
                        total += draw_groove(jittered, wide, strength * deep)
                self.maps[NUMBERS.index(number), side] = total

    def shade(self, intensities: NDArray[Any]) -> FloatArray:
        """Compute the shading by action units, for `Shot.wrinkles`.

        Args:
            intensities: Intensity of both sides (N,), or of the right and the left side (N, 2), in 0..5.

        Returns:
            Factors on the brightness, float32 of shape `SHAPE`.
        """
        sides = np.asarray(intensities, np.float32).reshape(len(NUMBERS), -1)
        sides = np.broadcast_to(sides, (len(sides), 2)) / SCALE
        total = np.zeros(SHAPE, np.float32)
        for (column, side), shading in self.maps.items():
            if sides[column, side] > 0:
                total += sides[column, side] * shading
        return np.clip(np.exp(total), DEEPEST, BRIGHTEST)


def front_view(vertices: NDArray[Any]) -> FloatArray:
    """Return column and row of neutral vertices (V, 3) in the maps, (V, 2)."""
    return single((np.asarray(vertices)[:, :2] - (LEFT, TOP)) * (1 / CELL, -1 / CELL))


def draw_groove(points: NDArray[Any], width: float, depth: float) -> FloatArray:
    """Draw one wrinkle.

    Args:
        points: Points of its curve in centimetres, shape (K, 2).
        width: Distance from the curve over which the groove fades, in centimetres.
        depth: Logarithm of its shading in the middle.

    Returns:
        float32 of shape `SHAPE`.
    """
    along = np.linspace(0, 1, 24)
    knots = np.linspace(0, 1, len(points))
    line = np.polynomial.Polynomial.fit
    fitted = [line(knots, points[:, axis], min(2, len(points) - 1))(along) for axis in range(2)]
    x, y = (np.stack(fitted, axis=1) - (LEFT, TOP)).T * np.array([[1 / CELL], [-1 / CELL]])
    reach = int(np.ceil(4 * width / CELL))
    total = np.zeros(SHAPE, np.float32)
    top, left = max(0, int(y.min()) - reach), max(0, int(x.min()) - reach)
    bottom, right = min(SHAPE[0], int(y.max()) + reach), min(SHAPE[1], int(x.max()) + reach)
    rows, columns = np.mgrid[top:bottom, left:right]
    apart = np.hypot(columns[..., None] - x, rows[..., None] - y) * (CELL / width)
    nearest = apart.argmin(-1)
    distance = np.take_along_axis(apart, nearest[..., None], -1)[..., 0]
    fading = np.sin(np.pi * (0.08 + 0.84 * along[nearest])) ** 0.7
    groove = (
        np.exp(-(distance**2)) + SHADOW * np.exp(-((distance / 2.5) ** 2)) - RIDGE * np.exp(-((distance - 2.2) ** 2))
    )
    total[top:bottom, left:right] = -depth * fading * groove
    return total
