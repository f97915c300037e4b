"""Test the configuration's defaults, types and validation errors."""

import pytest

from auvmae.configuration import AUVMAEConfig

from .support.tiny import tiny_config


def test_defaults_are_the_papers():
    config = AUVMAEConfig()
    assert (config.hidden_size, config.num_hidden_layers, config.image_size, config.patch_size) == (768, 12, 224, 16)
    assert (config.clip_length, config.num_frames, config.sampling_rate, config.mask_ratio) == (128, 16, 1, 0.0)
    assert config.patches_per_slot == 196


def test_au_names_follow_the_logits():
    assert tiny_config(id2label={1: "AU9", 0: "AU6"}).au_names == ["AU6", "AU9"]


def test_a_round_trip_keeps_everything(tmp_path):
    config = tiny_config(sampling_rate=2, mask_ratio=0.5, image_mean=[0.5, 0.5, 0.5], thresholds=[0.2, 0.5, 0.9])
    config.save_pretrained(tmp_path)
    again = AUVMAEConfig.from_pretrained(tmp_path)
    assert again.to_diff_dict() == config.to_diff_dict()
    assert again.au_names == config.au_names
    assert again.au_thresholds == [0.2, 0.5, 0.9]
    assert tiny_config().au_thresholds == [0.5] * 3


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"mask_ratio": 1.0}, r"mask_ratio must lie in \[0, 1\), found 1.0"),
        ({"num_frames": 5}, r"num_frames \(5\) must be a multiple of tubelet_size \(2\)"),
        ({"clip_length": 10}, r"clip_length \(10\) must be a multiple of sampling_rate x num_frames"),
        ({"sampling_rate": 4}, r"\(4 x 4 = 16\)"),
        ({"thresholds": [0.5]}, r"thresholds must be 3 numbers .* \(AU1, AU2, AU12\), found \[0.5\]"),
        ({"thresholds": [0.5, 0.5, 1.0]}, r"in \(0, 1\)"),
        ({"au_checks": {"AU1": "passed"}}, r"au_checks must give one of passed, failed, none for each action unit"),
        ({"au_checks": {"AU1": "passed", "AU2": "good", "AU12": "none"}}, "found .*good"),
        (
            {"relative_aus": ["AU1", "AU4"]},
            r"relative_aus must name .* of the model \(AU1, AU2, AU12\), found",
        ),
        ({"image_size": 25}, r"image_size \(25\) must be a multiple of patch_size \(10\)"),
    ],
)
def test_contradictions_are_named(fields, found):
    with pytest.raises(ValueError, match=found):
        tiny_config(**fields)


@pytest.mark.parametrize("fields", [{"clip_length": "long"}, {"sampling_rate": 1.5}, {"image_size": [20, 20]}])
def test_wrong_types_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        tiny_config(**fields)
