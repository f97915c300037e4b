"""Test the head pose against turned faces and SciPy's minimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from auvmae.faces.pose import (
    FACE,
    FRONTAL,
    PITCH,
    WEIGHTS,
    head_pose,
    in_range,
    rotation_angles,
    rotation_matrices,
    usual_range,
)

SIZES = np.array([[640.0, 480.0]])
HEIGHT, DEPTH = 170.0, 40.0
MIDDLE = -HEIGHT * (PITCH[1] * FACE[2, 1] / HEIGHT + PITCH[3]) / PITCH[2]
"""Where the middle of its box is, in millimetres below the nose; a face that looks straight then has pitch 0."""


def draw_faces(angles, scale=1.7, nose=(300, 200)):
    """Landmarks and boxes of the mean face, turned by angles (R, 3)."""
    points = np.concatenate([np.insert(FACE, 2, 0, axis=0), [[0, MIDDLE, DEPTH]]])
    turned = np.einsum("nij,kj->nki", Rotation.from_euler("XYZ", angles).as_matrix(), points)
    seen, size = turned[..., :2] * scale + nose, np.full((len(turned), 2), HEIGHT * scale)
    return seen[:, :5], np.concatenate([seen[:, 5] - size / 2, size], axis=1)


def test_the_matrices_are_those_of_scipy():
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, (30, 3))
    matrices = rotation_matrices(angles)
    np.testing.assert_allclose(matrices, Rotation.from_euler("XYZ", angles).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation_angles(matrices), angles, atol=1e-12)


def test_the_pose_minimises_the_weighted_error_and_the_box_corrects_its_pitch():
    rng = np.random.default_rng(1)
    landmarks, boxes = draw_faces(rng.uniform(-0.5, 0.5, (6, 3)))
    landmarks += rng.normal(0, 1, (6, 5, 2))
    poses = head_pose(landmarks, boxes, np.repeat(SIZES, 6, axis=0))
    for marks, box, pose in zip(landmarks, boxes, poses, strict=True):
        focal = np.mean(SIZES * (500 / 640, 500 / 480))

        def cost(values, marks=marks):
            seen = np.delete(marks, 2, axis=0) - marks[2]
            turned = (FACE @ Rotation.from_euler("XYZ", values[:3]).as_matrix().T)[:, :2]
            errors = ((seen / np.exp(values[3]) - turned) ** 2).sum(axis=1)
            return WEIGHTS @ errors + FRONTAL * (values[:2] ** 2).sum()

        start = np.array([0, *pose[4:], np.log(focal / pose[2])])
        best = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-10, "maxiter": 4000}).x
        # Gauss and Newton leave the scale in the unit of the error alone, so both minima differ a little
        np.testing.assert_allclose(pose[4:], best[1:3], atol=0.02)
        upright = Rotation.from_euler("z", -pose[5]).as_matrix()[1, :2]
        mouth, middle = ((point - marks[2]) @ upright / box[3] for point in (marks[3:].mean(0), box[:2] + box[2:] / 2))
        terms = [best[0], mouth, middle, 1, best[0] ** 2, best[0] * mouth, best[0] * middle]
        np.testing.assert_allclose(pose[3], PITCH @ np.array(terms), atol=0.03)


@pytest.mark.parametrize(("axis", "moved"), [(0, (1, 1)), (1, (0, -1)), (2, None)])
def test_signs_are_those_of_openface(axis, moved):
    """Looking down and to the subject's right, and leaning to the subject's left shoulder, is positive."""
    angles = np.zeros((1, 3))
    angles[0, axis] = 0.4
    (straight, _), (turned, boxes) = ((part[0] for part in draw_faces(one)) for one in (np.zeros((1, 3)), angles))
    if moved is None:
        assert turned[1, 1] > turned[0, 1]  # the subject's left eye, which is on the right of the image, is lower
    else:
        coordinate, sign = moved
        middle = [np.delete(marks, 2, axis=0).mean(axis=0) for marks in (straight, turned)]
        assert sign * ((turned[2] - middle[1]) - (straight[2] - middle[0]))[coordinate] > 0
    found = head_pose(turned[None], boxes[None])[0, 3:]
    assert found[axis] > 0.1
    assert abs(np.delete(found, axis)).max() < 0.05


def test_a_mirror_turns_yaw_and_roll_around():
    landmarks, boxes = draw_faces(np.random.default_rng(2).uniform(-0.4, 0.4, (5, 3)))
    mirrored = (landmarks * (-1, 1))[:, [1, 0, 2, 4, 3]]
    found = head_pose(mirrored, boxes * (-1, 1, 1, 1) - boxes * (0, 0, 1, 0) @ np.eye(4)[[2, 1, 0, 3]])
    np.testing.assert_allclose(found[:, 3:], head_pose(landmarks, boxes)[:, 3:] * (1, -1, -1), atol=1e-6)


def test_leaning_and_distance_keep_the_pitch():
    angles = np.array([[0.3, 0.1, 0.0], [-0.2, 0.2, 0.0]])
    far = head_pose(*draw_faces(angles, scale=0.6))
    np.testing.assert_allclose(far[:, 3:], head_pose(*draw_faces(angles))[:, 3:], atol=1e-9)
    landmarks, boxes = draw_faces(np.array([[0.0, 0.0, 0.5]]))
    np.testing.assert_allclose(head_pose(landmarks, boxes)[:, 3:], [[0, 0, 0.5]], atol=1e-3)


def test_the_place_is_that_of_the_nose_before_the_camera():
    near, far = (head_pose(*draw_faces(np.zeros((1, 3)), scale, (320, 240)), SIZES)[0] for scale in (2.0, 1.0))
    np.testing.assert_allclose([near[2], far[2]], [250, 500], rtol=1e-6)
    np.testing.assert_allclose(near[:2], 0, atol=1e-9)
    aside = head_pose(*draw_faces(np.zeros((1, 3)), 2.0, (420, 240)), SIZES)[0]
    np.testing.assert_allclose(aside[:3], [50, 0, 250], rtol=1e-6, atol=1e-9)
    assert np.isnan(head_pose(*draw_faces(np.zeros((1, 3))))[0, :3]).all()


def test_faces_without_landmarks_have_no_pose():
    seen, box = draw_faces(np.zeros((1, 3)))
    landmarks = np.concatenate([np.full((1, 5, 2), np.nan), np.zeros((1, 5, 2)), seen, seen, seen])
    boxes = np.concatenate([box, box, np.full((1, 4), np.nan), box * (1, 1, 0, 0), box])
    pose = head_pose(landmarks, boxes, np.repeat(SIZES, 5, axis=0))
    assert np.isnan(pose[:4]).all()
    assert np.isfinite(pose[4]).all()
    assert head_pose(np.empty((0, 5, 2)), np.empty((0, 4))).shape == (0, 6)
    assert in_range(pose, [[-0.1, 0.1], [-0.1, 0.1]]).tolist() == [False] * 4 + [True]


def test_the_usual_range_leaves_out_a_percent_on_each_side():
    landmarks, boxes = draw_faces(np.random.default_rng(3).uniform(-0.5, 0.5, (400, 3)))
    angles = head_pose(landmarks, boxes)[:, 3:5]
    nowhere = np.full((3, 5, 2), np.nan), np.full((3, 4), np.nan)
    found = usual_range(np.concatenate([landmarks, nowhere[0]]), np.concatenate([boxes, nowhere[1]]))
    np.testing.assert_allclose(found, np.quantile(angles, (0.01, 0.99), axis=0).T, atol=0.006)
    assert np.mean(in_range(head_pose(landmarks, boxes), found)) == pytest.approx(0.96, abs=0.02)
    assert usual_range(*nowhere) is None
