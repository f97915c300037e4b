"""Prepare the rig's mesh for rendering, whoever the subject is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rig import EYES, GUMS, SKIN, SOCKETS, TEETH, FloatArray, Rig, label_pieces, single, split_pieces
from .wrinkles import front_view

Indices = NDArray[np.intp]

FADE = 2.2
"""Distance from the edge of the skin over which it blends into the background, in centimetres."""

SIDES = (4.5, 6.0)
"""Distances from the midline between which the sides of the head begin, in centimetres."""

STILL = 0.05
"""Largest displacement by the open jaw of what belongs to the upper jaw, in centimetres."""

BEHIND_TEETH = (0.3, 0.6)
"""Distances from the lower teeth between which gums become the tongue, in centimetres."""

LID_MOVES = (0.05, 0.45)
"""Movements down by a blink between which the drawn lid replaces the stretched skin of the portrait, in centimetres."""

UPPER_TEETH = (0.0, -0.4, 0.1)
"""Shift of the upper teeth in centimetres; the rig has them hidden behind the lip."""

WIDER_TEETH = 1.14
"""Factor on the width of the teeth; the rig has gaps between them."""

TOGETHER = (0.2, -0.1)
"""How far lowered brows also move to the midline and up at their inner ends, in centimetres at full weight.

The rig's own shape hardly draws them together.
"""

BROW_REACH = 1.4
"""Distance from the inner end of a brow over which this movement fades, in centimetres."""


class FaceMesh:
    """Hold the lists of vertices and triangles that the renderer needs.

    Args:
        rig: The rig.

    Attributes:
        shapes: Displacements of the expression shapes without the eyeballs, float32 of shape (E, V, 3).
        balls: Vertices of the right and the left eyeball.
        arranged: Displacements that put the teeth in order, float32 of shape (V, 3).
        tongue: 1 at the tongue, 0 elsewhere, float32 of shape (V,).
        lowered: 1 where the skin follows the jaw, 0 where it does not, float32 of shape (V,).
        blinks: Columns of the blinks of the right and the left eye.
        skin: Vertices of the skin, (S,).
        edge: Vertices of the outer edge of the skin.
        lids: Vertices of the edges of the lids around the right and the left eye.
        fade: 0 at that edge, rising to 1 inside, float32 of shape (S,).
        front: Places in the maps of wrinkles, float32 of shape (V, 2).
        lateral: 1 at the sides of the head, falling to 0 in front, float32 of shape (S,).
        outside: Corners (3, F) of the triangles outside of the mouth.
        inside: Corners (3, F) of the triangles that only show between the lips.
        outside_parts, inside_parts: Parts of these triangles.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        corners = np.ascontiguousarray(rig.triangles.T.astype(np.intp))
        balls = np.unique(corners[:, rig.parts == EYES])
        self.balls = (balls[rig.vertices[balls, 0] < 0], balls[rig.vertices[balls, 0] >= 0])
        self.shapes = rig.shapes.copy()
        self.shapes[:, balls] = 0  # the gaze turns the balls, and not the shapes
        teeth = np.unique(corners[:, rig.parts == TEETH])
        jaw = rig.shapes[rig.names.index("jawOpen")]
        lower = np.linalg.norm(jaw, axis=1) >= STILL
        self.arranged = np.zeros_like(rig.vertices)
        self.arranged[teeth[~lower[teeth]]] = UPPER_TEETH
        for tooth in split_pieces(rig.triangles[rig.parts == TEETH], len(rig.vertices)):
            own = np.unique(tooth)
            self.arranged[own, 0] += (WIDER_TEETH - 1) * (rig.vertices[own, 0] - rig.vertices[own, 0].mean())
        gums = np.unique(corners[:, rig.parts == GUMS])
        gums = gums[lower[gums]]
        self.tongue = np.zeros(len(rig.vertices), np.float32)
        self.tongue[gums] = _rise(_nearest(rig.vertices[gums], rig.vertices[teeth[lower[teeth]]]), BEHIND_TEETH)
        self.blinks = [rig.names.index(f"eyeBlink_{side}") for side in "RL"]
        self.lowered = np.clip(jaw[:, 1] / jaw[rig.landmarks[66], 1], 0, 1)

        shows = np.isin(rig.parts, (SKIN, SOCKETS, EYES))
        self.outside, self.outside_parts = np.ascontiguousarray(corners[:, shows]), rig.parts[shows]
        self.inside, self.inside_parts = np.ascontiguousarray(corners[:, ~shows]), rig.parts[~shows]
        self.mouth = np.unique(self.inside)

        self.skin_corners = np.ascontiguousarray(corners[:, rig.parts == SKIN])
        self.skin = np.unique(self.skin_corners)
        self.edge, others = find_edges(self.skin_corners.T, rig.vertices)
        away = np.array(
            [[np.hypot(*(rig.vertices[edge].mean(0) - eye)[:2]) for edge in others] for eye in rig.eye_centres]
        )
        self.lids = tuple(others[nearest] for nearest in away.argmin(1))
        self.fade = np.clip(_nearest(rig.vertices[self.skin], rig.vertices[self.edge]) / FADE, 0, 1)
        self.front = front_view(rig.vertices)
        self.lateral = _rise(np.abs(rig.vertices[self.skin, 0]), SIDES)
        self._draw_brows_together()
        # triangles around each vertex of the skin
        order = np.argsort(self.skin_corners.T.ravel(), kind="stable")
        self._around = order // 3
        self._first = np.searchsorted(self.skin_corners.T.ravel()[order], self.skin)
        # what is inside of the mouth only turns with the head
        still = np.zeros_like(rig.vertices)
        np.add.at(still, corners.T.ravel(), np.repeat(_across(rig.vertices, corners), 3, axis=0))
        self.still_normals = still / np.maximum(np.linalg.norm(still, axis=1, keepdims=True), 1e-9)

    def _draw_brows_together(self) -> None:
        """Move the brows together as well in the shapes that lower them."""
        for side, landmark in (("R", 21), ("L", 22)):
            inner = self.rig.vertices[self.rig.landmarks[landmark]]
            distance = np.linalg.norm(self.rig.vertices[self.skin] - inner, axis=1)
            move = single((-np.sign(inner[0]) * TOGETHER[0], TOGETHER[1], 0))
            self.shapes[self.rig.names.index(f"browDown_{side}"), self.skin] += (
                np.exp(-((distance / BROW_REACH) ** 2))[:, None] * move
            )

    def find_lids(self, neutral: FloatArray, shut: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Find the skin that blinks stretch, so that it must be drawn.

        Args:
            neutral: Mesh with open eyes, (V, 3).
            shut: Mesh with shut eyes, (V, 3).

        Returns:
            How far the drawn lid replaces the portrait, in 0..1, and the distance from the edge of the lids in the mesh
            with shut eyes, in centimetres; both float32 of shape (V,).
        """
        share = np.zeros(len(neutral), np.float32)
        share[self.skin] = _rise((neutral - shut)[self.skin, 1], LID_MOVES)
        distance = np.zeros(len(neutral), np.float32)
        drawn = np.flatnonzero(share)
        distance[drawn] = _nearest(shut[drawn], shut[np.concatenate(self.lids)])
        return share, distance

    def morph(self, base: FloatArray, expression: NDArray[Any], identity: NDArray[Any]) -> FloatArray:
        """Move a mesh (V, 3) by weights of expression shapes and of identity modes."""
        moved = base.copy()
        for weights, group in ((expression, self.shapes), (identity, self.rig.identities)):
            for column in np.flatnonzero(weights):
                moved += np.float32(weights[column]) * group[column]
        return moved

    def normals(self, vertices: FloatArray) -> FloatArray:
        """Compute normals of unit length at the vertices of the skin, (S, 3)."""
        summed = np.add.reduceat(_across(vertices, self.skin_corners)[self._around], self._first, axis=0)
        length = np.sqrt(np.einsum("vi,vi->v", summed, summed))
        return summed / np.maximum(length, 1e-9)[:, None]


def _rise(values: FloatArray, limits: tuple[float, float]) -> FloatArray:
    """Scale values to 0 at the lower limit and 1 at the higher one."""
    return np.clip((values - np.float32(limits[0])) / np.float32(limits[1] - limits[0]), 0, 1)


def _nearest(points: FloatArray, others: FloatArray) -> FloatArray:
    """Measure the distance of each point (P, 3) from the nearest of the others, (P,)."""
    return single([np.sqrt(((others - point) ** 2).sum(1).min()) for point in points])


def _across(vertices: FloatArray, corners: Indices) -> FloatArray:
    """Compute normals of triangles (F, 3), as long as twice their area."""
    x, y, z = (np.ascontiguousarray(vertices[:, axis])[corners] for axis in range(3))
    (a, b, c), (d, e, f) = ([axis[corner] - axis[0] for axis in (x, y, z)] for corner in (1, 2))
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=1)


def rotate(turn: float, up: float, roll: float) -> FloatArray:
    """Rotate a head to its left, up, and to its right shoulder, by a matrix (3, 3)."""
    cos, sin = np.cos([turn, -up, roll]), np.sin([turn, -up, roll])
    about_y = np.array([[cos[0], 0, sin[0]], [0, 1, 0], [-sin[0], 0, cos[0]]])
    about_x = np.array([[1, 0, 0], [0, cos[1], -sin[1]], [0, sin[1], cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return single(about_z @ about_x @ about_y)


def find_edges(triangles: NDArray[Any], vertices: FloatArray) -> tuple[Indices, list[Indices]]:
    """Find the vertices of the outer edge of a mesh and of its other edges.

    The skin also ends at the lids, the nostrils and the lips, where its edges are short.
    """
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    single_edges = unique[count == 1]
    label = label_pieces(single_edges, len(vertices))
    ends = np.unique(single_edges)
    loops = [ends[label[ends] == one] for one in np.unique(label[ends])]
    outer = int(np.argmax([float(np.ptp(vertices[loop], axis=0).sum()) for loop in loops]))
    return loops.pop(outer), loops
