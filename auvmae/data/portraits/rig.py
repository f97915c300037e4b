"""Read the face rig ICT-FaceKit.

    FOLDER/generic_neutral_mesh.obj          the mesh, with its materials
    FOLDER/identity000.obj ...               one mesh per identity mode, as far from the neutral mesh as one deviation
    FOLDER/browDown_L.obj ...                one mesh per expression shape, at full weight
    FOLDER/vertex_indices.json               names of the shapes and vertices of the 68 landmarks

The rig is published under the MIT licence and is not part of this package. Its coordinates are centimetres: x to the
subject's left, y up, z to the camera.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...system.files import whole_file

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

SKIN, MOUTH, SOCKETS, GUMS, TEETH, EYES = range(6)
"""Parts of the mesh, as in `Rig.parts`; the mouth is the cavity behind the lips."""

IDENTITY_MODES = 50
"""Identity modes that are read; the later half of the rig's 100 moves no landmark by a millimetre."""

LOWEST_SKIN = -10.5
"""Height of the neutral mesh below which the skin of the neck is left out, in centimetres; no crop shows it."""

FACING = {SKIN: -0.5, MOUTH: -0.5, SOCKETS: -0.1, GUMS: -0.1, TEETH: -0.1, EYES: 0.15}
"""Part -> smallest z of a normal of the neutral mesh; triangles that face further away are never seen."""

UNLISTED = ("cheekRaiser_L", "cheekRaiser_R")
"""Expression shapes that the rig's index does not list."""

LAYOUT = 3
"""Part of the name of a cached rig. Raise it whenever `load_rig` would return other arrays."""

SOURCE = "git clone https://github.com/ICT-VGL/ICT-FaceKit"


def single(values: Any) -> FloatArray:
    """Convert numbers to a float32 array."""
    return np.asarray(values, np.float32)


def without_side(name: str) -> str:
    """Return the name of a shape without `_L` or `_R`."""
    return name.removesuffix("_L").removesuffix("_R")


@dataclass(frozen=True)
class Rig:
    """Hold the parts of the rig that a camera in front of the face sees.

    V vertices, F triangles, E expression shapes and I identity modes. Lengths are centimetres.

    Args:
        vertices: Neutral mesh, float32 of shape (V, 3).
        triangles: Vertices of each triangle, counter-clockwise from outside, int32 of shape (F, 3).
        parts: Part of each triangle, `SKIN` to `EYES`, int8 of shape (F,).
        names: Names of the expression shapes; `_L` is the subject's left, where x is positive.
        shapes: Displacements at full weight, float32 of shape (E, V, 3).
        identities: Displacements at one standard deviation, float32 of shape (I, V, 3).
        landmarks: Vertices of the 68 landmarks, int32 of shape (68,).
        eye_centres: Centres of the right and the left eyeball, float32 of shape (2, 3).
        eye_radius: Radius of the eyeballs.
    """

    vertices: FloatArray
    triangles: IntArray
    parts: NDArray[np.int8]
    names: tuple[str, ...]
    shapes: FloatArray
    identities: FloatArray
    landmarks: IntArray
    eye_centres: FloatArray
    eye_radius: float

    def weights(self, by_name: dict[str, float]) -> FloatArray:
        """Convert weights by name to a float32 array of shape (E,); other shapes get 0."""
        found = np.zeros(len(self.names), np.float32)
        for name, weight in by_name.items():
            found[self.names.index(name)] += weight
        return found

    def columns(self, shape: str) -> list[int]:
        """List the columns of a shape, given without its side."""
        return [column for column, name in enumerate(self.names) if without_side(name) == shape]

    def morph(self, identity: NDArray[Any], expression: NDArray[Any]) -> FloatArray:
        """Move the mesh to an identity and an expression.

        Args:
            identity: Weights of the first identity modes, shape (at most I,).
            expression: Weights of the expression shapes, shape (E,).

        Returns:
            Vertices, float32 of shape (V, 3).
        """
        moved = single(expression) @ self.shapes.reshape(len(self.shapes), -1)
        moved += single(identity) @ self.identities[: len(identity)].reshape(len(identity), -1)
        return self.vertices + moved.reshape(-1, 3)


def load_rig(folder: str | Path, cache_dir: str | Path | None = None) -> Rig:
    """Load the rig from its folder as distributed.

    Args:
        folder: Folder `FaceXModel` of ICT-FaceKit, or the folder that contains it.
        cache_dir: Folder where the arrays are kept, so that the next call reads 20 MB in place of 270 MB of text.
            Nothing is kept without it.

    Raises:
        FileNotFoundError: The folder does not hold the rig. The message says what was expected and found.
        ValueError: A file of the rig is damaged.

    Example:
        >>> load_rig("FaceXModel").vertices.shape  # doctest: +SKIP
        (13980, 3)
    """
    folder = Path(folder)
    if (folder / "FaceXModel").is_dir():
        folder = folder / "FaceXModel"
    names, landmarks = _read_index(folder)
    modes = [f"identity{mode:03d}" for mode in range(IDENTITY_MODES)]
    files = [folder / f"{name}.obj" for name in ("generic_neutral_mesh", *names, *modes)]
    if missing := [path.name for path in files if not path.is_file()]:
        raise _not_a_rig(folder, missing)
    if cache_dir is None:
        return _build(files, names, landmarks)
    state = [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]
    key = hashlib.sha256(json.dumps([LAYOUT, str(folder.resolve()), state]).encode()).hexdigest()[:16]
    kept = Path(cache_dir) / f"face_rig-{key}.npz"
    if not kept.is_file():
        rig = _build(files, names, landmarks)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept) as temporary, temporary.open("wb") as stream:
            content: dict[str, Any] = {field.name: np.asarray(getattr(rig, field.name)) for field in fields(Rig)}
            np.savez(stream, **content)
    with np.load(kept) as arrays:
        content = {field.name: arrays[field.name] for field in fields(Rig)}
    return Rig(**{**content, "names": tuple(content["names"].tolist()), "eye_radius": float(content["eye_radius"])})


def _not_a_rig(folder: Path, missing: Sequence[str]) -> FileNotFoundError:
    count = len(list(folder.glob("*.obj"))) if folder.is_dir() else 0
    found = f"found {count} .obj files" if folder.is_dir() else "found no such folder"
    more = f" and {len(missing) - 3} more files" if len(missing) > 3 else ""
    return FileNotFoundError(
        f"{folder} does not hold the face rig ICT-FaceKit: expected {', '.join(missing[:3])}{more}, {found}. "
        f"Get it with `{SOURCE}` and name its folder FaceXModel."
    )


def _read_index(folder: Path) -> tuple[tuple[str, ...], list[int]]:
    path = folder / "vertex_indices.json"
    if not path.is_file():
        raise _not_a_rig(folder, [path.name, "generic_neutral_mesh.obj", "identity000.obj"])
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        names, landmarks = (*index["expressions"], *UNLISTED), index["idx_to_landmark_verts"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}). Get the rig again with `{SOURCE}`.") from error
    if len(landmarks) != 68:
        raise ValueError(f"{path} lists {len(landmarks)} landmarks, expected 68. Get the rig again with `{SOURCE}`.")
    return names, landmarks


def _build(files: Sequence[Path], names: tuple[str, ...], landmarks: list[int]) -> Rig:
    neutral = _read_vertices(files[0])
    by_material = _read_triangles(files[0], len(neutral))
    parts = _find_parts(neutral, landmarks, by_material)
    balls = np.unique(np.concatenate([by_material["M_ScleraRight"], by_material["M_ScleraLeft"]]))
    centres, radius = _measure_eyes(neutral[balls])
    kept_triangles, kept_parts = [], []
    for part, triangles in parts.items():
        corners = neutral[triangles]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normals, axis=1)
        seen = (length > 0) & (normals[:, 2] > FACING[part] * length)
        if part == SKIN:
            seen &= corners[:, :, 1].max(1) > LOWEST_SKIN
        kept_triangles.append(triangles[seen])
        kept_parts.append(np.full(int(seen.sum()), part, np.int8))
    triangles = np.concatenate(kept_triangles)
    used = np.union1d(triangles, landmarks)
    number = np.full(len(neutral), -1, np.int32)
    number[used] = np.arange(len(used))

    def displacements(group: Sequence[Path]) -> FloatArray:
        found = np.empty((len(group), len(used), 3), np.float32)
        for row, path in zip(found, group, strict=True):
            moved = _read_vertices(path)
            if len(moved) != len(neutral):
                raise ValueError(
                    f"{path} has {len(moved)} vertices, expected {len(neutral)} as in {files[0].name}. "
                    f"Get the rig again with `{SOURCE}`."
                )
            row[:] = (moved - neutral)[used]
        return found

    return Rig(
        vertices=neutral[used],
        triangles=number[triangles],
        parts=np.concatenate(kept_parts),
        names=names,
        shapes=displacements(files[1 : 1 + len(names)]),
        identities=displacements(files[1 + len(names) :]),
        landmarks=number[landmarks],
        eye_centres=centres,
        eye_radius=radius,
    )


def _read_vertices(path: Path) -> FloatArray:
    """Read the lines `v x y z` of an OBJ file, float32 of shape (vertices, 3)."""
    lines = [line[2:] for line in path.read_bytes().split(b"\n") if line.startswith(b"v ")]
    try:
        return np.array(b" ".join(lines).split()).astype(np.float32).reshape(len(lines), 3)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}). Get the rig again with `{SOURCE}`.") from error


def _read_triangles(path: Path, count: int) -> dict[str, IntArray]:
    """Read the faces of each material of an OBJ file, as triangles of shape (F, 3)."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    material = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("usemtl "):
            material = line.split()[1]
        elif line.startswith("f "):
            corners = [int(corner.split("/")[0]) - 1 for corner in line.split()[1:]]
            found.setdefault(material, []).extend(
                (corners[0], second, third) for second, third in pairwise(corners[1:])
            )
    wanted = ("M_Face", "M_BackHead", "M_GumsTongue", "M_Teeth", "M_ScleraRight", "M_ScleraLeft")
    triangles = {name: np.array(found.get(name, []), np.int32).reshape(-1, 3) for name in wanted}
    for name, rows in triangles.items():
        if not len(rows) or rows.max() >= count or rows.min() < 0:
            raise ValueError(f"{path} has no valid faces of the material {name}. Get the rig again with `{SOURCE}`.")
    return triangles


def _find_parts(neutral: FloatArray, landmarks: list[int], by_material: dict[str, IntArray]) -> dict[int, IntArray]:
    """Assign triangles to the parts.

    The material of the back of the head also covers the cavities. They are its connected pieces that lie within the
    landmarks of the face; the mouth's crosses the midline, and those of the eyes do not.
    """
    low, high = neutral[landmarks, :2].min(0), neutral[landmarks, :2].max(0)
    cavities: dict[int, list[IntArray]] = {MOUTH: [], SOCKETS: []}
    for piece in split_pieces(by_material["M_BackHead"], len(neutral)):
        place = neutral[piece, :2].reshape(-1, 2)
        if (place.min(0) >= low).all() and (place.max(0) <= high).all():
            across = place[:, 0].min() < 0 < place[:, 0].max()
            cavities[MOUTH if across else SOCKETS].append(piece)
    empty = np.empty((0, 3), np.int32)
    return {
        SKIN: by_material["M_Face"],
        MOUTH: np.concatenate([empty, *cavities[MOUTH]]),
        SOCKETS: np.concatenate([empty, *cavities[SOCKETS]]),
        GUMS: by_material["M_GumsTongue"],
        TEETH: by_material["M_Teeth"],
        EYES: np.concatenate([by_material["M_ScleraRight"], by_material["M_ScleraLeft"]]),
    }


def label_pieces(groups: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Label vertices with the smallest vertex of their connected piece.

    Args:
        groups: Vertices of each triangle or edge, (G, 3) or (G, 2).
        count: Number of vertices.
    """
    label = np.arange(count)
    while True:  # every vertex takes the smallest label of its groups until nothing changes
        smallest = label[groups].min(1)
        new = label.copy()
        for corner in groups.T:
            np.minimum.at(new, corner, smallest)
        new = new[new]
        if (new == label).all():
            return label
        label = new


def split_pieces(triangles: IntArray, count: int) -> list[IntArray]:
    """Split triangles into connected pieces."""
    label = label_pieces(triangles, count)
    piece = label[triangles[:, 0]]
    return [triangles[piece == one] for one in np.unique(piece)]


def _measure_eyes(balls: FloatArray) -> tuple[FloatArray, float]:
    """Measure centres (2, 3) and radius of two eyeballs, without their front.

    The cornea bulges there.
    """
    centres = []
    radius = 0.0
    for ball in (balls[balls[:, 0] < 0], balls[balls[:, 0] >= 0]):
        low, high = ball.min(0), ball.max(0)
        radius = float(high[1] - low[1]) / 2
        centres.append([*(low[:2] + high[:2]) / 2, low[2] + radius])
    return np.array(centres, np.float32), radius
