"""Frames are the portrait where nothing moves, and move where the rig does."""

import numpy as np
import pytest

from auvmae.data.portraits.action_units import (
    NUMBERS,
    expression_weights,
    lip_opening,
    measure_lips_part,
    shape_matrix,
)
from auvmae.data.portraits.drawing.lids import Look
from auvmae.data.portraits.drawing.lips import close_lips, paint_out_mouth
from auvmae.data.portraits.drawing.mesh import FaceMesh, find_edges, rotate
from auvmae.data.portraits.drawing.rendering import Renderer, Shot
from auvmae.data.portraits.drawing.textures import paint_out, sample
from auvmae.data.portraits.rig import SKIN
from auvmae.data.portraits.sheet import draw_sheet
from auvmae.faces.crop import align

SIZE = 96

pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def portrait(rig, fit, image):
    return Renderer(rig, SIZE).prepare(image, fit)


def act(rig, **intensities):
    row = np.zeros(len(NUMBERS))
    for name, intensity in intensities.items():
        row[NUMBERS.index(int(name[2:]))] = intensity
    return expression_weights(rig, row)


def around(portrait, shot, *landmarks):
    """Return the middle of landmarks in a frame, and the frame as floats."""
    done = portrait.render(shot)
    x, y = done.points[portrait.renderer.mesh.rig.landmarks[list(landmarks)], :2].mean(0)
    return x, y, done.frame.astype(float)


def test_the_neutral_frame_is_the_portrait(rig, fit, image, portrait):
    frame = portrait.render(Shot(act(rig))).frame
    expected = align(image, fit.five, SIZE, 0.05)
    assert frame.shape == (SIZE, SIZE, 3)
    difference = np.abs(frame.astype(float) - expected).mean(-1)
    assert np.median(difference) < 3
    assert (difference > 20).mean() < 0.05  # the gap of the lips, and the edges of the lids


def test_the_same_shot_gives_the_same_bytes(rig, fit, image, portrait):
    shot = Shot(act(rig, AU12=3, AU26=2), head=(0.1, 0.05, 0.02), gaze=(0.1, 0.0))
    again = Renderer(rig, SIZE).prepare(image, fit)
    assert portrait.render(shot).frame.tobytes() == again.render(shot).frame.tobytes()
    assert portrait.render(shot).frame.tobytes() == portrait.render(shot).frame.tobytes()


@pytest.mark.parametrize("number", NUMBERS)
def test_every_action_unit_changes_the_frame(rig, portrait, number):
    still = portrait.render(Shot(act(rig))).frame.astype(float)
    moved = portrait.render(Shot(act(rig, **{f"AU{number}": 5}))).frame
    assert np.abs(moved - still).max() > 4


def test_sides_move_on_their_own(rig, portrait):
    sides = np.zeros((len(NUMBERS), 2))
    sides[NUMBERS.index(12)] = (0, 5)  # the subject's left, on the right of the image
    still, moved = (portrait.render(Shot(weights)).vertices for weights in (act(rig), expression_weights(rig, sides)))
    change = np.linalg.norm(moved - still, axis=1)[rig.landmarks]
    assert change[54] > 1
    assert change[48] < 0.01


def test_both_sides_are_the_sum_of_the_sides():
    rig = type("Names", (), {"names": tuple(f"{n}_{s}" for n in _shapes() for s in "LR")})()
    matrix = shape_matrix(rig)
    both = expression_weights(rig, np.ones(len(NUMBERS)), matrix)
    np.testing.assert_allclose(both, matrix.sum((0, 1)) / 5, atol=1e-6)


def _shapes():
    from auvmae.data.portraits.action_units import ACTION_UNITS

    return sorted({shape for unit in ACTION_UNITS for shape in unit.shapes})


def test_the_iris_follows_the_gaze(rig, portrait):
    x, y, _ = around(portrait, Shot(act(rig)), 42, 43, 44, 45, 46, 47)
    rows, columns = slice(int(y - 2), int(y + 3)), slice(int(x - 6), int(x + 7))
    places = []
    for gaze in (-0.25, 0.0, 0.25):
        dark = 255 - portrait.render(Shot(act(rig), gaze=(gaze, 0.0))).frame[rows, columns].astype(float).mean((0, 2))
        dark -= dark.min()
        places.append((dark * np.arange(13)).sum() / dark.sum())
    assert places[0] < places[1] - 0.4
    assert places[1] < places[2] - 0.4


def test_a_blink_hides_the_iris(rig, portrait):
    x, y, still = around(portrait, Shot(act(rig)), 42, 43, 44, 45, 46, 47)
    shut = portrait.render(Shot(act(rig, AU43=5))).frame.astype(float)
    place = slice(int(y - 1), int(y + 2)), slice(int(x - 1), int(x + 2))
    assert shut[place].mean() > still[place].mean() + 40


def test_shut_eyes_do_not_show(rig, fit, image):
    portrait = Renderer(rig, SIZE).prepare(image, fit)
    for patch in portrait._eyes:
        patch[...] = (255, 0, 255)
    still, shut = (portrait.render(Shot(act(rig, AU43=level))).frame.astype(int) for level in (0, 5))
    for frame, shows in ((still, True), (shut, False)):
        assert ((frame[..., 0] > 230) & (frame[..., 1] < 30)).any() == shows


def test_neutral_lips_are_closed(rig, portrait):
    assert lip_opening(rig.vertices, rig) == pytest.approx(0.5, abs=1e-3)
    assert lip_opening(portrait.neutral, rig) < 0.2
    apart = close_lips(portrait.renderer.mesh, portrait.neutral, 0.1)
    np.testing.assert_array_equal(apart[:, [0, 2]], portrait.neutral[:, [0, 2]])


def test_teeth_are_painted_out_of_an_open_mouth_only():
    lips = np.array([(10, 20), (18, 16), (25, 15), (32, 16), (40, 20), (32, 26), (25, 27), (18, 26)], float)
    image = np.full((48, 50, 3), (150, 80, 70), np.float32)
    image[17:26, 13:38] = 250
    filled = paint_out_mouth(image, lips, pixels_per_cm=10)
    assert filled.max() < 160
    np.testing.assert_array_equal(filled[:12], image[:12])
    np.testing.assert_array_equal(filled[32:], image[32:])
    closed = lips * (1, 0) + (0, 20)
    np.testing.assert_array_equal(paint_out_mouth(image, closed, pixels_per_cm=10), image)


def test_shut_lids_look_as_they_are_asked_to(rig, portrait):
    def take(**look):
        x, y, frame = around(portrait, Shot(act(rig, AU43=5), lids=Look(**look)), 42, 43, 44, 45, 46, 47)
        return frame[int(y - 5) : int(y + 4), int(x - 2) : int(x + 3)]

    plain = take(lashes=0.1, darkness=0.4)
    assert take(lashes=0.4, darkness=0.4).mean() < plain.mean() - 1
    assert take(lashes=0.1, darkness=0.9).min() < plain.min() - 10
    assert take(lashes=0.1, darkness=0.4, brightness=1.3).mean() > plain.mean() + 5
    assert take(lashes=0.1, darkness=0.4, crease=0.9).mean() < plain.mean() - 1


def test_the_tongue_moves_and_has_its_own_brightness(rig, portrait):
    mesh = portrait.renderer.mesh
    assert mesh.tongue.max() == 1
    still, raised = (
        portrait.render(Shot(act(rig, AU26=5), tongue=tongue)).vertices for tongue in ((0, 0, 1), (0.3, 0.2, 1))
    )
    np.testing.assert_allclose(raised - still, np.outer(mesh.tongue, (0, 0.2, 0.3)), atol=1e-5)
    light, dark = (
        portrait.render(Shot(act(rig, AU26=5), tongue=(0, 0, factor))).frame.astype(int) for factor in (1.5, 0.2)
    )
    assert (light - dark).max() > 10


def test_a_turned_head_has_all_of_it_painted_out_behind(rig, fit, image):
    portrait = Renderer(rig, SIZE).prepare(image, fit)
    portrait.empty[...] = (255, 0, 255)
    for turn, shows in ((0.0, False), (0.05, False), (0.3, True)):
        frame = portrait.render(Shot(act(rig), head=(turn, 0.0, 0.0))).frame.astype(int)
        assert ((frame[..., 0] > 250) & (frame[..., 1] < 5)).any() == shows


def test_the_jaw_opens_the_lips_and_shows_the_mouth(rig, portrait):
    openings = [lip_opening(portrait.render(Shot(act(rig, AU26=level))).vertices, rig) for level in (0, 2, 5)]
    assert openings[0] == pytest.approx(lip_opening(portrait.neutral, rig), abs=1e-5)
    assert openings[0] < openings[1] < openings[2]
    lips = [measure_lips_part(opening) for opening in openings]
    assert lips[0] == 0
    assert 0 < lips[1] < lips[2] <= 5
    x, y, frame = around(portrait, Shot(act(rig, AU26=5)), 62, 66)
    dark = portrait.render(Shot(act(rig, AU26=5), inside=(0.0, 0.0, 0.0))).frame
    assert frame[int(y), int(x)].mean() > 40
    assert dark[int(y), int(x)].max() == 0


def test_the_crop_follows_the_head_and_the_camera(rig, portrait):
    marks = rig.landmarks[[36, 45]]
    still = portrait.render(Shot(act(rig))).points[marks, :2]
    zoomed = portrait.render(Shot(act(rig), zoom=1.2)).points[marks, :2]
    np.testing.assert_allclose(zoomed[1] - zoomed[0], 1.2 * (still[1] - still[0]), rtol=1e-4)
    shifted = portrait.render(Shot(act(rig), shift=(0.1, -0.05))).points[marks, :2]
    np.testing.assert_allclose(shifted - still, np.full((2, 2), (0.1, -0.05)) * np.array([SIZE, SIZE]), atol=1e-3)
    tilted = portrait.render(Shot(act(rig), turn=0.1)).points[marks, :2]
    across = tilted[1] - tilted[0]
    assert np.arctan2(across[1], across[0]) == pytest.approx(0.1, abs=1e-3)
    # a rolled head is upright in its crop
    rolled = portrait.render(Shot(act(rig), head=(0.0, 0.0, 0.3))).points[marks, :2]
    np.testing.assert_allclose(rolled, still, atol=0.5)


def test_light_from_one_side_brightens_that_side(rig, portrait):
    right, left = (
        portrait.render(Shot(act(rig), light=(side, 0.3, 0.7), ambient=0.3)).frame.astype(float) for side in (1.0, -1.0)
    )
    middle = slice(SIZE // 3, 2 * SIZE // 3)
    assert (right - left)[middle, 5 * SIZE // 8 : 6 * SIZE // 8].mean() > 5
    assert (right - left)[middle, 2 * SIZE // 8 : 3 * SIZE // 8].mean() < -5


def test_normals_are_those_of_a_loop(rig):
    mesh = FaceMesh(rig)
    moved = rig.morph(np.array([1.0, 0.5]), rig.weights({"jawOpen": 0.5}))
    sums = np.zeros((len(moved), 3))
    for a, b, c in rig.triangles[rig.parts == SKIN]:
        sums[[a, b, c]] += np.cross(moved[b] - moved[a], moved[c] - moved[a])
    expected = sums[mesh.skin] / np.linalg.norm(sums[mesh.skin], axis=1, keepdims=True)
    np.testing.assert_allclose(mesh.normals(moved), expected, atol=1e-4)


def test_the_outer_edge_is_neither_lids_nor_lips(rig):
    edge, others = find_edges(rig.triangles[rig.parts == SKIN], rig.vertices)
    place = rig.vertices[edge, :2]
    assert ((np.abs(place[:, 0]) == 8.5) | (place[:, 1] == 11) | (place[:, 1] == -9)).all()
    assert len(edge) == 2 * (35 + 41) - 4
    assert len(others) == 3  # two eyes and the mouth


def test_heads_turn_to_the_subjects_left_up_and_right_shoulder():
    ahead, up = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    assert (rotate(0.3, 0, 0) @ ahead)[0] > 0
    assert (rotate(0, 0.3, 0) @ ahead)[1] > 0
    assert (rotate(0, 0, 0.3) @ up)[0] < 0  # the subject's right is on the left of the image
    np.testing.assert_allclose(rotate(0.2, 0.3, 0.4) @ rotate(0.2, 0.3, 0.4).T, np.eye(3), atol=1e-6)


def test_samples_are_bilinear():
    image = np.random.default_rng(0).uniform(0, 255, (20, 30, 3)).astype(np.float32)
    x, y = np.random.default_rng(1).uniform(0, 18.9, (2, 700)).astype(np.float32)
    column, row = x.astype(int), y.astype(int)
    right, down = (x - column)[:, None], (y - row)[:, None]
    upper = image[row, column] * (1 - right) + image[row, column + 1] * right
    lower = image[row + 1, column] * (1 - right) + image[row + 1, column + 1] * right
    np.testing.assert_allclose(sample(image, x, y), upper * (1 - down) + lower * down, atol=8)  # steps of 1/32 pixel
    assert sample(image, x[:0], y[:0]).shape == (0, 3)


def test_the_face_is_painted_out():
    texture = np.full((60, 60, 3), 100, np.float32)
    texture[20:40, 20:40] = 255
    square = np.array([[(20, 20), (39, 20), (39, 39)], [(20, 20), (39, 39), (20, 39)]], float)
    background = paint_out(texture, square, 2.0)
    assert np.abs(background[25:35, 25:35].astype(float) - 100).max() < 3
    assert (background[:10] == 100).all()


def test_sheet_holds_every_action_unit(portrait):
    sheet = draw_sheet(portrait, (1, 5))
    assert sheet.shape == (6 * SIZE, 3 * 2 * SIZE, 3)
    assert sheet.dtype == np.uint8
