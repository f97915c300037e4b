"""Prepare the rig's mesh for rendering, whoever the subject is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rig import EYES, SKIN, SOCKETS, TEETH, FloatArray, Rig, single

Indices = NDArray[np.intp]

FADE = 2.2
"""Distance from the edge of the skin over which it blends into the background, in centimetres."""

SIDES = (4.5, 6.0)
"""Distances from the midline between which the sides of the head begin, in centimetres."""

STILL = 0.05
"""Largest displacement by the open jaw of what belongs to the upper jaw, in centimetres."""


class FaceMesh:
    """Hold the lists of vertices and triangles that the renderer needs.

    Args:
        rig: The rig.

    Attributes:
        shapes: Displacements of the expression shapes without the eyeballs, float32 of shape (E, V, 3).
        balls: Vertices of the right and the left eyeball.
        upper_teeth: Vertices of the upper teeth.
        blinks: Columns of the blinks of the right and the left eye.
        skin: Vertices of the skin, (S,).
        edge: Vertices of the outer edge of the skin.
        fade: 0 at that edge, rising to 1 inside, float32 of shape (S,).
        lateral: 1 at the sides of the head, falling to 0 in front, float32 of shape (S,).
        outside: Corners (3, F) of the triangles that show with the lips closed.
        inside: Corners (3, F) of the triangles that show with the lips open.
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
        self.upper_teeth = teeth[np.linalg.norm(rig.shapes[rig.names.index("jawOpen"), teeth], axis=1) < STILL]
        self.blinks = [rig.names.index(f"eyeBlink_{side}") for side in "RL"]

        shows = np.isin(rig.parts, (SKIN, SOCKETS, EYES))
        self.outside, self.outside_parts = np.ascontiguousarray(corners[:, shows]), rig.parts[shows]
        self.inside, self.inside_parts = np.ascontiguousarray(corners[:, ~shows]), rig.parts[~shows]
        self.mouth = np.unique(self.inside)

        self.skin_corners = np.ascontiguousarray(corners[:, rig.parts == SKIN])
        self.skin = np.unique(self.skin_corners)
        self.edge = find_outer_edge(self.skin_corners.T, rig.vertices)
        gap = [np.linalg.norm(rig.vertices[self.edge] - vertex, axis=1).min() for vertex in rig.vertices[self.skin]]
        self.fade = np.clip(single(gap) / FADE, 0, 1)
        away = np.abs(rig.vertices[self.skin, 0])
        self.lateral = np.clip((away - SIDES[0]) / (SIDES[1] - SIDES[0]), 0, 1)
        # triangles around each vertex of the skin
        order = np.argsort(self.skin_corners.T.ravel(), kind="stable")
        self._around = order // 3
        self._first = np.searchsorted(self.skin_corners.T.ravel()[order], self.skin)
        # what is inside of the mouth only turns with the head
        still = np.zeros_like(rig.vertices)
        np.add.at(still, corners.T.ravel(), np.repeat(_across(rig.vertices, corners), 3, axis=0))
        self.still_normals = still / np.maximum(np.linalg.norm(still, axis=1, keepdims=True), 1e-9)

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


def find_outer_edge(triangles: NDArray[Any], vertices: FloatArray) -> Indices:
    """Find the vertices of the longest open edge of a mesh.

    The skin also ends at the lids and the lips, where its edges are short.
    """
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    single_edges = unique[count == 1]
    label = np.arange(len(vertices))
    while True:  # every vertex takes the smallest label of its edges until nothing changes
        smallest = label[single_edges].min(1)
        new = label.copy()
        np.minimum.at(new, single_edges[:, 0], smallest)
        np.minimum.at(new, single_edges[:, 1], smallest)
        new = new[new]
        if (new == label).all():
            break
        label = new
    ends = np.unique(single_edges)
    loops = [ends[label[ends] == one] for one in np.unique(label[ends])]
    extent = [float(np.ptp(vertices[loop], axis=0).sum()) for loop in loops]
    return loops[int(np.argmax(extent))]
