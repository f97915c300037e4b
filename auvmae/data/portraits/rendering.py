"""Render a portrait with another expression, pose, gaze and light.

The colour of the skin comes from the portrait, at the place where the point was before it moved, times the ratio of the
shading after and before. The eyes are painted from the portrait where it shows them, the inside of the mouth is drawn,
and the background is the portrait with the face painted out, carried along with the head.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...faces.crop import TEMPLATE
from .action_units import lip_opening
from .fitting import Fit, five_points, texture_coordinates
from .rasterising import Visible, interpolate, rasterise
from .rig import EYES, GUMS, MOUTH, SKIN, SOCKETS, TEETH, FloatArray, Rig

FRONT_LIGHT = (0.0, 0.45, 0.9)
"""Direction of the light that portraits are assumed to have, in camera coordinates."""

AMBIENT = 0.5
"""Share of the light that has no direction."""

RATIOS = (0.4, 1.7)
"""Lowest and highest ratio of two shadings."""

FADE = 2.2
"""Distance from the edge of the skin over which it blends into the background, in centimetres."""

GRAZING = (0.05, 0.35)
"""Cosines between which the skin at the sides of the head blends in; the portrait sees it from the side."""

SIDES = (4.5, 6.0)
"""Distances from the midline between which the sides of the head begin, in centimetres."""

SPILL = 0.3
"""Width of the rim around the face that is painted out of the background as well, in centimetres."""

UPPER_TEETH = (0.0, -0.4, 0.1)
"""Shift of the upper teeth in centimetres; the rig has them hidden behind the lip."""

LONGEST_BLINK = 1.5
"""Largest factor on the blinks of a portrait, whose lids may be further apart than those of the neutral mesh."""

CLOSED = 0.02
"""Opening of the lips, in centimetres, up to which nothing shows between them."""

EYE_PATCH, EYE_REACH = 64, 1.3
"""Side of the painted patch of an eye in pixels, and its half side in centimetres."""

COLOURS = {MOUTH: (95, 38, 36), SOCKETS: (120, 70, 60), GUMS: (165, 85, 82), TEETH: (238, 228, 208)}
"""Colours of the parts that no portrait shows, RGB in 0..255."""

DEEP = 3.4
"""Depth behind the lips, in centimetres, at which the inside of the mouth is dark."""


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
        turn: Turn of the crop in radians.
        shift: Shift of the face in the crop, right and down, as fractions of its side.
        inside: Factors on the brightness of the cavity, the gums and the teeth.
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


class _Mesh:
    """Hold what the renderer needs of a rig, whoever the subject is."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.corners = np.ascontiguousarray(rig.triangles.T.astype(np.intp))
        self.shapes = rig.shapes.copy()
        balls = np.unique(rig.triangles[rig.parts == EYES])
        self.shapes[:, balls] = 0  # the gaze turns the balls, and not the shapes
        teeth = np.unique(rig.triangles[rig.parts == TEETH])
        self.upper = teeth[np.linalg.norm(rig.shapes[rig.names.index("jawOpen"), teeth], axis=1) < 0.05]
        self.blinks = [rig.names.index(f"eyeBlink_{side}") for side in "RL"]
        self.balls = [balls[rig.vertices[balls, 0] < 0], balls[rig.vertices[balls, 0] >= 0]]
        self.skin = np.unique(rig.triangles[rig.parts == SKIN])
        self.edge = _outer_edge(rig.triangles[rig.parts == SKIN], rig.vertices)
        gap = np.full(len(rig.vertices), np.inf, np.float32)
        for start in range(0, len(self.skin), 1024):
            some = self.skin[start : start + 1024]
            gap[some] = np.linalg.norm(rig.vertices[some, None] - rig.vertices[self.edge], axis=2).min(1)
        self.fade = np.clip(gap / FADE, 0, 1)
        self.lateral = np.clip((np.abs(rig.vertices[self.skin, 0]) - SIDES[0]) / (SIDES[1] - SIDES[0]), 0, 1)
        # the lists of triangles to draw with the lips closed and open
        self.outside = np.flatnonzero(np.isin(rig.parts, (SKIN, SOCKETS, EYES)))
        self.inside = np.flatnonzero(~np.isin(rig.parts, (SKIN, SOCKETS, EYES)))
        # triangles around each vertex of the skin, for normals; those of other parts only turn with the head
        of_skin = np.flatnonzero(rig.parts == SKIN)
        self.skin_corners = np.ascontiguousarray(self.corners[:, of_skin])
        order = np.argsort(self.skin_corners.T.ravel(), kind="stable")
        self.around = order // 3
        self.first = np.searchsorted(self.skin_corners.T.ravel()[order], self.skin)
        self.still_normals = np.zeros_like(rig.vertices)
        np.add.at(
            self.still_normals,
            rig.triangles.ravel(),
            np.repeat(_across(rig.vertices, self.corners), 3, axis=0),
        )
        self.still_normals /= np.maximum(np.linalg.norm(self.still_normals, axis=1, keepdims=True), 1e-9)

    def morph(self, base: FloatArray, shot: Shot) -> FloatArray:
        """Move a neutral mesh (V, 3) to the expression and the identity of a shot."""
        moved = base.copy()
        for weights, group in ((shot.expression, self.shapes), (shot.identity, self.rig.identities)):
            for column in np.flatnonzero(weights):
                moved += np.float32(weights[column]) * group[column]
        return moved

    def normals(self, vertices: FloatArray) -> FloatArray:
        """Compute normals of unit length of the skin's vertices `skin`, float32 of shape (skin vertices, 3)."""
        summed = np.add.reduceat(_across(vertices, self.skin_corners)[self.around], self.first, axis=0)
        length = np.sqrt(np.einsum("vi,vi->v", summed, summed))
        return summed / np.maximum(length, 1e-9)[:, None]


def _across(vertices: FloatArray, corners: NDArray[np.intp]) -> FloatArray:
    """Compute the normals of triangles, as long as twice their area, float32 of shape (F, 3)."""
    x, y, z = (np.ascontiguousarray(vertices[:, axis])[corners] for axis in range(3))
    (a, b, c), (d, e, f) = ([axis[corner] - axis[0] for axis in (x, y, z)] for corner in (1, 2))
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=1)


def rotate(turn: float, up: float, roll: float) -> FloatArray:
    """Return the rotation of a head that turns to its left, up and to its right shoulder, float32 of shape (3, 3)."""
    cos, sin = np.cos([turn, -up, roll]), np.sin([turn, -up, roll])
    about_y = np.array([[cos[0], 0, sin[0]], [0, 1, 0], [-sin[0], 0, cos[0]]])
    about_x = np.array([[1, 0, 0], [0, cos[1], -sin[1]], [0, sin[1], cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return np.float32(about_z @ about_x @ about_y)


def _outer_edge(triangles: NDArray[Any], vertices: FloatArray) -> NDArray[np.intp]:
    """List the vertices of the longest open edge of a mesh: the skin also ends at the lids and the lips."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    open_edges = unique[count == 1]
    label = np.arange(len(vertices))
    while True:  # every vertex takes the smallest label of its edges until nothing changes
        smallest = label[open_edges].min(1)
        new = label.copy()
        np.minimum.at(new, open_edges[:, 0], smallest)
        np.minimum.at(new, open_edges[:, 1], smallest)
        if (new == label).all():
            break
        label = new[new]
    ends = np.unique(open_edges)
    loops = [ends[label[ends] == one] for one in np.unique(label[ends])]
    extent = [float(np.ptp(vertices[loop], axis=0).sum()) for loop in loops]
    return loops[int(np.argmax(extent))]


class Renderer:
    """Render portraits at one size.

    Args:
        rig: Rig of the faces.
        size: Height and width of the frames in pixels.
        margin: Margin around the tight crop, as in `CropRecipe`.
    """

    def __init__(self, rig: Rig, size: int = 160, margin: float = 0.05) -> None:
        self.mesh, self.size, self.margin = _Mesh(rig), size, margin
        self.target = (((TEMPLATE - 0.5) / (1 + 2 * margin) + 0.5) * size) @ (1, 1j) - (0.5 + 0.5j)

    def prepare(self, image: NDArray[np.uint8], fit: Fit) -> Portrait:
        """Prepare a portrait, RGB uint8 of shape (H, W, 3), for rendering."""
        return Portrait(self, image, fit)


class Portrait:
    """Hold the texture, the background and the eyes of one subject.

    Args:
        renderer: Renderer with the rig and the size.
        image: The portrait, RGB uint8 of shape (H, W, 3).
        fit: Its fit.
    """

    def __init__(self, renderer: Renderer, image: NDArray[np.uint8], fit: Fit) -> None:
        import cv2

        self.renderer, self.fit = renderer, fit
        mesh, rig = renderer.mesh, renderer.mesh.rig
        self.neutral = rig.morph(fit.identity, np.zeros(len(rig.names)))
        seen = rig.morph(fit.identity, fit.expression)
        self.neutral[mesh.upper] += np.float32(UPPER_TEETH)
        self.neutral_opening = lip_opening(self.neutral, rig)
        self.blink_factors = self._measure_blinks()
        self.offsets = (fit.five - fit.project(five_points(seen, rig))) / fit.scale
        normals = mesh.normals(seen @ fit.rotation.T)
        self.shading = shade(normals, FRONT_LIGHT, AMBIENT)
        # at the sides of the head, a portrait shows the hair or the background in place of skin that it does not see
        hidden = 1 - np.clip((normals[:, 2] - GRAZING[0]) / (GRAZING[1] - GRAZING[0]), 0, 1)
        self.opacity = mesh.fade[mesh.skin] * (1 - hidden * mesh.lateral)

        # the texture has about the scale of the frames, so that sampling it does not alias
        places = texture_coordinates(rig, fit, seen)
        eye_distance = np.linalg.norm(fit.five[0] - fit.five[1])
        shrink = min(1.0, 1.25 * abs(renderer.target[1] - renderer.target[0]) / float(eye_distance))
        self.texture = np.float32(cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
        self.places = np.float32((places + 0.5) * shrink - 0.5)
        self.pixels_per_cm = fit.scale * shrink
        self.background = self._paint_out_face()
        ends = np.c_[self.places[mesh.edge], np.ones(len(mesh.edge))]
        self.carry = np.linalg.pinv(ends)
        tone = self.texture[
            tuple(
                np.clip(
                    self.places[mesh.skin].T[::-1].astype(int), 0, np.array([[s - 1] for s in self.texture.shape[:2]])
                )
            )
        ]
        self.brightness = float(np.clip(np.median(tone) / 150, 0.35, 1.15))
        self.eyes, self.eye_places = self._paint_eyes(
            (fit.irises[:, :2] + 0.5) * shrink - 0.5, fit.irises[:, 2] * shrink
        )

    def _measure_blinks(self) -> NDArray[np.float32]:
        """Return the factors on the two blinks of the rig at which the lids of this portrait meet."""
        mesh = self.renderer.mesh
        factors = []
        for column, lids in zip(mesh.blinks, ((37, 38, 40, 41), (43, 44, 46, 47)), strict=True):
            vertices = mesh.rig.landmarks[list(lids)]
            height, move = self.neutral[vertices, 1], mesh.shapes[column, vertices, 1]
            gaps = height[[0, 1]] - height[[3, 2]]
            factors.append((gaps / np.maximum(move[[3, 2]] - move[[0, 1]], 1e-6)).max())
        return np.clip(np.float32(factors), 1 / LONGEST_BLINK, LONGEST_BLINK)

    def _paint_out_face(self) -> NDArray[np.uint8]:
        """Fill the face of the texture from its surroundings, at half the size."""
        import cv2

        mesh = self.renderer.mesh
        mask = np.zeros(self.texture.shape[:2], np.uint8)
        solid = mesh.fade[mesh.skin_corners].min(0) > 0.6
        for triangle in self.places[mesh.skin_corners.T[solid]].round().astype(np.int32):
            cv2.fillConvexPoly(mask, triangle, 255)
        mask = cv2.dilate(mask, np.ones((2 * round(SPILL * self.pixels_per_cm) + 1,) * 2, np.uint8))
        half = tuple(max(1, side // 2) for side in mask.shape[::-1])
        small = cv2.resize(self.texture, half, interpolation=cv2.INTER_AREA).clip(0, 255).astype(np.uint8)
        hole = cv2.resize(mask, half, interpolation=cv2.INTER_NEAREST)
        filled = np.float32(cv2.resize(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), mask.shape[::-1]))
        blend = cv2.GaussianBlur(np.float32(mask) / 255, (0, 0), 2)[..., None]
        return np.uint8(np.clip(self.texture + blend * (filled - self.texture) + 0.5, 0, 255))

    def _paint_eyes(
        self, irises: NDArray[Any], radii: NDArray[Any]
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        """Paint a patch for each eye, and place the vertices of the eyeballs in it.

        The patch is what the portrait shows between the lids, and a drawn eye around it.
        """
        import cv2

        mesh, rig, fit = self.renderer.mesh, self.renderer.mesh.rig, self.fit
        places = np.zeros((len(rig.vertices), 2), np.float32)
        patches = []
        grid = np.stack(np.meshgrid(*[(np.arange(EYE_PATCH) + 0.5) / EYE_PATCH * 2 - 1] * 2), axis=-1) * EYE_REACH
        shrink = self.pixels_per_cm / fit.scale
        for side, ball in enumerate(mesh.balls):
            # patch coordinates are centimetres from the iris of the portrait, x right and y down as in the image
            places[ball] = (self.places[ball] - irises[side]) / self.pixels_per_cm
            where = np.float32(grid * self.pixels_per_cm + irises[side])
            photo = cv2.remap(
                self.texture, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            lids = (fit.landmarks[36 + 6 * side : 42 + 6 * side] + 0.5) * shrink - 0.5
            outline = ((lids - irises[side]) / self.pixels_per_cm / EYE_REACH + 1) / 2 * EYE_PATCH - 0.5
            shown = np.zeros((EYE_PATCH, EYE_PATCH), np.uint8)
            cv2.fillPoly(shown, [outline.round().astype(np.int32)], 255)
            shown = cv2.erode(shown, np.ones((3, 3), np.uint8))
            radius = np.linalg.norm(grid, axis=2) / (radii[side] / self.pixels_per_cm)
            white = photo[(shown > 0) & (radius > 1.15)]
            ring = photo[(shown > 0) & (radius > 0.5) & (radius < 0.85)]
            sclera = np.median(white, axis=0) if len(white) > 8 else np.full(3, 190.0) * self.brightness
            iris = np.median(ring, axis=0) if len(ring) > 8 else np.full(3, 60.0) * self.brightness
            drawn = np.where(
                radius[..., None] < 1,
                iris * np.where(radius < 0.38, 0.3, 1 - 0.4 * np.clip(radius * 5 - 4, 0, 1))[..., None],
                sclera,
            )
            drawn = cv2.GaussianBlur(np.float32(drawn), (0, 0), 1.5)
            blend = cv2.GaussianBlur(np.float32(shown) / 255, (0, 0), 1.5)[..., None]
            patches.append(np.float32(drawn + blend * (photo - drawn)))
        return patches, places

    def render(self, shot: Shot) -> NDArray[np.uint8]:
        """Render one frame, RGB uint8 of shape (size, size, 3)."""
        return self.render_with_mesh(shot)[0]

    def render_with_mesh(self, shot: Shot) -> tuple[NDArray[np.uint8], FloatArray, FloatArray]:
        """Render one frame.

        Returns:
            The frame, RGB uint8 of shape (size, size, 3); the mesh before the head is turned, float32 of shape (V, 3);
            and its points in the frame, x and y in pixels, and z in pixels to the camera, float32 of shape (V, 3).
        """
        import cv2

        mesh, size = self.renderer.mesh, self.renderer.size
        expression = np.array(shot.expression, np.float32)
        expression[mesh.blinks] *= self.blink_factors
        moved = mesh.morph(self.neutral, replace(shot, expression=expression))
        self._turn_eyes(moved, shot)
        rotation = rotate(*shot.head) @ self.fit.rotation
        seen = moved @ rotation.T
        points = self._place(seen, moved, shot)
        matrix = (self.carry @ points[mesh.edge, :2]).T
        frame = np.float32(
            cv2.warpAffine(
                self.background, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        ).reshape(-1, 3)
        drawn = self._choose_triangles(points, lip_opening(moved, mesh.rig))
        corners = mesh.corners[:, drawn]
        visible = rasterise(points, corners, size)
        parts = mesh.rig.parts[drawn][visible.triangles]
        self._paint_inside(frame, visible, corners, parts, points, rotation, shot)
        self._paint_eyeballs(frame, visible.select(parts == EYES), corners)
        self._paint_skin(frame, visible.select(parts == SKIN), corners, mesh.normals(seen), shot)
        return np.clip(frame + 0.5, 0, 255).astype(np.uint8).reshape(size, size, 3), moved, points

    def _choose_triangles(self, points: FloatArray, opening: float) -> NDArray[np.intp]:
        """List the triangles to draw: those of the mouth only where the lips are open."""
        mesh = self.renderer.mesh
        if opening < CLOSED:
            return mesh.outside
        lips = points[mesh.rig.landmarks[48:], :2]
        low, high = lips.min(0), lips.max(0)
        within = ((points[:, :2] > low) & (points[:, :2] < high)).all(1)
        shown = within[mesh.corners[:, mesh.inside]].any(0)
        return np.concatenate([mesh.outside, mesh.inside[shown]])

    def _turn_eyes(self, moved: FloatArray, shot: Shot) -> None:
        """Turn the eyeballs of a mesh in place."""
        mesh = self.renderer.mesh
        rotation = rotate(shot.gaze[0], shot.gaze[1], 0.0)
        for ball, centre in zip(mesh.balls, mesh.rig.eye_centres, strict=True):
            middle = centre + (moved[ball] - mesh.rig.vertices[ball]).mean(0)
            moved[ball] = (moved[ball] - middle) @ rotation.T + middle

    def _place(self, seen: FloatArray, moved: FloatArray, shot: Shot) -> FloatArray:
        """Place a turned mesh in the frame, as `faces.crop.align` would crop it."""
        renderer = self.renderer
        five = five_points(seen, renderer.mesh.rig)[:, :2] * (1, -1) + self.offsets
        source, goal = five @ (1, 1j), renderer.target
        centred = source - source.mean()
        turn = np.vdot(centred, goal - goal.mean()) / np.vdot(centred, centred)
        turn *= shot.zoom * np.exp(1j * shot.turn)
        middle = goal.mean() + complex(*shot.shift) * renderer.size
        flat = ((seen[:, 0] - 1j * seen[:, 1]) - source.mean()) * turn + middle
        return np.float32(np.column_stack([flat.real, flat.imag, seen[:, 2] * abs(turn)]))

    def _paint_skin(
        self, frame: FloatArray, visible: Visible, corners: NDArray[np.intp], normals: FloatArray, shot: Shot
    ) -> None:
        """Paint the visible skin over the background (pixels, 3) in place."""
        mesh = self.renderer.mesh
        values = np.empty((len(self.places), 4), np.float32)
        values[:, :2] = self.places
        ratio = np.clip(shade(normals, shot.light, shot.ambient) / self.shading, *RATIOS)
        values[mesh.skin, 2] = 1 + (ratio - 1) * mesh.fade[mesh.skin]
        values[mesh.skin, 3] = self.opacity
        values = interpolate(visible, corners, values)
        colour = _sample(self.texture, values[:, 0], values[:, 1]) * values[:, 2:3]
        behind = frame[visible.pixels]
        frame[visible.pixels] = behind + values[:, 3:] * (colour - behind)

    def _paint_eyeballs(self, frame: FloatArray, visible: Visible, corners: NDArray[np.intp]) -> None:
        """Paint the visible parts of the eyeballs into the frame (pixels, 3) in place."""
        left = self.renderer.mesh.rig.vertices[corners[0, visible.triangles], 0] >= 0
        where = (interpolate(visible, corners, self.eye_places) / EYE_REACH + 1) / 2 * EYE_PATCH - 0.5
        for side, patch in enumerate(self.eyes):
            own = left == bool(side)
            frame[visible.pixels[own]] = _sample(patch, where[own, 0], where[own, 1])

    def _paint_inside(
        self,
        frame: FloatArray,
        visible: Visible,
        corners: NDArray[np.intp],
        parts: NDArray[np.int8],
        points: FloatArray,
        rotation: FloatArray,
        shot: Shot,
    ) -> None:
        """Paint the cavities, the gums and the teeth into the frame (pixels, 3) in place, darker where deeper."""
        mesh = self.renderer.mesh
        lips = points[mesh.rig.landmarks[51], 2]
        pixels_per_cm = np.linalg.norm(points[mesh.rig.landmarks[36]] - points[mesh.rig.landmarks[45]]) / 9
        values = np.column_stack([points[:, 2], mesh.still_normals @ rotation[2]])
        brightness = dict(zip((MOUTH, GUMS, TEETH), shot.inside, strict=True))
        for part, colour in COLOURS.items():
            own = visible.select(parts == part)
            if len(own.pixels):
                depth, facing = interpolate(own, corners, values).T
                depth = np.clip(1.3 - (lips - depth) / (DEEP * pixels_per_cm), 0.2, 1)
                light = (0.6 + 0.4 * np.abs(facing)) * depth
                if part == TEETH:
                    light = (0.75 + 0.25 * np.abs(facing)) * (0.3 + 0.7 * depth)
                light *= self.brightness * brightness.get(part, 1.0)
                frame[own.pixels] = light[:, None] * np.float32(colour)


def shade(normals: FloatArray, light: tuple[float, float, float], ambient: float) -> FloatArray:
    """Compute the brightness of surfaces with these normals (N, 3), float32 of shape (N,)."""
    direction = np.float32(light) / np.float32(np.linalg.norm(light))
    return np.float32(ambient) + np.float32(1 - ambient) * np.maximum(normals @ direction, 0)


def _sample(image: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample an image (H, W, 3) at P points with bilinear interpolation, float32 of shape (P, 3)."""
    import cv2

    # remap takes at most 32767 columns, so the points are rows of 512
    rows = -(-len(x) // 512)
    where = np.zeros((2, rows * 512), np.float32)
    where[:, : len(x)] = x, y
    map_x, map_y = where.reshape(2, rows, 512)
    if not rows:
        return np.empty((0, 3), np.float32)
    found = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: len(x)]
