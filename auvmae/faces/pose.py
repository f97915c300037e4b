"""Estimate the pose of the head from landmarks and box of the face detector.

Axes and signs are those of OpenFace (Baltrušaitis et al., 2018): x points to the right of the image, y down, and z away
from the camera. Looking down, to the right of the subject, and a head that leans to the subject's left shoulder are
positive.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FACE = np.array([[-31.5, -36.0, 12.4], [31.5, -36.0, 12.4], [-18.8, 29.6, 9.7], [18.8, 29.6, 9.7]])
"""Eyes and corners of the mouth of a mean face, in millimetres from the tip of its nose.

These numbers and the three below are not measured on faces. They give the smallest errors in the landmarks and boxes of
MTCNN on rendered portraits, see benchmarks/pose.py. The face is flatter than real ones, to make up for `FRONTAL`."""

WEIGHTS = np.array([1.0, 1.0, 0.59, 0.59])
"""Weights of these landmarks; a mouth moves more than eyes do."""

FRONTAL = 470.0
"""Weight of a frontal head against the landmarks, in square millimetres per square radian."""

PITCH = (0.0, 3.88, -1.95, -0.81, 0.57, 6.26, -2.79)
"""Weights of `pitch_terms`, which add up to the pitch.

Faces differ in the length of the nose and of the jaw, which five landmarks alone take for pitch."""

ROUNDS = 15
"""Steps of Gauss and Newton. They converge to 1e-5 radians."""

LARGEST_STEP = 0.3
"""Largest change of an angle in a step, in radians."""

RARE = (0.01, 0.99)
"""Quantiles of the angles between which a pose is a usual one."""

FOCAL_LENGTH = (500 / 640, 500 / 480)
"""Focal length as a fraction of the frame's width and of its height. OpenFace assumes the same and takes the mean."""


def head_pose(
    landmarks: NDArray[np.floating], boxes: NDArray[np.floating], frame_sizes: NDArray[np.floating] | None = None
) -> Array:
    """Estimate the poses of heads.

    A scaled orthographic camera is fitted to eyes, nose and corners of the mouth, and the box corrects its pitch. The
    angles are those in which the face is seen: a face that looks into the camera has 0, wherever it is in the frame.

    Args:
        landmarks: Landmarks in pixels, as in `Face.landmarks`, shape (R, 5, 2). The pose of landmarks that are NaN or
            fall together is NaN.
        boxes: Boxes in pixels, as in `Face.box`, shape (R, 4). The pose of a box that is NaN or empty is NaN.
        frame_sizes: Width and height of the frames, shape (R, 2); NaN where they are unknown, and so is the place.

    Returns:
        Place of the tip of the nose in millimetres, x, y and z, for a usual camera and a usual face; rotation about x,
        y and z in radians (pitch, yaw, roll), where R = Rx Ry Rz. Float64 of shape (R, 6).
    """
    places = np.asarray(landmarks, float)
    pose = np.full((len(places), 6), np.nan)
    seen = np.delete(places, 2, axis=1) - places[:, 2:3]  # relative to the nose
    # comparisons with NaN are false
    usable = (np.linalg.norm(seen, axis=2) > 0).all(axis=1) & (seen[:, 0] != seen[:, 1]).any(axis=1)
    edges = np.asarray(boxes, float)
    usable &= (edges[:, 2:] > 0).all(axis=1)
    angles, scales = _fit(seen[usable])
    pose[usable, 3:] = angles
    pose[usable, 3] = pitch_terms(angles, places[usable], edges[usable]) @ PITCH
    if frame_sizes is not None:
        sizes = np.asarray(frame_sizes, float)[usable]
        focal = (sizes * FOCAL_LENGTH).mean(axis=1)
        pose[usable, 2] = focal / scales
        pose[usable, :2] = (places[usable, 2] - sizes / 2) / scales[:, None]
    return pose


def pitch_terms(angles: Array, landmarks: Array, boxes: Array) -> Array:
    """Return the terms that `PITCH` weights, shape (R, 7).

    They are the fitted pitch, the height of the mouth, that of the middle of the box, 1, and the first three times the
    fitted pitch. Heights count from the tip of the nose down an upright face, as fractions of the height of the box.

    Args:
        angles: Fitted angles, shape (R, 3).
        landmarks, boxes: See `head_pose`.
    """
    down = np.stack([-np.sin(angles[:, 2]), np.cos(angles[:, 2])], axis=1)  # of an upright face, in the image
    mouth = landmarks[:, 3:].mean(axis=1) - landmarks[:, 2]
    middle = boxes[:, :2] + boxes[:, 2:] / 2 - landmarks[:, 2]
    heights = np.stack([(mouth * down).sum(axis=1), (middle * down).sum(axis=1)]) / boxes[:, 3]
    terms = np.stack([angles[:, 0], *heights], axis=1)
    return np.concatenate([terms, np.ones((len(terms), 1)), terms * angles[:, :1]], axis=1)


def _fit(seen: Array) -> tuple[Array, Array]:
    """Fit angles and scales to landmarks relative to the nose.

    Args:
        seen: Landmarks of eyes and mouth, shape (R, 4, 2).

    Returns:
        Angles (R, 3), and scales in pixels per millimetre, (R,).
    """
    across = seen[:, 1] - seen[:, 0] + seen[:, 3] - seen[:, 2]
    angles = np.zeros((len(seen), 3))
    angles[:, 2] = np.arctan2(across[:, 1], across[:, 0])
    scales = np.linalg.norm(seen, axis=(1, 2)) / np.linalg.norm(FACE[:, :2])
    roots = np.sqrt(WEIGHTS)[:, None]
    prior = np.diag([FRONTAL, FRONTAL, 0.0, 0.0])
    for _ in range(ROUNDS):
        turned, axes = _turn(angles)
        steps = [np.cross(axis[:, None], turned)[..., :2] for axis in axes]
        slopes = np.stack([*steps, turned[..., :2]], axis=-1) * roots[..., None]  # per radian, and per log scale
        slopes = slopes.reshape(len(seen), 2 * len(FACE), 4)
        rest = ((seen / scales[:, None, None] - turned[..., :2]) * roots).reshape(len(seen), 2 * len(FACE), 1)
        left = slopes.transpose(0, 2, 1) @ slopes + prior
        state = np.concatenate([angles, np.zeros((len(seen), 1))], axis=1)[..., None]
        step = np.linalg.solve(left, slopes.transpose(0, 2, 1) @ rest - prior @ state)[..., 0]
        step = np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        angles += step[:, :3]
        scales *= np.exp(step[:, 3])
    return angles, scales


def _turn(angles: Array) -> tuple[Array, list[Array]]:
    """Turn the face by angles (R, 3).

    Returns:
        The turned face, shape (R, 4, 3), and the axes about which a change of each angle turns it, each (R, 3).
    """
    rotations = rotation_matrices(angles)
    zero, one = np.zeros(len(angles)), np.ones(len(angles))
    axes = [
        np.stack([one, zero, zero], axis=1),
        np.stack([zero, np.cos(angles[:, 0]), np.sin(angles[:, 0])], axis=1),
        rotations[..., 2],
    ]
    return FACE @ rotations.transpose(0, 2, 1), axes


def rotation_matrices(angles: NDArray[np.floating]) -> Array:
    """Convert angles (R, 3) about x, y and z to matrices Rx Ry Rz (R, 3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles).T, np.sin(angles).T
    rows = [
        [cy * cz, -cy * sz, sy],
        [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
        [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_angles(rotations: NDArray[np.floating]) -> Array:
    """Convert matrices (R, 3, 3) to the angles (R, 3) of `rotation_matrices`."""
    return np.column_stack(
        [
            np.arctan2(-rotations[:, 1, 2], rotations[:, 2, 2]),
            np.arcsin(np.clip(rotations[:, 0, 2], -1, 1)),
            np.arctan2(-rotations[:, 0, 1], rotations[:, 0, 0]),
        ]
    )


def usual_range(landmarks: NDArray[np.floating], boxes: NDArray[np.floating]) -> list[list[float]] | None:
    """Find the usual pitch and yaw of faces with landmarks (R, 5, 2) and boxes (R, 4).

    They leave out the lowest and the highest percent.

    Returns:
        [[lowest, highest pitch], [lowest, highest yaw]] in radians, two decimals; None without a face.
    """
    angles = head_pose(landmarks, boxes)[:, 3:5]
    angles = angles[np.isfinite(angles[:, 0])]
    return np.quantile(angles, RARE, axis=0).T.round(2).tolist() if len(angles) else None


def in_range(pose: NDArray[np.floating], pose_range: Sequence[Sequence[float]]) -> NDArray[np.bool_]:
    """Tell which poses (R, 6) lie within a checkpoint's `pose_range`.

    NaN does not.
    """
    low, high = np.asarray(pose_range).T
    return np.asarray(((pose[:, 3:5] >= low) & (pose[:, 3:5] <= high)).all(axis=1))
