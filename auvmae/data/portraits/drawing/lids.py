"""Draw the lids of shut eyes, which no portrait with open eyes shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..rig import FloatArray, single
from .mesh import FaceMesh, Indices
from .rasterising import Visible, interpolate
from .textures import sample

LONGEST_BLINK = 1.5
"""Largest factor on the blinks of a portrait, whose lids may be further apart than those of the neutral mesh."""

SOURCE = (0.3, 1.0)
"""Distances above and below the edge of the open lids where their colour is taken from, in centimetres."""

PLAIN = (0.3, 0.7)
"""Quantiles of the brightness between which this skin is neither a brow nor a highlight."""

COLUMN = 0.6
"""Width over which this colour is averaged, in centimetres."""

LIGHTS = (0.75, 1.1)
"""Lowest and highest ratio of the shading of a drawn lid and the mean of both."""

CREASE = (0.35, 1.0)
"""Distances from the edge of a shut lid, in centimetres, between which it darkens towards its crease."""

LASHES_EDGE = 0.1
"""Width over which the lashes end above, in centimetres."""

BLINKING = 0.5
"""Weight of a blink at which the drawn lid has replaced the portrait's."""

SHUT = (0.85, 0.95)
"""Weights of a blink between which what the lids still leave open is painted over."""


@dataclass(frozen=True)
class Look:
    """Hold how the lids of a video look when they are shut.

    Args:
        brightness: Factor on the brightness of the skin around the eyes.
        crease: How much darker they are at their crease, 0..1.
        lashes: Height of the lashes in centimetres.
        darkness: How much darker these are, 0..1.
    """

    brightness: float = 1.0
    crease: float = 0.15
    lashes: float = 0.22
    darkness: float = 0.75


class Lids:
    """Hold where the lids of one subject are, and their colour.

    Args:
        mesh: Mesh of all faces.
        neutral: The subject's neutral mesh, float32 of shape (V, 3).

    Attributes:
        factors: Factors on the two blinks at which the lids of this subject meet, float32 of shape (2,).
    """

    def __init__(self, mesh: FaceMesh, neutral: FloatArray) -> None:
        self.mesh, self.neutral = mesh, neutral
        self.factors = self._measure_blinks()
        blink = np.zeros(len(mesh.rig.names), np.float32)
        blink[mesh.blinks] = self.factors
        self._share, self._distance = mesh.find_lids(neutral, mesh.morph(neutral, blink, np.zeros(0)))
        self._drawn = self._share[mesh.outside].max(0) > 0
        self._colour = np.zeros((len(neutral), 3), np.float32)
        self._means = np.zeros((2, 3), np.float32)

    def take_colour(self, texture: FloatArray, places: FloatArray) -> None:
        """Take the colour of the upper lids from the skin around them.

        Open eyes hide the lids themselves.

        Args:
            texture: The portrait, float32 of shape (H, W, 3).
            places: Where the vertices lie in it, float32 of shape (V, 2).
        """
        mesh = self.mesh
        skin = self.neutral[mesh.skin]
        for edge in mesh.lids:
            low, high = self.neutral[edge].min(0), self.neutral[edge].max(0)
            away = np.maximum(skin[:, 1] - high[1], low[1] - skin[:, 1])
            near = (away > SOURCE[0]) & (away < SOURCE[1]) & (skin[:, 0] > low[0]) & (skin[:, 0] < high[0])
            source = mesh.skin[near]
            if not len(source):
                continue
            own = np.flatnonzero((self._share > 0) & ((self.neutral[:, 0] > 0) == (low[0] > 0)))
            colours = sample(texture, *places[source].T)
            level = colours.sum(1)
            darkest, lightest = np.quantile(level, PLAIN)
            plain = (level >= darkest) & (level <= lightest)
            reach = (self.neutral[own, :1] - self.neutral[source[plain], 0]) / COLUMN
            weights = np.exp(-(reach**2)) + 1e-3
            self._means[int(low[0] > 0)] = colours[plain].mean(0)
            self._colour[own] = weights @ colours[plain] * (1 / weights.sum(1, keepdims=True))

    def paint(
        self,
        colour: FloatArray,
        visible: Visible,
        corners: Indices,
        light: FloatArray,
        expression: FloatArray,
        look: Look,
    ) -> None:
        """Paint shut lids over the colours of the visible skin in place.

        Args:
            colour: Colours of the pixels, float32 of shape (P, 3).
            visible: These pixels.
            corners: Corners (3, F) of the triangles.
            light: Shading of the moved skin, (S,).
            expression: Weights of the expression shapes, (E,).
            look: How the lids look.
        """
        mesh = self.mesh
        shut = np.clip(expression[mesh.blinks] / BLINKING, 0, 1)
        if not shut.any():
            return
        drawn = self._drawn[visible.triangles]
        values = np.empty((len(self.neutral), 6), np.float32)
        values[:, 0] = self._share * np.where(self.neutral[:, 0] < 0, *shut)
        values[:, 1] = self._distance
        values[:, 2:5] = self._colour
        values[mesh.skin, 5] = np.clip(light / light[self._share[mesh.skin] > 0].mean(), *LIGHTS)
        values = interpolate(visible.select(drawn), corners, values)
        above = np.maximum(values[:, 1] - look.lashes, 0) / LASHES_EDGE
        lashes = 1 - look.darkness * np.exp(-(above**2))
        crease = 1 - look.crease * np.clip((values[:, 1] - CREASE[0]) / (CREASE[1] - CREASE[0]), 0, 1)
        painted = values[:, 2:5] * (look.brightness * crease * lashes * values[:, 5])[:, None]
        colour[drawn] += values[:, :1] * (painted - colour[drawn])

    def hide_eyes(
        self, frame: FloatArray, visible: Visible, corners: Indices, expression: FloatArray, look: Look
    ) -> None:
        """Paint lashes into the frame (pixels, 3) where an eye shows."""
        mesh = self.mesh
        weight = expression[mesh.blinks] / self.factors
        shut = np.clip((weight - SHUT[0]) / (SHUT[1] - SHUT[0]), 0, 1)
        if shut.any():
            left = mesh.rig.vertices[corners[0, visible.triangles], 0] >= 0
            for side, share in enumerate(shut):
                own = visible.pixels[left == bool(side)]
                colour = (1 - look.darkness) * self._means[side]
                frame[own] += share * (colour - frame[own])

    def _measure_blinks(self) -> FloatArray:
        mesh = self.mesh
        factors = []
        for column, marks in zip(mesh.blinks, ((37, 38, 40, 41), (43, 44, 46, 47)), strict=True):
            vertices = mesh.rig.landmarks[list(marks)]
            height, move = self.neutral[vertices, 1], mesh.shapes[column, vertices, 1]
            gaps = height[[0, 1]] - height[[3, 2]]
            factors.append((gaps / np.maximum(move[[3, 2]] - move[[0, 1]], 1e-6)).max())
        return np.clip(single(factors), 1 / LONGEST_BLINK, LONGEST_BLINK)
