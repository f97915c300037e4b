"""Test that the packaged detector is complete and small, and the default wherever no other model is named."""

import json
import logging

import numpy as np
import pytest
import torch
import transformers

from auvmae import AUDetector, AUVMAEForFrameAUClassification
from auvmae.cli.main import main
from auvmae.demo.serve import EXAMPLES
from auvmae.inference.pipeline import TASK
from auvmae.runs.arguments import ModelArguments
from auvmae.runs.arguments_finetune import FoldArguments
from auvmae.runs.classifier import build_classifier
from auvmae.weights import PACKAGED, packaged_checks, packaged_path

from .support.paths import ROOT

FOLDER = PACKAGED["portraits"]
SMILE, SURPRISE = EXAMPLES / "smile.mp4", EXAMPLES / "surprise.mp4"


def test_it_is_complete_small_and_no_code():
    model, info = AUVMAEForFrameAUClassification.from_pretrained(FOLDER, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.grade_intensities
    assert model.config.image_size == 112
    files = list(FOLDER.iterdir())
    assert {file.name for file in files} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    assert sum(file.stat().st_size for file in files) <= 16e6
    assert packaged_checks() == model.config.au_checks
    assert model.config.relative_aus == ["AU4"]


def test_its_card_is_that_of_the_model_cards():
    assert (FOLDER / "README.md").read_text() == (ROOT / "model_cards" / "portraits.md").read_text()


def test_no_path_of_this_machine_is_in_it():
    for name in ("config.json", "preprocessor_config.json", "README.md"):
        assert "/tmp" not in (FOLDER / name).read_text()


def test_names_of_packaged_models_are_paths_and_others_stay():
    assert packaged_path("portraits") == str(FOLDER)
    assert packaged_path("./portraits") == "./portraits"
    assert packaged_path("someone/model") == "someone/model"


@pytest.mark.parametrize("level", ["video", "frame", "patch"])
def test_it_sees_a_smile_and_a_surprise_of_portraits_that_it_was_not_trained_on(level):
    pytest.importorskip("cv2", reason="the extra `faces` is missing")
    detector = AUDetector.from_pretrained(device="cpu", dtype="float32", level=level, all_aus=True)
    smile, surprise = (
        dict(zip(detector.au_names, detector(video).rows["probs"].T, strict=True)) for video in (SMILE, SURPRISE)
    )
    rest, apex = slice(0, 8), slice(40, 48)
    margin = 0.05 if level == "patch" else 0.2  # half of the face is hidden
    for shown, other, names in ((smile, surprise, ("AU6", "AU12")), (surprise, smile, ("AU1", "AU2", "AU26"))):
        for name in names:
            assert shown[name][apex].mean() > shown[name][rest].mean() + margin
            assert shown[name][apex].mean() > other[name][apex].mean() + margin


def test_the_command_needs_no_model(tmp_path):
    pytest.importorskip("cv2", reason="the extra `faces` is missing")
    assert main(["predict", str(SMILE), "-o", str(tmp_path)]) == 0
    provenance = json.loads((tmp_path / "smile.provenance.json").read_text())
    assert provenance["model"] == "portrait_model"
    assert provenance["au_checks"] == {name: packaged_checks()[name] for name in provenance["au_names"]}


def test_the_pipeline_needs_no_model():
    pytest.importorskip("cv2", reason="the extra `faces` is missing")
    rows = transformers.pipeline(TASK, device="cpu", dtype=torch.float32)(str(SMILE)).rows
    expected = AUDetector.from_pretrained(device="cpu", dtype="float32")(SMILE).rows
    np.testing.assert_array_equal(rows["probs"], expected["probs"])


def test_fine_tuning_starts_from_it_where_no_start_is_named_and_says_so(caplog):
    arguments = FoldArguments.parse(["--output_dir", "out", "--use_cpu", "true"])
    assert arguments.model.model_name_or_path == str(FOLDER)
    names = AUVMAEForFrameAUClassification.from_pretrained(FOLDER).config.au_names
    with caplog.at_level(logging.WARNING):
        build_classifier(arguments.model, names, do_train=True, clip_length=16)
    assert "the run starts from `portraits`, the packaged detector" in caplog.text


@pytest.mark.parametrize("flags", [["--model_name_or_path", "none"], ["--model_config", '{"hidden_size": 32}']])
def test_another_start_goes_before_it(flags):
    arguments = FoldArguments.parse(["--output_dir", "out", "--use_cpu", "true", *flags])
    assert arguments.model.model_name_or_path is None


def test_pre_training_does_not_start_from_it():
    assert ModelArguments().model_name_or_path is None
