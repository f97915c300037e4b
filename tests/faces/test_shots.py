"""Cuts are found at the frames where they are, and nowhere else."""

import numpy as np
import pytest

from auvmae.faces.shots import LOOKAHEAD, mark_cuts, measure_rate
from auvmae.video.reading import IMAGE_FOLDER_FPS

pytest.importorskip("cv2", reason="the extra `faces` is missing")


def scene(seed, size=(90, 160)):
    """Draw a picture of large smooth blobs; its left and right parts can be shown by slicing."""
    rows, columns = np.indices(size)
    waves = np.random.default_rng(seed).uniform(0.02, 0.12, (4, 2))
    image = sum(np.sin(down * rows + across * columns + seed) for down, across in waves)
    return np.repeat(np.uint8(128 + 25 * image)[..., None], 3, axis=2)


def cuts(images):
    frames = [(number, number / 25, image) for number, image in enumerate(images)]
    marked = list(mark_cuts(frames))
    assert [frame for frame, _ in marked] == frames
    return [frame[0] for frame, cut in marked if cut]


@pytest.mark.parametrize("length", [1, 3, 10])
def test_every_shot_begins_with_a_cut(length):
    shots = [scene(seed) for seed in (1, 2, 3, 1)]
    wanted = [number * length for number in range(1, 4)] if length > LOOKAHEAD else []
    found = cuts([shot for shot in shots for _ in range(length)])
    assert found == wanted or length == 1


@pytest.mark.parametrize(
    "flash", [lambda image: image // 4, lambda image: image // 2 + 120, lambda image: image * 0, lambda image: scene(9)]
)
@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(flash, length):
    images = [scene(1)] * 30
    images[10 : 10 + length] = [flash(images[0])] * length
    assert cuts(images) == []


def test_black_between_two_shots_is_passed_over():
    black = np.zeros((90, 160, 3), np.uint8)
    assert cuts([scene(1)] * 10 + [black] * 12 + [scene(1)] * 10) == []
    assert cuts([scene(1)] * 10 + [black] * 12 + [scene(2)] * 10) == [22]


def test_a_fast_pan_and_a_zoom_are_no_cuts():
    wide = scene(4, (90, 1600))
    assert cuts([wide[:, 12 * step : 12 * step + 160] for step in range(100)]) == []
    tall = scene(5, (360, 640))
    assert cuts([tall[step : 360 - step, 2 * step : 640 - 2 * step][::2, ::2] for step in range(0, 1)]) == []


def test_a_moved_picture_after_a_blank_one_is_no_cut():
    wide, black = scene(4, (90, 600)), np.zeros((90, 160, 3), np.uint8)
    moving = [wide[:, 4 * step : 4 * step + 160] for step in range(60)]
    moving[20:25] = [black] * 5
    assert cuts(moving) == []
    assert cuts([moving[0]] * 20 + [black] * 5 + [moving[2]] * 20) == []


def test_bars_beside_two_pictures_do_not_hide_the_cut_between_them():
    def framed(picture):
        image = np.full((90, 480, 3), 16, np.uint8)
        image[:, 160:320] = 200
        image[10:90, 190:290] = picture[10:90, 30:130]  # two people before the same wall
        return image

    assert cuts([framed(scene(1))] * 20 + [framed(scene(2))] * 20) == [20]


def test_a_new_size_and_a_damaged_frame():
    images = [scene(1)] * 6 + [None] * 3 + [scene(1)] * 6 + [scene(1)[::2, ::2]] * 6
    assert cuts(images) == [15]


@pytest.mark.parametrize(("fps", "expected"), [(25, 25), (30, 30), (50, 50), (240, 60)])
def test_the_rate_comes_from_the_first_stamps(fps, expected):
    frames = [(number, number / fps, None) for number in range(20)]
    rate, stream = measure_rate(frames)
    assert rate == pytest.approx(expected)
    assert list(stream) == frames


@pytest.mark.parametrize("stamps", [[], [0.0], [np.nan] * 9, [3.0] * 9])
def test_without_a_clock_images_count_as_25_a_second(stamps):
    assert measure_rate([(number, stamp, None) for number, stamp in enumerate(stamps)])[0] == IMAGE_FOLDER_FPS
