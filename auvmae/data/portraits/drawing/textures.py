"""Paint what a portrait does not show, behind the face and behind the lids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rig import FloatArray, single

EYE_PATCH, EYE_REACH = 64, 1.3
"""Side of the painted patch of an eye in pixels, and its half side in centimetres."""

LEAST_SEEN = 8
"""Pixels of an eye that must be seen, so that their colour is used."""

RIM = 0.3
"""Width of the rim around the face that is painted out of the background as well, in centimetres."""

WHITE, IRIS = 190.0, 60.0
"""Levels of the white and the iris of an eye that the portrait does not show, for a skin of brightness 1."""


def sample(image: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Sample an image (H, W, C) or (H, W) at P points, as (P, C) or (P, 1).

    The interpolation is bilinear. Beyond the edge of the image, its last pixels are repeated.
    """
    import cv2

    channels = image.shape[2] if image.ndim == 3 else 1
    if not len(x):
        return np.empty((0, channels), np.float32)
    # remap takes at most 32767 columns, so the points are rows of 512
    rows = -(-len(x) // 512)
    where = np.zeros((2, rows * 512), np.float32)
    where[:, : len(x)] = x, y
    map_x, map_y = where.reshape(2, rows, 512)
    found = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return single(found).reshape(-1, channels)[: len(x)]


def paint_out(texture: FloatArray, triangles: NDArray[Any], rim: float) -> NDArray[np.uint8]:
    """Fill the face from its surroundings, at half the size.

    Args:
        texture: The portrait, float32 of shape (H, W, 3).
        triangles: Triangles of the face in pixels, shape (F, 3, 2).
        rim: Width of the rim around the face that is filled as well, in pixels.

    Returns:
        The background, uint8 of shape (H, W, 3).
    """
    import cv2

    mask = np.zeros(texture.shape[:2], np.uint8)
    for triangle in triangles.round().astype(np.int32):
        cv2.fillConvexPoly(mask, triangle, 255)
    side = 2 * round(rim) + 1
    mask = np.asarray(cv2.dilate(mask, np.ones((side, side), np.uint8)), np.uint8)
    width, height = max(1, texture.shape[1] // 2), max(1, texture.shape[0] // 2)
    small = np.asarray(cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA)).clip(0, 255).astype(np.uint8)
    hole = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    filled = single(cv2.resize(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), (texture.shape[1], texture.shape[0])))
    blend = single(cv2.GaussianBlur(single(mask) / 255, (0, 0), 2))[..., None]
    return np.clip(texture + blend * (filled - texture) + 0.5, 0, 255).astype(np.uint8)


def paint_eye(
    texture: FloatArray, iris: NDArray[Any], radius: float, lids: NDArray[Any], pixels_per_cm: float, brightness: float
) -> FloatArray:
    """Paint a patch around the iris.

    It is what the portrait shows between the lids, and a drawn eye around that.

    Args:
        texture: The portrait, float32 of shape (H, W, 3).
        iris: Centre of the iris in pixels, shape (2,).
        radius: Radius of the iris in pixels.
        lids: Landmarks around the eye in pixels, shape (6, 2).
        pixels_per_cm: Scale of the texture.
        brightness: Brightness of the skin; 1 is medium.

    Returns:
        float32 of shape (`EYE_PATCH`, `EYE_PATCH`, 3), which covers `EYE_REACH` centimetres in each direction.
    """
    import cv2

    axis = ((np.arange(EYE_PATCH) + 0.5) / EYE_PATCH * 2 - 1) * EYE_REACH * pixels_per_cm
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    where = single(grid + iris)
    photo = sample(texture, where[..., 0].ravel(), where[..., 1].ravel()).reshape(EYE_PATCH, EYE_PATCH, 3)
    outline = ((lids - iris) / (pixels_per_cm * EYE_REACH) + 1) / 2 * EYE_PATCH - 0.5
    mask = np.zeros((EYE_PATCH, EYE_PATCH), np.uint8)
    cv2.fillPoly(mask, [outline.round().astype(np.int32)], (255,))
    shown = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)), np.uint8)
    distance = np.linalg.norm(grid, axis=2) / radius
    white = _typical(photo[(shown > 0) & (distance > 1.15)], WHITE * brightness)
    colour = _typical(photo[(shown > 0) & (distance > 0.5) & (distance < 0.85)], IRIS * brightness)
    ring = np.where(distance < 0.38, 0.3, 1 - 0.4 * np.clip(5 * distance - 4, 0, 1))[..., None]
    drawn = single(cv2.GaussianBlur(single(np.where(distance[..., None] < 1, colour * ring, white)), (0, 0), 1.5))
    blend = single(cv2.GaussianBlur(single(shown) / 255, (0, 0), 1.5))[..., None]
    return drawn + blend * (photo - drawn)


def _typical(pixels: NDArray[Any], otherwise: float) -> NDArray[Any]:
    return np.median(pixels, axis=0) if len(pixels) > LEAST_SEEN else np.full(3, otherwise)
