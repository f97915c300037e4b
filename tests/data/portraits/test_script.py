import numpy as np
import pytest

from auvmae.data.portraits.action_units import LIPS_PART, NUMBERS
from auvmae.data.portraits.drawing.rendering import Renderer
from auvmae.data.portraits.filming import Camera, film
from auvmae.data.portraits.script import STILL, write_script

pytest.importorskip("cv2")


def scripts(rig, count=200, frames=32):
    return [write_script(rig, frames, np.random.default_rng(seed)) for seed in range(count)]


def test_scripts_depend_on_the_generator_alone(rig):
    first, again = (write_script(rig, 40, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.intensities, again.intensities)
    np.testing.assert_array_equal(first.extra, again.extra)
    assert first.intensities.shape == (40, len(NUMBERS), 2)
    assert first.extra.shape == (40, len(rig.names))


def test_every_action_unit_occurs_and_rests(rig):
    intensities = np.stack([script.intensities for script in scripts(rig)])
    assert intensities.min() == 0
    assert intensities.max() <= 5
    rates = (intensities.max(axis=-1) >= 1).mean(axis=(0, 1))
    assert ((rates > 0.04) & (rates < 0.5)).all(), dict(zip(NUMBERS, rates.round(2), strict=True))


def test_some_videos_show_no_event(rig):
    columns = [column for column, number in enumerate(NUMBERS) if number not in (25, 26, 43)]
    still = [not script.intensities[:, columns].any() for script in scripts(rig)]
    assert STILL / 2 < np.mean(still) < 4 * STILL


def test_a_fifth_of_the_events_is_uneven(rig):
    smiles = np.stack([script.intensities[:, NUMBERS.index(12)] for script in scripts(rig, 400)])
    peaks = smiles.max(axis=1)[smiles.max(axis=(1, 2)) > 1]
    uneven = np.abs(peaks[:, 0] - peaks[:, 1]) > 0.2 * peaks.max(axis=1)
    assert 0.08 < uneven.mean() < 0.3
    jaws = np.stack([script.intensities[:, NUMBERS.index(26)] for script in scripts(rig, 50)])
    np.testing.assert_allclose(jaws[..., 0], jaws[..., 1], rtol=1e-5)


def test_the_share_of_uneven_events_is_a_choice(rig):
    for uneven, low, high in ((0.0, 0, 0), (1.0, 0.5, 1)):
        made = [write_script(rig, 32, np.random.default_rng(seed), uneven=uneven) for seed in range(100)]
        smiles = np.stack([script.intensities[:, NUMBERS.index(12)] for script in made])
        peaks = smiles.max(axis=1)[smiles.max(axis=(1, 2)) > 1]
        assert low <= (np.abs(peaks[:, 0] - peaks[:, 1]) > 0.2 * peaks.max(axis=1)).mean() <= high


def test_action_units_are_correlated_in_half_of_the_videos(rig):
    intensities = np.stack([script.intensities.max(axis=-1) for script in scripts(rig, 400)])
    cheeks, smiles = (intensities[:, :, NUMBERS.index(number)].ravel() >= 1 for number in (6, 12))
    assert cheeks[smiles].mean() > 1.5 * cheeks.mean()
    assert (smiles & ~cheeks).mean() > 0.02


def test_without_expressions_no_action_units_are_correlated(rig):
    made = [write_script(rig, 32, np.random.default_rng(seed), ["expressions"]) for seed in range(400)]
    intensities = np.stack([script.intensities.max(axis=-1) for script in made])
    cheeks, smiles = (intensities[:, :, NUMBERS.index(number)].ravel() >= 1 for number in (6, 12))
    assert cheeks[smiles].mean() < 1.5 * cheeks.mean()


def test_without_speech_nothing_else_changes(rig):
    speaking = 0
    for seed in range(40):
        usual, silent = (write_script(rig, 32, np.random.default_rng(seed), parts) for parts in ((), ["speech"]))
        others = np.arange(len(NUMBERS)) != NUMBERS.index(26)
        np.testing.assert_array_equal(usual.intensities[:, others], silent.intensities[:, others])
        speaking += (usual.extra != silent.extra).any()
    assert 5 < speaking < 25


@pytest.mark.parametrize("part", ["wrinkles", "morphs"])
def test_what_is_left_out_changes_frames_and_no_labels(rig, fit, image, part):
    portrait = Renderer(rig, 32).prepare(image, fit)
    differ = 0
    for seed in range(12):
        films = []
        for leave_out in ((), [part]):
            rng = np.random.default_rng(seed)
            films.append(list(film(portrait, write_script(rig, 2, rng, leave_out), rng, leave_out)))
        for (frame, usual), (other, labels) in zip(*films, strict=True):
            differ += (frame != other).any()
            others = np.arange(len(NUMBERS)) != LIPS_PART  # another identity has other lips
            np.testing.assert_array_equal(usual[others], labels[others])
    assert differ > 4


def test_raised_lids_give_way_to_shut_ones(rig):
    intensities = np.concatenate([script.intensities.max(axis=-1) for script in scripts(rig)])
    shut = intensities[:, NUMBERS.index(43)] >= 2.5
    assert shut.any()
    assert not intensities[shut, NUMBERS.index(5)].any()


def test_lips_part_is_what_the_lips_do(rig, fit, image):
    portrait = Renderer(rig, 32).prepare(image, fit)
    differ = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        script = write_script(rig, 6, rng)
        for row, (frame, found) in enumerate(film(portrait, script, rng)):
            assert frame.shape == (32, 32, 3)
            assert frame.dtype == np.uint8
            others = np.arange(len(NUMBERS)) != LIPS_PART
            np.testing.assert_array_equal(found[others], script.intensities[row, others])
            assert 0 <= found[LIPS_PART].min() <= found[LIPS_PART].max() <= 5
            differ += found[LIPS_PART, 0] != script.intensities[row, LIPS_PART, 0]
    assert differ > 10


def test_cameras_differ_and_keep_the_shape():
    frame = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    taken = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        taken.append(Camera.draw(48, rng).take(frame, rng))
    assert all(one.shape == frame.shape and one.dtype == np.uint8 for one in taken)
    assert len({one.tobytes() for one in taken}) == 30
    grey = [(one == one[..., :1]).mean() for one in taken]
    assert max(grey) > 0.5 > np.median(grey)  # some videos have nearly no colour
