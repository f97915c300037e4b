import numpy as np
import pytest

from auvmae.data.portraits.action_units import NUMBERS, expression_weights
from auvmae.data.portraits.drawing.rendering import Renderer, Shot
from auvmae.data.portraits.drawing.wrinkles import CELL, CURVES, SHAPE, Wrinkles, draw_groove, front_view

pytest.importorskip("cv2")


def one(number, right, left):
    intensities = np.zeros((len(NUMBERS), 2), np.float32)
    intensities[NUMBERS.index(number)] = right, left
    return intensities


def test_a_neutral_face_and_strength_0_have_no_wrinkles():
    assert (Wrinkles(0).shade(np.zeros(len(NUMBERS))) == 1).all()
    assert (Wrinkles(0, 0.0).shade(np.full(len(NUMBERS), 5)) == 1).all()


@pytest.mark.parametrize("number", sorted(CURVES))
def test_wrinkles_darken_their_side_and_grow(number):
    wrinkles = Wrinkles(1)
    middle = SHAPE[1] // 2 + round(1.5 / CELL)  # curves that meet in the middle reach beyond it
    left = wrinkles.shade(one(number, 0, 5))
    assert left.min() < 0.9
    assert (left[:, : SHAPE[1] - middle] == 1).all()
    weaker = wrinkles.shade(one(number, 0, 2))
    assert left.min() < weaker.min() < 1
    right = wrinkles.shade(one(number, 5, 0))
    assert (right[:, middle:] == 1).all()


def test_people_differ_and_a_seed_is_one_person():
    first, again, other = (Wrinkles(seed).shade(np.full(len(NUMBERS), 5.0)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_a_groove_is_dark_in_the_middle_with_bright_ridges():
    groove = draw_groove(np.array([[-3.0, 0.0], [0.0, 0.0], [3.0, 0.0]]), 0.3, 0.5)
    row, column = front_view(np.zeros((1, 3)))[0].round().astype(int)[::-1]
    assert groove[row, column] == groove[:, column].min() < -0.4
    assert groove[row - round(0.6 / CELL), column] > 0.05
    assert not groove[0].any()


def test_wrinkles_show_on_the_skin_alone(rig, fit, image):
    portrait = Renderer(rig, 96).prepare(image, fit)
    weights = expression_weights(rig, np.zeros(len(NUMBERS)))
    plain = portrait.render(Shot(weights)).frame.astype(int)
    shaded = portrait.render(Shot(weights, wrinkles=Wrinkles(0).shade(np.full(len(NUMBERS), 5.0)))).frame.astype(int)
    assert (plain - shaded).max() > 20
    assert (plain == shaded).mean() > 0.2  # background, eyes, and skin without wrinkles
