"""Test the head pose against turned faces and SciPy's minimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from auvmae.faces.pose import (
    FACE,
    FRONTAL,
    WEIGHTS,
    head_pose,
    in_range,
    rotation_angles,
    rotation_matrices,
    usual_range,
)

SIZES = np.array([[640.0, 480.0]])


def draw_faces(angles, scale=1.7, nose=(300, 200)):
    """Landmarks of the mean face, turned by angles (R, 3)."""
    points = np.insert(FACE, 2, 0, axis=0)
    turned = np.einsum("nij,kj->nki", Rotation.from_euler("XYZ", angles).as_matrix(), points)
    return turned[..., :2] * scale + nose


def test_the_matrices_are_those_of_scipy():
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, (30, 3))
    matrices = rotation_matrices(angles)
    np.testing.assert_allclose(matrices, Rotation.from_euler("XYZ", angles).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation_angles(matrices), angles, atol=1e-12)


def test_the_pose_minimises_the_weighted_error():
    rng = np.random.default_rng(1)
    landmarks = draw_faces(rng.uniform(-0.5, 0.5, (6, 3))) + rng.normal(0, 1, (6, 5, 2))
    for marks, pose in zip(landmarks, head_pose(landmarks, np.repeat(SIZES, 6, axis=0)), strict=True):
        focal = np.mean(SIZES * (500 / 640, 500 / 480))

        def cost(values, marks=marks):
            seen = np.delete(marks, 2, axis=0) - marks[2]
            turned = (FACE @ Rotation.from_euler("XYZ", values[:3]).as_matrix().T)[:, :2]
            errors = ((seen / np.exp(values[3]) - turned) ** 2).sum(axis=1)
            return WEIGHTS @ errors + FRONTAL * (values[:2] ** 2).sum()

        found = np.append(pose[3:], np.log(focal / pose[2]))
        best = minimize(cost, found, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-10, "maxiter": 4000})
        # Gauss and Newton leave the scale in the unit of the error alone, so both minima differ a little
        assert cost(found) <= cost(np.append(best.x[:3] + 0.02, best.x[3]))
        np.testing.assert_allclose(found[:3], best.x[:3], atol=0.02)


@pytest.mark.parametrize(("axis", "moved"), [(0, (1, 1)), (1, (0, -1)), (2, None)])
def test_signs_are_those_of_openface(axis, moved):
    """Looking down and to the subject's right, and leaning to the subject's left shoulder, is positive."""
    angles = np.zeros((1, 3))
    angles[0, axis] = 0.4
    (straight, turned) = (draw_faces(one)[0] for one in (np.zeros((1, 3)), angles))
    if moved is None:
        assert turned[1, 1] > turned[0, 1]  # the subject's left eye, which is on the right of the image, is lower
    else:
        coordinate, sign = moved
        middle = [np.delete(marks, 2, axis=0).mean(axis=0) for marks in (straight, turned)]
        assert sign * ((turned[2] - middle[1]) - (straight[2] - middle[0]))[coordinate] > 0
    found = head_pose(turned[None])[0, 3:]
    assert found[axis] > 0.1
    assert abs(np.delete(found, axis)).max() < 0.05


def test_a_mirror_turns_yaw_and_roll_around():
    landmarks = draw_faces(np.random.default_rng(2).uniform(-0.4, 0.4, (5, 3)))
    mirrored = (landmarks * (-1, 1))[:, [1, 0, 2, 4, 3]]
    np.testing.assert_allclose(head_pose(mirrored)[:, 3:], head_pose(landmarks)[:, 3:] * (1, -1, -1), atol=1e-6)


def test_the_place_is_that_of_the_nose_before_the_camera():
    near, far = (head_pose(draw_faces(np.zeros((1, 3)), scale, (320, 240)), SIZES)[0] for scale in (2.0, 1.0))
    np.testing.assert_allclose([near[2], far[2]], [250, 500], rtol=1e-6)
    np.testing.assert_allclose(near[:2], 0, atol=1e-9)
    aside = head_pose(draw_faces(np.zeros((1, 3)), 2.0, (420, 240)), SIZES)[0]
    np.testing.assert_allclose(aside[:3], [50, 0, 250], rtol=1e-6, atol=1e-9)
    assert np.isnan(head_pose(draw_faces(np.zeros((1, 3))))[0, :3]).all()


def test_faces_without_landmarks_have_no_pose():
    landmarks = np.concatenate([np.full((1, 5, 2), np.nan), np.zeros((1, 5, 2)), draw_faces(np.zeros((1, 3)))])
    pose = head_pose(landmarks, np.repeat(SIZES, 3, axis=0))
    assert np.isnan(pose[:2]).all()
    assert np.isfinite(pose[2]).all()
    assert head_pose(np.empty((0, 5, 2))).shape == (0, 6)
    assert in_range(pose, [[-0.1, 0.1], [-0.1, 0.1]]).tolist() == [False, False, True]


def test_the_usual_range_leaves_out_a_percent_on_each_side():
    landmarks = draw_faces(np.random.default_rng(3).uniform(-0.5, 0.5, (400, 3)))
    angles = head_pose(landmarks)[:, 3:5]
    found = usual_range(np.concatenate([landmarks, np.full((3, 5, 2), np.nan)]))
    np.testing.assert_allclose(found, np.quantile(angles, (0.01, 0.99), axis=0).T, atol=0.006)
    assert np.mean(in_range(head_pose(landmarks), found)) == pytest.approx(0.96, abs=0.02)
    assert usual_range(np.full((3, 5, 2), np.nan)) is None
