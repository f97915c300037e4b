"""Test the left and the right side of the face, from the model to the table."""

import numpy as np
import pytest
import torch

from auvmae.cli.main import main
from auvmae.inference.detector import AUDetector
from auvmae.inference.prediction import AUPrediction
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor

from ..support.tiny import randomise, tiny_clip, tiny_config, tiny_mask

CHECKS = {"AU1": "passed", "AU12": "failed"}
FRAMES = np.random.default_rng(0).integers(0, 256, (9, 20, 20, 3), np.uint8)


def sided(**fields):
    torch.manual_seed(0)
    return randomise(AUVMAEForFrameAUClassification(tiny_config(grade_sides=True, weigh_positions=True, **fields)), 0.3)


def detector(model, **options):
    return AUDetector(model, AUVMAEImageProcessor(20), cropped=True, sides=True, **options)


@pytest.mark.parametrize("num_frames", [4, 8])
def test_a_mirrored_clip_has_its_sides_swapped(num_frames):
    model, clip = sided(), tiny_clip(2, num_frames)
    outputs, mirrored = (model(frames, output_sides=True) for frames in (clip, clip.flip(-1)))
    assert outputs.side_logits.shape == (2, 8, 3, 2)
    torch.testing.assert_close(mirrored.side_logits, outputs.side_logits.flip(-1), atol=1e-5, rtol=0)
    assert (outputs.side_logits[..., 0] - outputs.side_logits[..., 1]).abs().max() > 0.01
    torch.testing.assert_close(outputs.logits, model(clip).logits)
    assert model(clip).side_logits is None


def test_the_head_of_sides_reads_the_left_side_of_the_clip_itself():
    model, clip, mask = sided(), tiny_clip(2, 8), tiny_mask(2, 8)
    found = model(clip, mask, output_sides=True).side_logits[..., 1]
    model.head.load_state_dict(model.side_head.state_dict())
    torch.testing.assert_close(found, model(clip, mask).logits)


def test_a_model_without_the_head_says_so():
    model = AUVMAEForFrameAUClassification(tiny_config())
    with pytest.raises(ValueError, match="grade_sides"):
        model(tiny_clip(1), output_sides=True)
    with pytest.raises(ValueError, match="does not grade the sides of the face"):
        detector(model)


@pytest.mark.parametrize(
    ("checks", "all_aus", "shown"),
    [(None, False, ["AU1", "AU2", "AU12"]), (CHECKS, False, ["AU1"]), (CHECKS, True, ["AU1", "AU12"])],
)
def test_the_table_has_the_sides_that_passed(tmp_path, checks, all_aus, shown):
    prediction = detector(sided(side_checks=checks), all_aus=all_aus)(FRAMES)
    table = prediction.to_dataframe()
    columns = [f"AU{int(name[2:]):02d}_{side}_r" for side in "LR" for name in shown]
    assert [name for name in table if name.endswith(("L_r", "R_r"))] == columns
    assert table[columns].notna().all(axis=None)
    assert np.isfinite(prediction.rows["left"]).all(axis=0).sum() == len(shown)
    assert prediction.provenance["side_checks"] == {name: (checks or {}).get(name, "none") for name in shown}
    for suffix in ("csv", "parquet"):
        loaded = AUPrediction.load(prediction.save(tmp_path / f"a.{suffix}"))
        np.testing.assert_allclose(loaded.rows["right"], prediction.rows["right"], atol=0.005)


def test_mirrored_crops_swap_the_columns():
    one = detector(sided(), clip_stride=1)
    rows, mirrored = one(FRAMES).rows, one(FRAMES[:, :, ::-1]).rows
    np.testing.assert_allclose(rows["left"], mirrored["right"], atol=1e-5)
    np.testing.assert_allclose(rows["right"], mirrored["left"], atol=1e-5)
    assert np.abs(rows["left"] - rows["right"]).max() > 0.01


def test_without_sides_nothing_else_changes():
    model = sided()
    plain = AUDetector(model, AUVMAEImageProcessor(20), cropped=True)(FRAMES)
    assert "left" not in plain.rows.dtype.names
    np.testing.assert_array_equal(plain.rows["probs"], detector(model)(FRAMES).rows["probs"])


@pytest.mark.parametrize("checks", [{"AU9": "passed"}, {"AU1": "good"}])
def test_wrong_checks_are_named(checks):
    with pytest.raises(ValueError, match=r"side_checks must give one of .* for action units of the model"):
        tiny_config(side_checks=checks)


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--format", "openface"], "--format openface has no columns for --sides"), ([], "does not grade the sides")],
)
def test_the_command_refuses_what_has_no_sides(tmp_path, capsys, flags, message):
    model = AUVMAEForFrameAUClassification(tiny_config())
    model.save_pretrained(tmp_path / "model")
    AUVMAEImageProcessor(20).save_pretrained(tmp_path / "model")
    code = main(["predict", "a.mp4", "-o", str(tmp_path / "out"), "-m", str(tmp_path / "model"), "--sides", *flags])
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
