"""Close the lips of a portrait, and paint out its teeth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rig import FloatArray, single
from .mesh import FaceMesh

LIPS_REACH = 0.8
"""Distance from the line of the lips over which the movement that closes them fades, in centimetres."""

CORNER_ROUNDNESS = 0.5
"""How far the lower lip of an open mouth lies below a straight line to its corner, as a fraction of the opening."""

TEETH_RIM = 0.1
"""Width of the rim around an open mouth that is painted out as well, in centimetres."""


def close_lips(mesh: FaceMesh, vertices: FloatArray, gap: float) -> FloatArray:
    """Move the lips of a mesh (V, 3) until they are `gap` centimetres apart."""
    marks = vertices[mesh.rig.landmarks].astype(float)
    upper, lower, ends = marks[[61, 62, 63]], marks[[67, 66, 65]], marks[[60, 64]]
    middle = np.concatenate([ends[:1], (upper + lower) / 2, ends[1:]])
    skin = vertices[mesh.skin]
    amount = np.interp(skin[:, 0], middle[:, 0], [0, *np.maximum((upper - lower)[:, 1] - gap, 0), 0])
    off = (skin[:, 1] - np.interp(skin[:, 0], middle[:, 0], middle[:, 1])) / LIPS_REACH
    closed = vertices.copy()
    closed[mesh.skin, 1] += single((mesh.lowered[mesh.skin] - 0.5) * amount * np.exp(-(off**2)))
    return closed


def paint_out_mouth(texture: FloatArray, lips: NDArray[Any], pixels_per_cm: float) -> FloatArray:
    """Fill the open mouth of a portrait with the colours of the lips around it.

    Without it, a portrait that shows teeth has a bright line between its lips when they are closed.

    Args:
        texture: The portrait, float32 of shape (H, W, 3).
        lips: Landmarks at the inner edge of the lips in pixels, (8, 2): from the right corner over the upper lip to the
            left one, and back.
        pixels_per_cm: Scale of the texture.

    Returns:
        float32 of shape (H, W, 3).
    """
    import cv2

    opening = (lips[[7, 6, 5]] - lips[[1, 2, 3]]).mean(axis=0)
    if opening[1] < TEETH_RIM * pixels_per_cm:
        return texture
    outline = np.insert(lips, [5, 8], (lips[[4, 0]] + lips[[5, 7]]) / 2 + CORNER_ROUNDNESS * opening, axis=0)
    mask = np.zeros(texture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [(16 * outline).round().astype(np.int32)], (255,), shift=4)
    side = 2 * max(1, round(TEETH_RIM * pixels_per_cm)) + 1
    hole = np.asarray(cv2.dilate(mask, np.ones((side, side), np.uint8)), np.uint8)
    pixels = texture.clip(0, 255).astype(np.uint8)
    return np.where(hole[..., None] > 0, single(cv2.inpaint(pixels, hole, 3, cv2.INPAINT_TELEA)), texture)
