"""Fit the rig to the landmarks of portraits, and keep the fits.

A fit needs 68 landmarks (see `landmarks.py`). The fits of all portraits are part of the package as `fits.npz`, which
holds numbers and no pixels:

    python -m auvmae.data.portraits.fitting RIG PORTRAITS landmarks.npz fits.npz

Portraits are not quite neutral, so a small expression is fitted as well. It is undone before the face is animated.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .rig import FloatArray, Rig, load_rig, single, without_side

Array = NDArray[np.float64]

FITS = Path(__file__).with_name("fits.npz")
"""Fits of the portraits that are part of the package."""

SOURCE = "git clone https://github.com/faker-js/assets-person-portrait"
"""Command that gets the portraits; they lie in female/512 and male/512, show no real people and are CC0."""

JAW = slice(0, 17)
"""Landmarks along the outline of the face."""

JAW_WEIGHT = 0.35
"""Weight of a jaw landmark, since the outline is uncertain; others have 1."""

ROUNDS = 12
"""Rounds of alternating least squares."""

IDENTITY_PRIOR = 0.05
"""Penalty on the squares of identity weights, where the penalty on a landmark's error is 1 per square centimetre."""

EXPRESSION_PRIOR = 6.0
"""Penalty on the squares of expression weights, as distances from the expected ones."""

LOWEST, HIGHEST = -0.15, 0.8
"""Limits of expression weights."""

LIDS = (-0.3, 0.5)
"""The same of the blinks, since the opening of the eyes is a trait as well."""

IRIS_RADIUS = 0.55
"""Radius of an iris in centimetres, where it was not detected."""

EYE_CORNERS = (36, 45)
"""Landmarks at the outer corners of the eyes; fit errors are fractions of their distance."""

CHANNELS = {
    "browDown": "browDown", "browInnerUp": "browInnerUp", "browOuterUp": "browOuterUp", "eyeBlink": "",
    "eyeWide": "", "jawOpen": "jawOpen", "mouthFrown": "mouthFrown", "mouthLowerDown": "mouthLowerDown",
    "mouthPress": "", "mouthPucker": "mouthPucker", "mouthRollLower": "", "mouthRollUpper": "",
    "mouthSmile": "mouthSmile", "mouthUpperUp": "mouthUpperUp",
}  # fmt: skip
"""Shape that is fitted -> MediaPipe's channel that says what to expect; empty = neutral."""


@dataclass(frozen=True)
class Fit:
    """Hold the fit of one portrait; E expression shapes, I identity modes.

    The point v of the mesh, in centimetres, is seen at `scale * (rotation @ v)[:2] * (1, -1) + shift`, in pixels.

    Args:
        identity: Weights of the identity modes, float32 of shape (I,).
        expression: Weights of the expression shapes, float32 of shape (E,); those of the portrait, to be undone.
        scale: Pixels per centimetre.
        rotation: Rotation of the head, float32 of shape (3, 3).
        shift: Shift in pixels, float32 of shape (2,).
        landmarks: The 68 detected landmarks in pixels, float32 of shape (68, 2).
        five: Landmarks of the face detector (eyes, nose, corners of the mouth) in pixels, float32 of shape (5, 2).
        irises: x, y and radius of the irises, left and right in the image, in pixels, float32 of shape (2, 3).
    """

    identity: FloatArray
    expression: FloatArray
    scale: float
    rotation: FloatArray
    shift: FloatArray
    landmarks: FloatArray
    five: FloatArray
    irises: FloatArray

    def project(self, vertices: NDArray[Any]) -> Array:
        """Return where vertices (V, 3) are seen in the portrait, in pixels (V, 2)."""
        flat = np.asarray(vertices, float) @ self.rotation[:2].T.astype(float)
        return self.scale * flat * (1, -1) + self.shift


def fit_portrait(
    rig: Rig,
    landmarks: NDArray[Any],
    expected: Mapping[str, float] | None = None,
    five: NDArray[Any] | None = None,
    irises: NDArray[Any] | None = None,
) -> Fit:
    """Fit identity, pose and a small expression to the landmarks of a portrait.

    Each round solves the pose, a scaled orthographic camera, for the shape and then the shape for the pose.

    Args:
        rig: Rig to fit.
        landmarks: The 68 landmarks in pixels, shape (68, 2).
        expected: Expected weights of expression shapes; the others are expected to be 0.
        five: See `Fit`; taken from the fitted mesh if it is not given.
        irises: See `Fit`; taken from the fitted mesh if it is not given.

    Returns:
        The fit.
    """
    goal = np.asarray(landmarks, float)
    columns, lowest, highest = _fitted_shapes(rig)
    modes = len(rig.identities)
    basis = np.concatenate([rig.identities, rig.shapes[columns]])[:, rig.landmarks].astype(float)
    base = rig.vertices[rig.landmarks].astype(float)
    weight = np.ones(68)
    weight[JAW] = JAW_WEIGHT
    prior = np.repeat([IDENTITY_PRIOR, EXPRESSION_PRIOR], [modes, len(columns)])
    mean = np.zeros(len(basis))
    mean[modes:] = [(expected or {}).get(rig.names[column], 0.0) for column in columns]
    found = np.clip(mean, -1, HIGHEST)
    scale, rotation, shift = _solve_pose(base + np.tensordot(found, basis, 1), goal, weight)
    for _ in range(ROUNDS):
        shape = base + np.tensordot(found, basis, 1)
        target = slide_jaw(goal, scale * shape @ rotation[:2].T * (1, -1) + shift)
        scale, rotation, shift = _solve_pose(shape, target, weight)
        camera = scale * rotation[:2] * np.array([[1], [-1]])
        slopes = ((basis @ camera.T) * weight[:, None]).reshape(len(basis), -1)
        rest = ((target - shift - (base + np.tensordot(mean, basis, 1)) @ camera.T) * weight[:, None]).ravel()
        left = slopes @ slopes.T + scale**2 * np.diag(prior)
        found = mean + np.linalg.solve(left, slopes @ rest)
        # the expression within its limits, and the identity again for that expression
        found[modes:] = np.clip(found[modes:], lowest, highest)
        right = slopes[:modes] @ (rest - slopes[modes:].T @ (found[modes:] - mean[modes:]))
        found[:modes] = np.linalg.solve(left[:modes, :modes], right)
    expression = np.zeros(len(rig.names), np.float32)
    expression[columns] = found[modes:]
    fit = Fit(
        identity=single(found[:modes]),
        expression=expression,
        scale=scale,
        rotation=single(rotation),
        shift=single(shift),
        landmarks=single(goal),
        five=np.zeros((5, 2), np.float32),
        irises=np.zeros((2, 3), np.float32),
    )
    if five is None:
        five = fit.project(five_points(rig.morph(fit.identity, expression), rig))
    if irises is None:
        middles = np.array([goal[36:42].mean(0), goal[42:48].mean(0)])
        irises = np.c_[middles, np.full(2, IRIS_RADIUS * scale)]
    return replace(fit, five=single(five), irises=single(irises))


def five_points(vertices: NDArray[Any], rig: Rig) -> Array:
    """Return the points of a mesh that face detectors know, shape (5, 3).

    They are the eyes, the tip of the nose and the corners of the mouth, in the order of `faces.face.Face`.
    """
    points = np.asarray(vertices, float)[rig.landmarks]
    return np.array([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def slide_jaw(landmarks: Array, points: Array) -> Array:
    """Move the jaw landmarks along their line, to where the mesh is nearest.

    Detectors and rigs agree on the outline of the face, and not on the landmarks along it.

    Args:
        landmarks: Detected landmarks, shape (68, 2).
        points: Landmarks of the mesh as seen by the camera, shape (68, 2).
    """
    moved = landmarks.copy()
    start, end = landmarks[JAW][:-1], landmarks[JAW][1:]
    along = end - start
    for index in range(17):
        share = ((points[index] - start) * along).sum(1) / np.maximum((along**2).sum(1), 1e-9)
        nearest = start + np.clip(share, 0, 1)[:, None] * along
        moved[index] = nearest[np.linalg.norm(nearest - points[index], axis=1).argmin()]
    return moved


def bend_field(sources: Array, offsets: Array, points: Array, stiffness: float = 2.0) -> Array:
    """Interpolate offsets smoothly, so that texture coordinates meet the landmarks.

    Args:
        sources: Points with known offsets, shape (S, 2).
        offsets: Offsets there, shape (S, 2).
        points: Points that need an offset, shape (P, 2).
        stiffness: How much smoother the field is than its data, in pixels.

    Returns:
        Offsets of shape (P, 2), from linear radial functions and an affine map.
    """
    count = len(sources)
    between = np.linalg.norm(sources[:, None] - sources[None], axis=2) - stiffness * np.eye(count)
    affine = np.c_[np.ones(count), sources]
    system = np.block([[between, affine], [affine.T, np.zeros((3, 3))]])
    solution = np.linalg.solve(system, np.r_[offsets, np.zeros((3, 2))])
    reach = np.linalg.norm(points[:, None] - sources[None], axis=2)
    return reach @ solution[:count] + np.c_[np.ones(len(points)), points] @ solution[count:]


def texture_coordinates(rig: Rig, fit: Fit, vertices: NDArray[Any]) -> Array:
    """Compute where the vertices of the fitted mesh lie in the portrait, (V, 2).

    Places are in pixels. The projected mesh is bent until its landmarks meet the detected ones, but by at most a
    quarter of the distance between the corners of the eyes.
    """
    places = fit.project(vertices)
    marks = places[rig.landmarks]
    offsets = slide_jaw(fit.landmarks.astype(float), marks) - marks
    offsets[JAW] *= 0.7
    limit = 0.25 * np.linalg.norm(marks[EYE_CORNERS[0]] - marks[EYE_CORNERS[1]])
    return places + np.clip(bend_field(marks, offsets, places), -limit, limit)


def fit_errors(rig: Rig, fit: Fit) -> Array:
    """Return the error of each landmark as a fraction of the eye distance, (68,)."""
    marks = fit.project(rig.morph(fit.identity, fit.expression)[rig.landmarks])
    distance = np.linalg.norm(slide_jaw(fit.landmarks.astype(float), marks) - marks, axis=1)
    eyes = np.linalg.norm(fit.landmarks[EYE_CORNERS[0]] - fit.landmarks[EYE_CORNERS[1]])
    return distance / float(eyes)


def _fitted_shapes(rig: Rig) -> tuple[list[int], Array, Array]:
    """List the columns of the fitted shapes, and the limits of their weights."""
    columns, limits = [], []
    for column, name in enumerate(rig.names):
        shape = without_side(name)
        if shape in CHANNELS:
            columns.append(column)
            limits.append(LIDS if shape == "eyeBlink" else (LOWEST, HIGHEST))
    return columns, *np.array(limits, float).reshape(-1, 2).T


def _solve_pose(shape: Array, target: Array, weight: Array) -> tuple[float, Array, Array]:
    """Solve scale, rotation (3, 3) and shift (2,) for points (68, 3) seen at (68, 2)."""
    squares = weight**2 / (weight**2).sum()
    middle, seen = squares @ shape, squares @ target
    system = (shape - middle) * weight[:, None]
    affine = np.linalg.lstsq(system, (target - seen) * weight[:, None] * (1, -1), rcond=None)[0].T
    turn, stretch, base = np.linalg.svd(affine, full_matrices=False)
    rows = turn @ base
    scale = float(stretch.mean())
    rotation = np.vstack([rows, np.cross(rows[0], rows[1])])
    return scale, rotation, seen - scale * rotation[:2] @ middle * (1, -1)


def expected_expression(rig: Rig, scores: Mapping[str, float]) -> dict[str, float]:
    """Translate MediaPipe's blendshapes in 0..1 into expected weights of shapes."""
    expected = {}
    for name in rig.names:
        shape, side = without_side(name), {"_L": "Left", "_R": "Right"}.get(name[-2:], "")
        channel = CHANNELS.get(shape)
        if channel:
            score = scores.get(channel + side, scores.get(channel))
            if score is not None:
                expected[name] = float(score)
    return expected


def read_portrait(path: Path) -> NDArray[np.uint8]:
    """Read a portrait as RGB, uint8 of shape (H, W, 3).

    Raises:
        FileNotFoundError: There is no such file.
    """
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_fits(fits: Mapping[str, Fit], digests: Mapping[str, str], path: Path) -> None:
    """Save fits to a compressed file of arrays.

    Args:
        fits: Path of a portrait relative to its folder -> its fit.
        digests: The same path -> SHA-256 of the portrait.
        path: File to write.
    """
    names = sorted(fits)
    arrays: dict[str, Any] = {
        name: np.stack([single(getattr(fits[portrait], name)) for portrait in names])
        for name in Fit.__dataclass_fields__
    }
    with path.open("wb") as stream:
        np.savez_compressed(
            stream, portraits=np.array(names), sha256=np.array([digests[name] for name in names]), **arrays
        )


def load_fits(path: Path = FITS) -> tuple[dict[str, Fit], dict[str, str]]:
    """Load fits and the SHA-256 of their portraits, both by the path of the portrait.

    Raises:
        FileNotFoundError: There is no such file.
    """
    with np.load(path) as arrays:
        columns = {name: arrays[name] for name in Fit.__dataclass_fields__}
        names, sums = arrays["portraits"].tolist(), arrays["sha256"].tolist()
    columns["scale"] = columns["scale"].tolist()
    fits = {
        portrait: Fit(**{name: column[row] for name, column in columns.items()}) for row, portrait in enumerate(names)
    }
    return fits, dict(zip(names, sums, strict=True))


def find_fit(portrait: Path) -> Fit:
    """Find the fit of a portrait of the package by its checksum.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is none of the portraits. The message says where to get them.
    """
    if not portrait.is_file():
        raise FileNotFoundError(f"{portrait} is no file. Expected a portrait such as female/512/34.jpg of `{SOURCE}`.")
    fits, digests = load_fits()
    found = digest(portrait)
    for name, expected in digests.items():
        if found == expected:
            return fits[name]
    raise ValueError(
        f"{portrait} (SHA-256 {found[:12]}...) is none of the {len(fits)} portraits that have a fit. Expected an "
        f"unchanged file such as female/512/34.jpg of `{SOURCE}`; another image needs a fit to its 68 landmarks first, "
        f"see {__name__}."
    )


def fit_folder(rig: Rig, portraits: Path, landmarks: Path, output: Path) -> dict[str, Fit]:
    """Fit all portraits with detected landmarks and save the fits.

    Args:
        rig: Rig to fit.
        portraits: Folder of the portraits.
        landmarks: File that `landmarks.py` wrote.
        output: File to write.

    Returns:
        The fits by the path of the portrait. Portraits where MTCNN detects no face are left out.
    """
    from ...faces.detectors.mtcnn import MTCNNDetector

    detector = MTCNNDetector()
    fits, digests = {}, {}
    with np.load(landmarks) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    channels = content["channels"].tolist()
    for row, name in enumerate(content["portraits"].tolist()):
        faces = detector.detect(read_portrait(portraits / name))
        if faces:
            largest = max(faces, key=lambda face: face.box[2] * face.box[3])
            expected = expected_expression(rig, dict(zip(channels, content["scores"][row].tolist(), strict=True)))
            points, irises = content["landmarks"][row], content["irises"][row]
            fits[name] = fit_portrait(rig, points, expected, largest.landmarks, irises)
            digests[name] = digest(portraits / name)
    save_fits(fits, digests, output)
    return fits


if __name__ == "__main__":
    _, folder, portraits, landmarks, output = sys.argv
    fit_folder(load_rig(folder), Path(portraits), Path(landmarks), Path(output))
