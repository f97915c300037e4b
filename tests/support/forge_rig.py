"""Forge a miniature face rig with the files and the names of ICT-FaceKit.

The face is a grid on a curved sheet with holes for the eyes and the mouth, two balls behind the eyes, and plates for
teeth, gums and cavities behind the mouth.
"""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from auvmae.data.portraits.rig import IDENTITY_MODES, UNLISTED

PAIRED = (
    *("browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn"),
    *("eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress"),
    *("mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer"),
)
SINGLE = (
    *("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft", "mouthPucker"),
    *("mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
)
NAMES = [*(f"{name}_{side}" for name in PAIRED for side in "LR"), *SINGLE]

EYES = np.array([[-3.0, 3.5], [3.0, 3.5]])
RADIUS = 1.4
STEP = 0.5


def _landmarks():
    angles = np.pi - np.arange(17) * np.pi / 16
    right_brow = [(-5.5, 5.5), (-4.5, 6.0), (-3.5, 6.0), (-2.5, 6.0), (-1.5, 5.5)]
    right_eye = [(-4.5, 3.5), (-3.5, 4.0), (-2.5, 4.0), (-1.5, 3.5), (-2.5, 3.0), (-3.5, 3.0)]
    left_eye = [(1.5, 3.5), (2.5, 4.0), (3.5, 4.0), (4.5, 3.5), (3.5, 3.0), (2.5, 3.0)]
    upper = [(-2.5, -3.5), (-1.5, -2.5), (-0.5, -2.0), (0.0, -2.0), (0.5, -2.0), (1.5, -2.5), (2.5, -3.5)]
    lower = [(1.5, -4.0), (0.5, -4.5), (0.0, -4.5), (-0.5, -4.5), (-1.5, -4.0)]
    inner = [(-2.0, -3.5), (-1.0, -3.0), (0.0, -3.0), (1.0, -3.0), (2.0, -3.5), (1.0, -3.5), (0.0, -3.5), (-1.0, -3.5)]
    return np.array(
        [
            *np.column_stack([7 * np.cos(angles), 3.5 - 10.5 * np.sin(angles)]),
            *right_brow,
            *[(-x, y) for x, y in right_brow[::-1]],
            *[(0, 3.5), (0, 2.5), (0, 1.5), (0, 0.5), (-1, -1), (-0.5, -1), (0, -1), (0.5, -1), (1, -1)],
            *right_eye,
            *left_eye,
            *upper,
            *lower,
            *inner,
        ]
    )


def _height(x, y):
    return 11 - x**2 / 10 - y**2 / 40 + 2 * np.exp(-(x**2 + (y - 0.5) ** 2) / 2)


@lru_cache
def forge_mesh():
    """Return vertices (V, 3), faces of each material, and the vertices of the 68 landmarks."""
    columns, rows = np.arange(-8.5, 8.51, STEP), np.arange(-9, 11.01, STEP)
    x, y = np.meshgrid(columns, rows)
    vertices = [np.column_stack([x.ravel(), y.ravel(), _height(x, y).ravel()])]
    wide, total = len(columns), x.size
    faces = {"M_Face": []}
    for row in range(len(rows) - 1):
        for column in range(wide - 1):
            middle = np.array([columns[column], rows[row]]) + STEP / 2
            eye = (np.abs(np.abs(middle) - EYES[1]) < (1, 0.5)).all() and middle[1] > 0
            mouth = abs(middle[0]) < 2 and -3.5 < middle[1] < -3
            if not eye and not mouth:
                corner = row * wide + column
                faces["M_Face"].append([corner, corner + 1, corner + wide + 1, corner + wide])

    def plate(material, low, high, z):
        """Add an upright grid of 8 x 8 quads."""
        nonlocal total
        across, up = np.meshgrid(*np.linspace(low, high, 9).T)
        vertices.append(np.column_stack([across.ravel(), up.ravel(), np.full(81, z)]))
        for row in range(8):
            for column in range(8):
                corner = total + 9 * row + column
                faces.setdefault(material, []).append([corner, corner + 1, corner + 10, corner + 9])
        total += 81

    plate("M_BackHead", (-12, -19), (12, 14), -5)
    plate("M_BackHead", (-3, -5.5), (3, -1), 5)
    for eye in EYES:
        plate("M_BackHead", eye - 1, eye + 1, 6)
    plate("M_GumsTongue", (-2, -5), (2, -1.5), 8)
    plate("M_Teeth", (-1.5, -3), (1.5, -2), 9)  # above
    plate("M_Teeth", (-1.5, -4.5), (1.5, -3.6), 9)  # below
    for material, eye in zip(("M_ScleraRight", "M_ScleraLeft"), EYES, strict=True):
        up, around = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, 9), np.arange(12) * np.pi / 6, indexing="ij")
        ball = np.stack([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)], axis=-1) * RADIUS
        vertices.append(ball.reshape(-1, 3) + np.array([*eye, float(_height(*eye)) - RADIUS]))
        for row in range(8):
            for column in range(12):
                following = (column + 1) % 12
                corners = [row * 12 + column, row * 12 + following, (row + 1) * 12 + following, (row + 1) * 12 + column]
                faces.setdefault(material, []).append([total + corner for corner in corners])
        total += ball.size // 3
    vertices = np.concatenate(vertices)
    landmarks = [int(((vertices[: x.size, :2] - place) ** 2).sum(1).argmin()) for place in _landmarks()]
    return vertices, faces, landmarks


def _bump(vertices, place, radius):
    return np.exp(-((vertices[:, :2] - place) ** 2).sum(1) / radius**2)[:, None]


def displacement(name):
    """Return the displacement of a shape or an identity mode, (V, 3)."""
    vertices, _, landmarks = forge_mesh()
    x, y = vertices[:, 0], vertices[:, 1]
    side = -1 if name.endswith("_R") else 1
    if name.startswith("identity"):
        mode = int(name[-3:])
        rng = np.random.default_rng(mode)
        waves = np.sin(
            np.outer(x, rng.uniform(0.1, 0.5, 3)) + np.outer(y, rng.uniform(0.1, 0.5, 3)) + rng.uniform(0, 6, 3)
        )
        return waves * 0.5 / (1 + mode)
    if name == "jawOpen":
        lower = (y < -3.25) & (vertices[:, 2] > 7)
        return np.where(lower[:, None], (0, -3.0, -0.5), 0) * np.exp(-((x / 6) ** 4))[:, None]
    if name.startswith("mouthSmile"):
        return _bump(vertices, (2.5 * side, -3.5), 1.5) * (0.8 * side, 0.9, -0.3)
    if name.startswith("eyeBlink"):
        upper = (y > 3.75) & (x * side > 0) & (vertices[:, 2] > 7)
        return np.where(upper[:, None], (0, -1.0, 0.2), 0) * _bump(vertices, (3 * side, 4), 1.5)
    place = vertices[landmarks[17 + (NAMES + list(UNLISTED)).index(name) % 51], :2]
    return _bump(vertices, np.abs(place) * (side, np.sign(place[1]) or 1), 1.5) * (0.1 * side, 0.3, 0.0)


def write_obj(path, vertices, faces):
    """Write an OBJ file."""
    lines = ["# forged", "mtllib ICTFaceModelMaterial.mtl", *(f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices)]
    lines.append("vt 0.0 0.0")
    for material, quads in faces.items():
        lines += [f"usemtl {material}", *("f " + " ".join(f"{corner + 1}/1" for corner in quad) for quad in quads)]
    path.write_text("\n".join(lines) + "\n")


def write_rig(folder: Path) -> Path:
    """Write the rig to `folder`/FaceXModel and return that folder."""
    root = folder / "FaceXModel"
    root.mkdir(parents=True)
    vertices, faces, landmarks = forge_mesh()
    write_obj(root / "generic_neutral_mesh.obj", vertices, faces)
    for name in [*NAMES, *UNLISTED, *(f"identity{mode:03d}" for mode in range(IDENTITY_MODES))]:
        write_obj(root / f"{name}.obj", vertices + displacement(name), {})
    index = {"expressions": NAMES, "idx_to_landmark_verts": landmarks}
    (root / "vertex_indices.json").write_text(json.dumps(index))
    return root
