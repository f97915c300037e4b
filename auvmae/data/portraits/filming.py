"""Film a scripted portrait.

Head, gaze, light, crop and camera are drawn at random. All of it varies far more than in real recordings, so that a
network cannot rely on how the renderer draws.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...faces.pose import RARE, rotation_angles, rotation_matrices
from .action_units import LIPS_PART, SCALE, expression_weights, lip_opening, measure_lips_part, shape_matrix
from .drawing.lids import Look
from .drawing.mesh import rotate
from .drawing.rendering import Portrait, Shot
from .drawing.wrinkles import Wrinkles
from .fitting import Fit
from .rig import FloatArray, single, without_side
from .script import BLINK, Script, draw_walk

HIGHEST_HEAD = (0.32, 0.22, 0.25)
"""Largest turn of the head from the portrait's pose (aside, up, roll), in radians."""

IDENTITY_MORPH = 0.55
"""Standard deviation of the weights that change the identity of a portrait."""

UPRIGHT = 0.15
"""Pitch of the rig, in radians, at which a face looks straight ahead: the median of the portraits."""

WRINKLED = 0.6
"""Share of the videos in which movements wrinkle the skin beyond what the mesh shades."""

MORPHED = 0.85
"""Share of the videos in which it is changed."""


def film(
    portrait: Portrait, script: Script, rng: np.random.Generator, leave_out: Collection[str] = ()
) -> Iterator[tuple[NDArray[np.uint8], FloatArray]]:
    """Film the script of a portrait.

    Args:
        portrait: The portrait.
        script: What its face does.
        rng: Source of every draw. What is left out does not change the other draws.
        leave_out: "wrinkles", "morphs" (changes of identity), or both.

    Yields:
        Frames, RGB uint8 of shape (size, size, 3), each with the intensities of the right and the left side in 0..5,
        float32 of shape (N, 2).
    """
    rig, count = portrait.renderer.mesh.rig, len(script.intensities)
    shapes = sorted(set(map(without_side, rig.names)))
    styles = dict(zip(shapes, np.exp(rng.normal(0, 0.18, len(shapes))).tolist(), strict=True))
    matrix = shape_matrix(rig, styles) * single(np.exp(rng.normal(0, 0.12, (script.intensities.shape[1], 1, 1))))
    identity = single(rng.normal(0, IDENTITY_MORPH, min(30, len(rig.identities)))) * (rng.random() < MORPHED)
    if "morphs" in leave_out:
        identity *= 0
    heads, gazes = _draw_heads(count, rng), _draw_gazes(count, rng)
    eyes_open = 1 - script.intensities[:, BLINK].mean(axis=1) / SCALE
    direction, height, ambient = rng.normal(0, 0.7), rng.normal(0.35, 0.3), rng.uniform(0.3, 0.8)
    light = (np.sin(direction) * np.cos(height), np.sin(height), np.cos(direction) * np.cos(height))
    zoom = np.exp(rng.normal(0, 0.035)) + 0.006 * rng.normal(0, 1, count)
    turn = rng.normal(0, 0.03) + 0.006 * rng.normal(0, 1, count)
    shift = rng.normal(0, 0.015, 2) + 0.005 * rng.normal(0, 1, (count, 2))
    inside = tuple(np.exp(rng.normal((-0.25, -0.15, -0.1), (0.6, 0.4, 0.25))).tolist())
    tongue = (rng.normal(0, 0.25), rng.normal(0, 0.3), float(np.exp(rng.normal(0, 0.3))))
    lids = Look(float(np.exp(rng.normal(0.2, 0.15))), *rng.uniform((0, 0.1, 0.4), (0.3, 0.4, 0.95)).tolist())
    depth = rng.uniform(0, 1.2) if rng.random() < WRINKLED else 0.0
    wrinkles = Wrinkles(int(rng.integers(2**32)), depth) if depth and "wrinkles" not in leave_out else None
    camera = Camera.draw(portrait.renderer.size, rng)
    for frame in range(count):
        weights = expression_weights(rig, script.intensities[frame], matrix) + script.extra[frame]
        _follow_gaze(weights, rig.names, gazes[frame, 1], float(eyes_open[frame]))
        rendered = portrait.render(
            Shot(
                expression=weights,
                identity=identity,
                head=tuple(heads[frame].tolist()),
                gaze=tuple(gazes[frame].tolist()),
                light=light,
                ambient=ambient,
                zoom=float(zoom[frame]),
                turn=float(turn[frame]),
                shift=tuple(shift[frame].tolist()),
                inside=inside,
                tongue=tongue,
                lids=lids,
                wrinkles=None if wrinkles is None else wrinkles.shade(script.intensities[frame]),
            )
        )
        found = script.intensities[frame].copy()
        found[LIPS_PART] = measure_lips_part(lip_opening(rendered.vertices, rig))
        yield camera.take(rendered.frame, rng), found


def head_range(fits: Iterable[Fit], rng: np.random.Generator) -> list[list[float]]:
    """Find the usual pitch and yaw of the heads in rendered videos.

    See `faces.pose.usual_range`, which measures what is known here.

    Args:
        fits: Fits of the portraits.
        rng: Source of the draws.

    Returns:
        [[pitch, pitch], [yaw, yaw]] in radians, with the axes of `faces.pose` and `UPRIGHT`.
    """
    heads = [camera_rotation(rotate(*head) @ fit.rotation) for fit in fits for head in _draw_heads(32, rng)]
    return np.quantile(rotation_angles(np.array(heads))[:, :2], RARE, axis=0).T.round(2).tolist()


def camera_rotation(rotation: NDArray[Any]) -> NDArray[np.float64]:
    """Convert a rotation (3, 3) of the rig to that of an upright head, `faces.pose`."""
    flip = np.diag([1.0, -1.0, -1.0])
    return np.asarray(flip @ rotation @ flip @ rotation_matrices(np.array([[-UPRIGHT, 0.0, 0.0]]))[0])


def _draw_heads(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    base = rng.normal(0, (0.15, 0.09, 0.05))
    moved = np.stack([draw_walk(count, 25, rng) for _ in range(3)], axis=1) * (0.07, 0.05, 0.025)
    return np.clip(base + moved, np.negative(HIGHEST_HEAD), HIGHEST_HEAD)


def _draw_gazes(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the gaze, which rests and then jumps, (T, 2)."""
    jumps = np.cumsum(rng.random(count) < 1 / 15)
    rests = rng.normal(0, (0.17, 0.12), (count + 1, 2))
    rests[rng.random(count + 1) < 0.15, 1] -= rng.uniform(0.1, 0.4)
    return np.clip(rests[jumps] + rng.normal(0, 0.08, 2), -0.5, 0.4)


def _follow_gaze(weights: FloatArray, names: tuple[str, ...], up: float, open_share: float) -> None:
    """Move the lids with the gaze, in place."""
    for side in "LR":
        for shape, amount in (("eyeLookDown", max(0.0, -up) * open_share), ("eyeLookUp", max(0.0, up))):
            if f"{shape}_{side}" in names:
                weights[names.index(f"{shape}_{side}")] += 2 * amount


@dataclass(frozen=True)
class Camera:
    """Hold what a camera does to the frames of one video.

    Args:
        resolution: Share of the frames' resolution that is kept, in (0, 1].
        blur: Standard deviation of the blur in pixels; 0 for none.
        sharpen: Strength of an unsharp mask; 0 for none.
        noise: Standard deviations of brightness and colour noise, in levels.
        gains: Factors on the three channels.
        gamma, contrast, offset: Tone curve; the offset is in levels.
        grey: Whether the video has no colour.
        shade: Field of factors on the brightness, float32 of shape (size, size, 1).
    """

    resolution: float
    blur: float
    sharpen: float
    noise: tuple[float, float]
    gains: tuple[float, float, float]
    gamma: float
    contrast: float
    offset: float
    grey: bool
    shade: FloatArray

    @classmethod
    def draw(cls, size: int, rng: np.random.Generator) -> Camera:
        """Draw a camera for frames of this size."""
        import cv2

        coarse = np.exp(rng.normal(0, 0.22, (4, 4))) if rng.random() < 0.4 else np.ones((4, 4))
        shade = single(cv2.resize(single(coarse), (size, size), interpolation=cv2.INTER_CUBIC))[..., None]
        noisy = rng.random() < 0.6
        return cls(
            resolution=rng.uniform(0.25, 0.8) if rng.random() < 0.6 else 1.0,
            blur=rng.uniform(0.3, 1.3) if rng.random() < 0.4 else 0.0,
            sharpen=rng.uniform(0.2, 1.0) if rng.random() < 0.2 else 0.0,
            noise=(rng.uniform(0, 6) * noisy, rng.uniform(0, 3) * noisy),
            gains=tuple(np.exp(rng.normal(0, 0.1, 3)).tolist()),
            gamma=float(np.exp(rng.normal(0, 0.25))),
            contrast=float(np.exp(rng.normal(0, 0.18))),
            offset=rng.normal(0, 14),
            grey=bool(rng.random() < 0.12),
            shade=shade,
        )

    def take(self, frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the frame as this camera gives it; `rng` draws the noise."""
        import cv2

        size = frame.shape[0]
        image: Any = (single(frame) / 255) ** single(self.gamma)
        image = ((image * 255 - 110) * self.contrast + 110 + self.offset) * single(self.gains) * self.shade
        if self.grey:
            image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
        image = single(image)
        if self.resolution < 1:
            side = max(8, round(self.resolution * size))
            small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
        if self.blur:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        if self.sharpen:
            image = image + self.sharpen * (image - cv2.GaussianBlur(image, (0, 0), 1.5))
        if any(self.noise):
            image = image + rng.standard_normal((size, size, 1), np.float32) * single(self.noise[0])
            image = image + rng.standard_normal((size, size, 3), np.float32) * single(self.noise[1])
        return np.asarray(np.clip(image + 0.5, 0, 255), np.uint8)
