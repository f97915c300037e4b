"""Render a portrait with another expression, pose, gaze and light.

The colour of the skin comes from the portrait, at the place where the point was before it moved, times the ratio of the
shading after and before. The eyes are painted from the portrait where it shows them, the inside of the mouth is drawn,
and the background is the portrait with the face painted out, carried along with the head.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....faces.crop import TEMPLATE
from ..action_units import lip_opening
from ..fitting import Fit, five_points, texture_coordinates
from ..rig import EYES, GUMS, MOUTH, SKIN, SOCKETS, TEETH, FloatArray, Rig, single
from .lids import Lids, Look
from .lips import close_lips, paint_out_mouth
from .mesh import FaceMesh, Indices, rotate
from .rasterising import Visible, interpolate, rasterise
from .textures import EYE_PATCH, EYE_REACH, RIM, paint_eye, paint_out, sample

FRONT_LIGHT = (0.0, 0.45, 0.9)
"""Direction of the light that portraits are assumed to have, in camera coordinates."""

AMBIENT = 0.5
"""Share of the light that has no direction."""

FOLDS = (0.6, 1.2)
"""Lowest and highest ratio of the shadings after and before a movement; lids that close would glow without it."""

LIGHTS = (0.4, 1.7)
"""Lowest and highest ratio of the shadings under the light of a shot and that of the portrait."""

TEXTURE_SCALE = 1.25
"""Highest scale of the texture, where the scale of the frames is 1."""

GRAZING = (0.05, 0.35)
"""Cosines between which the skin at the sides of the head blends in; the portrait sees it from the side."""

LIP_GAP = 0.03
"""Opening of the lips of a neutral face, in centimetres; a dark line shows between them."""

SLIT = 0.45
"""Opening of the lips, in centimetres, up to which they shade what is behind them."""

COLOURS = {MOUTH: (120, 50, 46), SOCKETS: (120, 70, 60), GUMS: (178, 92, 88), TEETH: (245, 236, 218)}
"""Colours of the parts that no portrait shows, RGB in 0..255."""

BEHIND_LIPS = 0.7
"""Depth behind the upper lip at which light begins to fade, in centimetres."""

TONGUE = (196, 104, 100)
"""Colour of the tongue, which is among the gums."""

DEEP = {MOUTH: 2.5, SOCKETS: 2.5, GUMS: 4.2, TEETH: 2.4}
"""Depth behind the lips, in centimetres, at which a third of the light is left."""

WARM = (1.0, 1.12, 1.16)
"""Exponents of that light in red, green and blue; what is deep in a mouth looks red."""

TURNED = (0.08, 0.2)
"""Turns of a head in radians between which all of it is painted out of the background, and not the face alone."""

HEAD_RIM = 1.0
"""Width of the rim around the head that is painted out as well, in centimetres."""

MEDIUM_SKIN = 150
"""Level of skin with brightness 1, in 0..255."""


@dataclass(frozen=True)
class Shot:
    """Hold what differs from frame to frame.

    Args:
        expression: Weights of the expression shapes (E,), added to the neutral face.
        identity: Weights of identity modes that change the face (at most I,).
        head: Turn of the head to its left, up, and to its right shoulder, in radians, from the portrait's pose.
        gaze: Turn of the eyes to the subject's left and up, in radians, from the portrait's gaze.
        light: Direction of the light in camera coordinates (x to the image's right, y up, z to the camera).
        ambient: Share of the light without a direction, 0..1.
        zoom: Factor on the size of the face in the crop.
        turn: Turn of the crop in radians, clockwise.
        shift: Shift of the face in the crop, right and down, as fractions of its side.
        inside: Factors on the brightness of the cavity of the mouth, the gums and the teeth.
        tongue: Shift of the tongue out of the mouth and up, in centimetres, and another factor on its brightness.
        lids: How shut eyes look.
        wrinkles: Factors on the brightness of the skin in the front view of `wrinkles.py`; see `Wrinkles.shade`.
    """

    expression: NDArray[Any]
    identity: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.float32))
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    light: tuple[float, float, float] = FRONT_LIGHT
    ambient: float = AMBIENT
    zoom: float = 1.0
    turn: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    inside: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tongue: tuple[float, float, float] = (0.0, 0.0, 1.0)
    lids: Look = field(default_factory=Look)
    wrinkles: FloatArray | None = None


@dataclass(frozen=True)
class Rendered:
    """Hold a rendered frame.

    Args:
        frame: RGB, uint8 of shape (size, size, 3).
        vertices: The moved mesh before the head is turned, in centimetres, float32 of shape (V, 3).
        points: The mesh in the frame: x and y in pixels, and z in pixels to the camera, float32 of shape (V, 3).
    """

    frame: NDArray[np.uint8]
    vertices: FloatArray
    points: FloatArray


class Renderer:
    """Render portraits at one size.

    Args:
        rig: Rig of the faces.
        size: Height and width of the frames in pixels.
        margin: Margin around the tight crop, as in `CropRecipe`.
    """

    def __init__(self, rig: Rig, size: int = 160, margin: float = 0.05) -> None:
        self.mesh, self.size, self.margin = FaceMesh(rig), size, margin
        # points as complex numbers, as in `faces.crop.align`; whole numbers are the centres of pixels
        self.target = (((TEMPLATE - 0.5) / (1 + 2 * margin) + 0.5) * size) @ np.array([1, 1j]) - (0.5 + 0.5j)

    def prepare(self, image: NDArray[np.uint8], fit: Fit) -> Portrait:
        """Prepare a portrait, RGB uint8 of shape (H, W, 3), for rendering."""
        return Portrait(self, image, fit)


class Portrait:
    """Hold the texture, the background and the eyes of one subject.

    Args:
        renderer: Renderer with the mesh and the size.
        image: The portrait, RGB uint8 of shape (H, W, 3).
        fit: Its fit.

    Attributes:
        neutral: The subject's neutral mesh, float32 of shape (V, 3).
        brightness: Brightness of the skin; 1 is medium.
    """

    def __init__(self, renderer: Renderer, image: NDArray[np.uint8], fit: Fit) -> None:
        self.renderer, self.fit = renderer, fit
        mesh, rig = renderer.mesh, renderer.mesh.rig
        self.neutral = close_lips(mesh, rig.morph(fit.identity, np.zeros(len(rig.names))), LIP_GAP) + mesh.arranged
        self._lids = Lids(mesh, self.neutral)
        seen = rig.morph(fit.identity, fit.expression)
        # the crop of a frame is the one that the face detector would give, so its habits are kept
        self._offsets = (fit.five - fit.project(five_points(seen, rig))) / fit.scale

        normals = mesh.normals(seen @ fit.rotation.T)
        self._shading = shade(normals, FRONT_LIGHT, AMBIENT)
        # at the sides of the head, a portrait shows hair or background in place of skin that it does not see
        hidden = 1 - np.clip((normals[:, 2] - GRAZING[0]) / (GRAZING[1] - GRAZING[0]), 0, 1)
        self._opacity = mesh.fade * (1 - hidden * mesh.lateral)
        self._take_texture(image, texture_coordinates(rig, fit, seen))
        self._lids.take_colour(self.texture, self._places)

    def render(self, shot: Shot) -> Rendered:
        """Render one frame."""
        import cv2

        mesh, size = self.renderer.mesh, self.renderer.size
        expression = single(shot.expression).copy()
        expression[mesh.blinks] *= self._lids.factors
        vertices = mesh.morph(self.neutral, expression, shot.identity)
        vertices[:, 1:] += mesh.tongue[:, None] * single((shot.tongue[1], shot.tongue[0]))
        self._turn_eyes(vertices, shot)
        rotation = rotate(*shot.head) @ self.fit.rotation
        seen = vertices @ rotation.T
        points = self._place(seen, shot)

        carried = (self._carry @ points[mesh.edge, :2]).T
        turned = float(np.clip((np.hypot(*shot.head[:2]) - TURNED[0]) / (TURNED[1] - TURNED[0]), 0, 1))
        frame = np.zeros((size * size, 3), np.float32)
        for background, share in ((self.background, 1 - turned), (self.empty, turned)):
            if share:
                flags = cv2.INTER_LINEAR
                behind = cv2.warpAffine(background, carried, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
                frame += np.float32(share) * single(behind).reshape(-1, 3)
        opening = lip_opening(vertices, mesh.rig)
        corners, parts = self._choose_triangles(points)
        visible = rasterise(points, corners, size)
        parts = parts[visible.triangles]
        self._paint_inside(frame, visible, corners, parts, points, rotation, opening, shot)
        self._paint_eyeballs(frame, visible.select(parts == EYES), corners)
        self._lids.hide_eyes(
            frame, visible.select((parts == EYES) | (parts == SOCKETS)), corners, expression, shot.lids
        )
        self._paint_skin(frame, visible.select(parts == SKIN), corners, mesh.normals(seen), expression, shot)
        pixels = np.clip(frame + 0.5, 0, 255).astype(np.uint8).reshape(size, size, 3)
        return Rendered(pixels, vertices, points)

    def _take_texture(self, image: NDArray[np.uint8], places: NDArray[Any]) -> None:
        """Scale the portrait to the scale of the frames, so that sampling does not alias."""
        import cv2

        mesh, fit = self.renderer.mesh, self.fit
        eyes = float(np.linalg.norm(fit.five[1] - fit.five[0]))
        shrink = min(1.0, TEXTURE_SCALE * float(abs(self.renderer.target[1] - self.renderer.target[0])) / eyes)

        def scale(points: NDArray[Any]) -> NDArray[Any]:
            return (points + 0.5) * shrink - 0.5

        self.texture = single(cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
        self._places = single(scale(places))
        pixels_per_cm = fit.scale * shrink
        self.texture = paint_out_mouth(self.texture, scale(fit.landmarks[60:]), pixels_per_cm)
        skin = self._places[mesh.skin[mesh.fade == 1]]
        self.brightness = float(np.clip(np.median(sample(self.texture, *skin.T)) / MEDIUM_SKIN, 0.35, 1.15))
        solid = np.zeros(len(self._places), np.float32)
        solid[mesh.skin] = mesh.fade
        face = mesh.skin_corners.T[solid[mesh.skin_corners].min(0) > 0.6]
        self.background = paint_out(self.texture, self._places[face], RIM * pixels_per_cm)
        self.empty = paint_out(self.texture, self._places[mesh.skin_corners.T], HEAD_RIM * pixels_per_cm)
        self._carry = np.linalg.pinv(np.c_[self._places[mesh.edge], np.ones(len(mesh.edge))])

        self._eyes = []
        self._eye_places = np.zeros_like(self._places)
        for side, ball in enumerate(mesh.balls):
            iris, radius = scale(fit.irises[side, :2]), float(fit.irises[side, 2]) * shrink
            lids = scale(fit.landmarks[36 + 6 * side : 42 + 6 * side])
            self._eyes.append(paint_eye(self.texture, iris, radius, lids, pixels_per_cm, self.brightness))
            where = (self._places[ball] - iris) / (pixels_per_cm * EYE_REACH)
            self._eye_places[ball] = (where + 1) / 2 * EYE_PATCH - 0.5

    def _turn_eyes(self, vertices: FloatArray, shot: Shot) -> None:
        """Turn the eyeballs of a mesh in place."""
        mesh = self.renderer.mesh
        rotation = rotate(*shot.gaze, 0.0)
        for ball, centre in zip(mesh.balls, mesh.rig.eye_centres, strict=True):
            middle = centre + (vertices[ball] - mesh.rig.vertices[ball]).mean(0)
            vertices[ball] = (vertices[ball] - middle) @ rotation.T + middle

    def _place(self, seen: FloatArray, shot: Shot) -> FloatArray:
        """Place a turned mesh (V, 3) in the frame, as `faces.crop.align` would crop it."""
        renderer = self.renderer
        five = five_points(seen, renderer.mesh.rig)[:, :2] * (1, -1) + self._offsets
        source, goal = five @ np.array([1, 1j]), renderer.target
        centred = source - source.mean()
        factor = np.vdot(centred, goal - goal.mean()) / np.vdot(centred, centred) * shot.zoom * np.exp(1j * shot.turn)
        middle = goal.mean() + complex(*shot.shift) * renderer.size
        flat = (seen[:, 0] - 1j * seen[:, 1] - source.mean()) * factor + middle
        return single(np.column_stack([flat.real, flat.imag, seen[:, 2] * abs(factor)]))

    def _choose_triangles(self, points: FloatArray) -> tuple[Indices, NDArray[np.int8]]:
        """List corners and parts of the triangles to draw.

        Those of the mouth are only needed within the lips.
        """
        mesh = self.renderer.mesh
        lips = points[mesh.rig.landmarks[48:], :2]
        mouth = points[mesh.mouth, :2]
        within = np.zeros(len(points), bool)
        within[mesh.mouth] = ((mouth > lips.min(0)) & (mouth < lips.max(0))).all(1)
        shown = within[mesh.inside].any(0)
        corners = np.concatenate([mesh.outside, mesh.inside[:, shown]], axis=1)
        return corners, np.concatenate([mesh.outside_parts, mesh.inside_parts[shown]])

    def _paint_skin(
        self,
        frame: FloatArray,
        visible: Visible,
        corners: Indices,
        normals: FloatArray,
        expression: FloatArray,
        shot: Shot,
    ) -> None:
        """Paint the visible skin over the background (pixels, 3) in place."""
        mesh = self.renderer.mesh
        moved = shade(normals, FRONT_LIGHT, AMBIENT)
        ratio = np.clip(moved / self._shading, *FOLDS)
        if (shot.light, shot.ambient) != (FRONT_LIGHT, AMBIENT):
            ratio *= np.clip(shade(normals, shot.light, shot.ambient) / moved, *LIGHTS)
        values = np.empty((len(self._places), 4 if shot.wrinkles is None else 6), np.float32)
        values[:, :2] = self._places
        values[:, 4:] = mesh.front[:, : values.shape[1] - 4]
        values[mesh.skin, 2] = 1 + (ratio - 1) * mesh.fade
        values[mesh.skin, 3] = self._opacity
        values = interpolate(visible, corners, values)
        colour = sample(self.texture, values[:, 0], values[:, 1]) * values[:, 2:3]
        if shot.wrinkles is not None:
            colour *= sample(shot.wrinkles, values[:, 4], values[:, 5])
        self._lids.paint(colour, visible, corners, moved, expression, shot.lids)
        behind = frame[visible.pixels]
        frame[visible.pixels] = behind + values[:, 3:4] * (colour - behind)

    def _paint_eyeballs(self, frame: FloatArray, visible: Visible, corners: Indices) -> None:
        """Paint the visible parts of the eyeballs into the frame (pixels, 3) in place."""
        left = self.renderer.mesh.rig.vertices[corners[0, visible.triangles], 0] >= 0
        where = interpolate(visible, corners, self._eye_places)
        for side, patch in enumerate(self._eyes):
            own = left == bool(side)
            frame[visible.pixels[own]] = sample(patch, where[own, 0], where[own, 1])

    def _paint_inside(
        self,
        frame: FloatArray,
        visible: Visible,
        corners: Indices,
        parts: NDArray[np.int8],
        points: FloatArray,
        rotation: FloatArray,
        opening: float,
        shot: Shot,
    ) -> None:
        """Paint cavities, gums, tongue and teeth into the frame (pixels, 3) in place.

        They are darker the deeper they lie behind the lips, and the less these are apart.
        """
        mesh = self.renderer.mesh
        lips, corner, other = points[mesh.rig.landmarks[[51, 36, 45]]]
        pixels_per_cm = float(np.linalg.norm(corner - other)) / float(
            np.linalg.norm(np.subtract(*self.neutral[mesh.rig.landmarks[[36, 45]]]))
        )
        shadow = np.clip(opening / SLIT, 0.1, 1)
        brightness = self.brightness**0.5  # the inside is as light whatever the skin
        factors = dict(zip((MOUTH, GUMS, TEETH), shot.inside, strict=True))
        for part, colour in COLOURS.items():
            own = visible.select(parts == part)
            if not len(own.pixels):
                continue
            values = np.column_stack([points[:, 2], mesh.still_normals @ rotation[2], mesh.tongue])
            depth, facing, tongue = interpolate(own, corners, values).T
            behind = np.maximum((lips[2] - depth) / pixels_per_cm - BEHIND_LIPS, 0)
            light = (0.7 + 0.3 * np.abs(facing)) * np.exp(-((behind / DEEP[part]) ** 2))
            light *= brightness * (1.0 if part == SOCKETS else shadow)
            light *= factors.get(part, 1.0) * (1 + tongue * (shot.tongue[2] - 1))
            base = single(colour) + tongue[:, None] * (single(TONGUE) - single(colour))
            frame[own.pixels] = base * np.maximum(light, 1e-3)[:, None] ** single(WARM)


def shade(normals: FloatArray, light: tuple[float, float, float], ambient: float) -> FloatArray:
    """Compute the brightness of surfaces with these normals (N, 3), as (N,)."""
    direction = single(light) / single(np.linalg.norm(light))
    return single(ambient) + single(1 - ambient) * np.maximum(normals @ direction, 0)
