"""Rasterise triangles with a z-buffer, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-4
"""How far a pixel may lie outside of a triangle, as a barycentric weight, so that no gaps open between neighbours."""

DEPTH_STEPS = 4096
"""Steps of depth per pixel; what is nearer by less hides nothing."""

INDEX_BITS = 24
"""Bits of a candidate's number in the z-buffer, below those of the depth."""


@dataclass(frozen=True)
class Visible:
    """Hold the pixels where a triangle is seen; P of them, in the order of the image.

    Args:
        pixels: Numbers of the pixels, row by row, int64 of shape (P,).
        triangles: Nearest triangle, int64 of shape (P,).
        weights: Barycentric weights of its corners, float32 of shape (P, 3).
    """

    pixels: NDArray[np.int64]
    triangles: NDArray[np.int64]
    weights: NDArray[np.float32]

    def select(self, chosen: NDArray[np.bool_]) -> Visible:
        """Return the chosen pixels, given as a mask of shape (P,)."""
        kept = np.flatnonzero(chosen)
        return Visible(self.pixels[kept], self.triangles[kept], self.weights[kept])


def rasterise(points: NDArray[np.float32], corners: NDArray[np.intp], size: int) -> Visible:
    """Find the nearest triangle at each pixel.

    Whole numbers are the centres of pixels. Triangles are seen from the side where their corners run
    counter-clockwise, as in the image with y down.

    Args:
        points: x and y in pixels, and z in pixels towards the camera, float32 of shape (V, 3).
        corners: Points of each triangle, one row per corner, shape (3, F).
        size: Height and width of the image.

    Returns:
        The visible pixels.
    """
    (x0, x1, x2), (y0, y1, y2) = (np.ascontiguousarray(points[:, axis])[corners] for axis in (0, 1))
    area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
    left = np.ceil(np.maximum(np.minimum(np.minimum(x0, x1), x2), 0))
    top = np.ceil(np.maximum(np.minimum(np.minimum(y0, y1), y2), 0))
    wide = np.floor(np.minimum(np.maximum(np.maximum(x0, x1), x2), size - 1)) - left + 1
    high = np.floor(np.minimum(np.maximum(np.maximum(y0, y1), y2), size - 1)) - top + 1
    kept = np.flatnonzero((area < 0) & (wide > 0) & (high > 0))

    # weights of the first two corners and the depth are linear: their values at the top left of the box, and steps
    x0, x1, x2, y0, y1, y2 = (values[kept] for values in (x0, x1, x2, y0, y1, y2))
    z0, z1, z2 = points[:, 2][corners[:, kept]]
    left, top = left[kept], top[kept]
    over = 1 / area[kept]
    first_x, first_y, second_x, second_y = (y1 - y2) * over, (x2 - x1) * over, (y2 - y0) * over, (x0 - x2) * over
    first = first_x * (left - x2) + first_y * (top - y2)
    second = second_x * (left - x2) + second_y * (top - y2)
    origin = (top * size + left).astype(np.int32)

    # one candidate per triangle and pixel of its box
    wide, count = wide[kept].astype(np.int32), (wide[kept] * high[kept]).astype(np.int32)
    owner = np.repeat(np.arange(len(kept), dtype=np.int32), count)
    step = np.arange(len(owner), dtype=np.int32) - (np.cumsum(count, dtype=np.int32) - count)[owner]
    columns = wide[owner]
    row = step // columns
    column = step - row * columns
    down, right = row.astype(np.float32), column.astype(np.float32)
    first = first[owner] + right * first_x[owner] + down * first_y[owner]
    second = second[owner] + right * second_x[owner] + down * second_y[owner]
    inside = np.flatnonzero((first >= -TOLERANCE) & (second >= -TOLERANCE) & (first + second <= 1 + TOLERANCE))
    owner, first, second = owner[inside], first[inside], second[inside]
    place = origin[owner] + row[inside] * size + column[inside]

    depth = z2[owner] + first * (z0 - z2)[owner] + second * (z1 - z2)[owner]
    key = ((depth * DEPTH_STEPS).astype(np.int64) << INDEX_BITS) + np.arange(len(owner))
    buffer = np.full(size * size, np.iinfo(np.int64).min)
    np.maximum.at(buffer, place, key)
    pixels = np.flatnonzero(buffer > np.iinfo(np.int64).min)
    winner = buffer[pixels] & ((1 << INDEX_BITS) - 1)
    weights = np.stack([first[winner], second[winner], 1 - first[winner] - second[winner]], axis=1)
    return Visible(pixels, kept[owner[winner]], weights)


def interpolate(visible: Visible, corners: NDArray[np.intp], values: NDArray[Any]) -> NDArray[np.float32]:
    """Interpolate values of points (V, K) at the visible pixels, (P, K)."""
    first, second, third = corners[:, visible.triangles]
    weights = visible.weights
    found = values[first] * weights[:, :1]
    found += values[second] * weights[:, 1:2]
    found += values[third] * weights[:, 2:]
    return found
