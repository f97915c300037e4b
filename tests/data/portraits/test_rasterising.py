"""The z-buffer is that of a loop over triangles and pixels."""

import numpy as np
import pytest

from auvmae.data.portraits.drawing.rasterising import interpolate, rasterise


def loop(points, corners, size):
    """Find the nearest triangle at each pixel, one by one; -1 without one."""
    nearest, depths = np.full((size, size), -1), np.full((size, size), -np.inf)
    for number, (a, b, c) in enumerate(points[corners.T].astype(float)):
        area = (b[1] - c[1]) * (a[0] - c[0]) + (c[0] - b[0]) * (a[1] - c[1])
        for y in range(size):
            for x in range(size):
                first = ((b[1] - c[1]) * (x - c[0]) + (c[0] - b[0]) * (y - c[1])) / area
                second = ((c[1] - a[1]) * (x - c[0]) + (a[0] - c[0]) * (y - c[1])) / area
                weights = first, second, 1 - first - second
                depth = float(np.dot(weights, (a[2], b[2], c[2])))
                if area < 0 and min(weights) >= 0 and depth > depths[y, x]:
                    nearest[y, x], depths[y, x] = number, depth
    return nearest


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_triangle_is_seen(seed):
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-4, 28, (30, 2)), rng.uniform(0, 9, 30)]).astype(np.float32)
    corners = rng.permuted(np.tile(np.arange(30), (20, 1)), axis=1)[:, :3].T
    found, expected = rasterise(points, corners, 24), loop(points, corners, 24)
    image = np.full(24 * 24, -1)
    image[found.pixels] = found.triangles
    assert (image.reshape(24, 24) == expected).mean() > 0.99  # pixels on an edge may go either way


def test_values_are_interpolated_between_the_corners():
    points = np.array([[0, 0, 0], [0, 20, 0], [20, 0, 0]], np.float32)
    corners = np.array([[0], [1], [2]])
    found = rasterise(points, corners, 24)
    rows, columns = np.divmod(found.pixels, 24)
    assert len(found.pixels) == 231  # the lower left half of 21 x 21, with its diagonal
    values = interpolate(found, corners, points[:, :2].astype(np.float32))
    np.testing.assert_allclose(values, np.column_stack([columns, rows]), atol=1e-3)


def test_triangles_from_behind_are_not_seen():
    points = np.array([[0, 0, 0], [20, 0, 0], [0, 20, 0]], np.float32)
    assert len(rasterise(points, np.array([[0], [1], [2]]), 24).pixels) == 0
