"""A known face is found again, and the fits of the package are complete."""

import re

import numpy as np
import pytest

from auvmae.data.portraits.drawing.mesh import rotate
from auvmae.data.portraits.fitting import (
    FITS,
    bend_field,
    expected_expression,
    fit_errors,
    fit_portrait,
    five_points,
    load_fits,
    save_fits,
    slide_jaw,
    texture_coordinates,
)
from auvmae.data.portraits.rig import IDENTITY_MODES

from .conftest import SCALE, see


@pytest.mark.parametrize("head", [(0.0, 0.0, 0.0), (0.3, 0.1, -0.1), (-0.2, -0.15, 0.2)])
def test_a_known_pose_is_recovered(rig, head):
    identity = np.array([0.4, -0.6, 0.5])
    fit = fit_portrait(rig, see(rig, identity, head))
    angle = np.arccos(np.clip((np.trace(fit.rotation.T @ rotate(*head)) - 1) / 2, -1, 1))
    assert np.degrees(angle) < 3
    assert fit.scale == pytest.approx(SCALE, rel=0.03)
    assert fit_errors(rig, fit)[17:].mean() < 0.01
    np.testing.assert_allclose(fit.rotation @ fit.rotation.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(fit.rotation) == pytest.approx(1, abs=1e-5)


def test_an_expected_smile_is_told_from_identity(rig):
    smile = rig.weights({"mouthSmile_L": 0.5, "mouthSmile_R": 0.5})
    landmarks = see(rig, np.zeros(1), (0.0, 0.0, 0.0), smile)
    expected = expected_expression(rig, {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5, "jawOpen": 0.0, "unknown": 1.0})
    fit = fit_portrait(rig, landmarks, expected)
    smiles = fit.expression[[rig.names.index("mouthSmile_L"), rig.names.index("mouthSmile_R")]]
    np.testing.assert_allclose(smiles, 0.5, atol=0.1)
    neutral = see(rig, np.zeros(1), (0.0, 0.0, 0.0))
    undone = fit.project(rig.morph(fit.identity, np.zeros(len(rig.names)))[rig.landmarks])
    assert np.abs(undone - neutral)[17:].mean() < 0.3  # pixels, where the smile moves corners by ten times as much


def test_projection_is_the_camera(rig, fit):
    expected = [fit.scale * (fit.rotation @ vertex)[:2] * (1, -1) + fit.shift for vertex in rig.vertices[:50]]
    np.testing.assert_allclose(fit.project(rig.vertices[:50]), expected, atol=1e-3)


def test_jaw_landmarks_slide_along_their_line():
    landmarks = np.zeros((68, 2))
    landmarks[:17, 0] = np.arange(17) * 10
    points = np.full((68, 2), 5.0)
    points[:17, 0] = np.linspace(-20, 180, 17)
    moved = slide_jaw(landmarks, points)
    np.testing.assert_allclose(moved[:17], np.column_stack([np.clip(points[:17, 0], 0, 160), np.zeros(17)]))
    assert (moved[17:] == landmarks[17:]).all()


def test_bent_field_meets_its_data_and_keeps_affine_maps():
    rng = np.random.default_rng(0)
    sources, offsets, elsewhere = rng.uniform(0, 99, (20, 2)), rng.normal(0, 3, (20, 2)), rng.uniform(0, 99, (9, 2))
    np.testing.assert_allclose(bend_field(sources, offsets, sources, 0.0), offsets, atol=1e-6)
    matrix = np.array([[0.1, -0.2], [0.05, 0.3]])
    np.testing.assert_allclose(bend_field(sources, sources @ matrix + 4, elsewhere), elsewhere @ matrix + 4, atol=1e-6)


def test_texture_meets_the_landmarks(rig, fit):
    moved = fit.landmarks.copy()
    moved[48:] += (1.5, -1.0)
    other = type(fit)(**{**vars(fit), "landmarks": moved})
    places = texture_coordinates(rig, other, rig.morph(fit.identity, fit.expression))
    assert np.linalg.norm(places[rig.landmarks] - moved, axis=1)[48:].max() < 0.6
    assert np.linalg.norm(places[rig.landmarks] - moved, axis=1)[27:36].max() < 0.6


def test_saved_fits_are_loaded(rig, fit, tmp_path):
    path = tmp_path / "fits.npz"
    save_fits({"b/512/1.jpg": fit, "a/512/0.jpg": fit}, {"a/512/0.jpg": "00", "b/512/1.jpg": "11"}, path)
    fits, digests = load_fits(path)
    assert list(fits) == ["a/512/0.jpg", "b/512/1.jpg"]
    assert digests == {"a/512/0.jpg": "00", "b/512/1.jpg": "11"}
    for name, value in vars(fit).items():
        np.testing.assert_allclose(getattr(fits["b/512/1.jpg"], name), value, rtol=1e-6)
    first = path.read_bytes()
    save_fits(fits, digests, path)
    assert path.read_bytes() == first


def test_fits_of_the_package_are_complete():
    assert FITS.stat().st_size < 600_000
    fits, digests = load_fits()
    assert len(fits) == 200
    for name, fit in fits.items():
        assert re.fullmatch(r"(female|male)/512/\d+\.jpg", name)
        assert re.fullmatch("[0-9a-f]{64}", digests[name])
        assert fit.identity.shape == (IDENTITY_MODES,)
        assert np.linalg.det(fit.rotation) == pytest.approx(1, abs=1e-4)
        eyes = np.linalg.norm(fit.landmarks[36] - fit.landmarks[45])
        assert np.abs(fit.five[:2] - fit.irises[:, :2]).max() < 0.25 * eyes


def test_five_points_are_in_the_order_of_detectors(rig):
    eyes, nose, mouth = np.split(five_points(rig.vertices, rig)[:, :2], [2, 3])
    np.testing.assert_allclose(eyes, [[-3, 3.5], [3, 3.5]], atol=1e-5)
    assert nose[0, 0] == 0
    np.testing.assert_allclose(mouth, [[-2.5, -3.5], [2.5, -3.5]])
