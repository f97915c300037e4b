"""Test the left and the right side of the face, from the halves to the table."""

import numpy as np
import pytest
import torch

from auvmae.cli.main import main
from auvmae.inference.detector import AUDetector
from auvmae.inference.prediction import AUPrediction
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor, complete_halves

from ..support.tiny import randomise, tiny_config

CHECKS = {"AU1": "passed", "AU12": "failed"}
FRAMES = np.random.default_rng(0).integers(0, 256, (9, 20, 20, 3), np.uint8)


def graded(**fields):
    torch.manual_seed(0)
    config = tiny_config(grade_intensities=True, weigh_positions=True, **fields)
    return randomise(AUVMAEForFrameAUClassification(config), 0.3)


def detector(model, **options):
    return AUDetector(model, AUVMAEImageProcessor(20), **{"cropped": True, "sides": True} | options)


@pytest.mark.parametrize("width", [6, 7])
def test_halves_are_completed_pixel_by_pixel(width):
    frames = torch.from_numpy(FRAMES[:, :, :width].copy())
    right, left = complete_halves(frames)
    for column in range(width):
        mirrored = width - 1 - column
        assert torch.equal(right[:, :, column], frames[:, :, min(column, mirrored)])
        assert torch.equal(left[:, :, column], frames[:, :, max(column, mirrored)])
    assert right.dtype == torch.uint8


def test_halves_of_the_mirrored_frames_are_exchanged():
    frames = torch.from_numpy(FRAMES)
    for one, other in zip(complete_halves(frames), reversed(complete_halves(frames.flip(2))), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("level", ["video", "patch"])
def test_a_side_has_the_intensities_of_the_frames_from_its_half(level):
    model = graded()
    rows = detector(model, level=level)(FRAMES).rows
    halves = dict(zip(("right", "left"), complete_halves(torch.from_numpy(FRAMES)), strict=True))
    for side, frames in halves.items():
        whole = detector(model, level=level, sides=False)(frames.numpy()).rows["intensities"]
        np.testing.assert_allclose(rows[side], whole, atol=2e-5)
    assert np.abs(rows["left"] - rows["right"]).max() > 0.01


def test_a_change_on_the_left_of_the_image_is_on_the_right_of_the_subject():
    changed = FRAMES.copy()
    changed[:, :, :10] = 255 - changed[:, :, :10]
    one = detector(graded())
    rows, other = one(FRAMES).rows, one(changed).rows
    np.testing.assert_array_equal(rows["left"], other["left"])
    assert np.abs(rows["right"] - other["right"]).max() > 0.01


def test_mirrored_crops_swap_the_columns():
    one = detector(graded(), clip_stride=1)
    rows, mirrored = one(FRAMES).rows, one(FRAMES[:, :, ::-1]).rows
    np.testing.assert_allclose(rows["left"], mirrored["right"], atol=1e-5)
    np.testing.assert_allclose(rows["right"], mirrored["left"], atol=1e-5)


def test_the_batch_size_changes_no_side():
    model = graded()
    rows = [detector(model, batch_size=size)(FRAMES).rows for size in (1, 8)]
    for side in ("left", "right"):
        np.testing.assert_allclose(rows[0][side], rows[1][side], atol=1e-5)


def test_a_model_without_intensities_says_so():
    with pytest.raises(ValueError, match="grades no intensities, so it has no sides"):
        detector(AUVMAEForFrameAUClassification(tiny_config()))


@pytest.mark.parametrize(
    ("checks", "all_aus", "shown"),
    [(None, False, ["AU1", "AU2", "AU12"]), (CHECKS, False, ["AU1"]), (CHECKS, True, ["AU1", "AU12"])],
)
def test_the_table_has_the_sides_that_passed(tmp_path, checks, all_aus, shown):
    prediction = detector(graded(side_checks=checks), all_aus=all_aus)(FRAMES)
    table = prediction.to_dataframe()
    columns = [f"AU{int(name[2:]):02d}_{side}_r" for side in "LR" for name in shown]
    assert [name for name in table if name.endswith(("L_r", "R_r"))] == columns
    assert table[columns].notna().all(axis=None)
    assert np.isfinite(prediction.rows["left"]).all(axis=0).sum() == len(shown)
    assert prediction.provenance["side_checks"] == {name: (checks or {}).get(name, "none") for name in shown}
    for suffix in ("csv", "parquet"):
        loaded = AUPrediction.load(prediction.save(tmp_path / f"a.{suffix}"))
        for side in ("left", "right"):
            np.testing.assert_allclose(loaded.rows[side], prediction.rows[side], atol=0.005)


def test_without_sides_nothing_else_changes():
    model = graded()
    plain = detector(model, sides=False)(FRAMES)
    assert "left" not in plain.rows.dtype.names
    for values in ("probs", "intensities"):
        np.testing.assert_array_equal(plain.rows[values], detector(model)(FRAMES).rows[values])


@pytest.mark.parametrize("checks", [{"AU9": "passed"}, {"AU1": "good"}])
def test_wrong_checks_are_named(checks):
    with pytest.raises(ValueError, match=r"side_checks must give one of .* for action units of the model"):
        tiny_config(side_checks=checks)


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--format", "openface"], "--format openface has no columns for --sides"), ([], "grades no intensities")],
)
def test_the_command_refuses_what_has_no_sides(tmp_path, capsys, flags, message):
    model = AUVMAEForFrameAUClassification(tiny_config())
    model.save_pretrained(tmp_path / "model")
    AUVMAEImageProcessor(20).save_pretrained(tmp_path / "model")
    code = main(["predict", "a.mp4", "-o", str(tmp_path / "out"), "-m", str(tmp_path / "model"), "--sides", *flags])
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
