"""Run `run_finetune.py` and `run_pretrain.py` as a user does, on small encoded videos."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import AutoImageProcessor, AutoModelForVideoClassification

import run_finetune
import run_pretrain
from auvmae.data.files import DatasetLayoutError
from auvmae.evaluation.metrics import au_metrics
from auvmae.evaluation.saved_predictions import FoldPredictions
from auvmae.faces.crop import CropRecipe
from auvmae.inference.detector import AUDetector
from auvmae.runs.arguments_finetune import FoldArguments
from tests.support.tiny_run import MODEL

from ..support.forge_disfa import forge_disfa
from ..support.paths import ROOT


@pytest.fixture
def recipe(tmp_path):
    fields = {
        "dataset": "synthetic",
        "dataset_options": {"frames_per_subject": 360, "image_size": 32},
        "clip_length": 120,
        "model_config": MODEL,
        "max_steps": 4,
        "per_device_train_batch_size": 2,
        "save_steps": 2,
        "logging_steps": 1,
        "report_to": "none",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


@pytest.mark.slow
def test_pretrain_then_finetune_then_resume_then_score(recipe, tmp_path, capsys, monkeypatch):
    # its own copy of the drawn faces, since other tests must not find them marked as crops
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    pretrained = tmp_path / "pretrained"
    run_pretrain.main([str(recipe), "--output_dir", str(pretrained), "--mask_ratio", "0.75", "--sampling_rate", "2"])
    assert (pretrained / "figures" / "losses.png").stat().st_size > 10_000

    whole = tmp_path / "whole"
    flags = ["--model_name_or_path", str(pretrained), "--levels", "video"]
    report = run_finetune.main([str(recipe), "--output_dir", str(whole), *flags])
    printed = capsys.readouterr().out
    assert report.table() in printed

    metrics = json.loads((whole / "metrics.json").read_text())
    labels, probs = (values.reshape(-1, 8) for values in (report.labels, report.probs))
    assert metrics["metrics"] == pytest.approx(au_metrics(probs, labels, report.au_names))
    assert metrics["coded_test_frames"] == 9 * 360
    assert metrics["all_ones"]["f1"] == pytest.approx(au_metrics(np.ones_like(probs), labels, report.au_names)["f1"])
    assert (metrics["steps"], metrics["level"], metrics["base_model"]) == (4, "video", "pretrained")
    saved = FoldPredictions.load(whole)
    assert au_metrics(saved.probs, saved.labels, saved.au_names) == pytest.approx(metrics["metrics"])
    assert (len(saved.frames), saved.run["fold"], saved.run["tuned_on_test"]) == (9 * 360, 1, [])
    for name in ("cooccurrence", "transitions", "timeline"):
        assert (whole / "figures" / f"{name}.png").stat().st_size > 10_000
    card = ModelCard.load(whole / "README.md")
    assert card.data.eval_results[0].metric_value == pytest.approx(metrics["metrics"]["f1"], abs=1e-4)
    assert report.table() in card.text
    assert "demonstration only" in card.text

    model = AutoModelForVideoClassification.from_pretrained(whole)
    processor = AutoImageProcessor.from_pretrained(whole)
    frames = torch.randint(0, 256, (120, 40, 40, 3), dtype=torch.uint8)
    assert model(**processor(frames)).logits.shape == (1, 120, 8)

    assert processor.crop is None
    crop = CropRecipe(margin=0.2)
    for video in (tmp_path / "cache" / "auvmae").rglob("*_comp.*"):  # as if made by `auvmae crop`
        video.with_suffix(".faces.json").write_text(json.dumps({"recipe": crop.to_dict()}))

    resumed = tmp_path / "resumed"
    flags += ["--resume_from_checkpoint", str(whole / "checkpoint-2")]
    again = run_finetune.main([str(recipe), "--output_dir", str(resumed), *flags])
    np.testing.assert_allclose(again.probs, report.probs, atol=1e-6)
    assert AUDetector.from_pretrained(resumed).recipe == crop

    scored = run_finetune.main(
        [str(recipe), "--output_dir", str(tmp_path / "scored"), "--model_name_or_path", str(whole), "--no_do_train"]
    )
    np.testing.assert_allclose(scored.probs, report.probs, atol=1e-6)
    assert not list((tmp_path / "scored").glob("checkpoint*"))


@pytest.mark.slow
def test_a_mixture_with_every_option_then_scored_at_another_level(recipe, tmp_path):
    trained = tmp_path / "trained"
    recipe.write_text(recipe.read_text().replace("clip_length: 120", "clip_length: 96"))  # whole windows at every level
    flags = ["--levels", "video", "frame", "patch", "--eval_level", "frame", "--inner_val", "0.2", "--save_steps", "1"]
    flags += ["--early_stopping_patience", "1", "--layer_decay", "0.75", "--drop_path", "0.1", "--ema_decay", "0.5"]
    report = run_finetune.main([str(recipe), "--output_dir", str(trained), "--balanced_sampling", *flags])
    metrics = json.loads((trained / "metrics.json").read_text())
    assert (metrics["level"], metrics["train_levels"]) == ("frame", ["video", "frame", "patch"])
    assert (metrics["sampling_rate"], metrics["mask_ratio"]) == (4, 0.0)
    assert metrics["options"]["ema_decay"] == 0.5
    card = (trained / "README.md").read_text()
    assert "- Options: levels video, frame, patch, one drawn per batch; layer_decay 0.75; drop_path 0.1" in card
    state = json.loads((trained / "trainer_state.json").read_text())
    scores = [entry["eval_f1"] for entry in state["log_history"] if "eval_f1" in entry]
    assert state["best_metric"] == max(scores)
    assert len(scores) == state["global_step"]
    assert metrics["coded_test_frames"] == 9 * 360

    def score(*flags):
        output = ["--output_dir", str(tmp_path / "scored"), "--model_name_or_path", str(trained), "--no_do_train"]
        return run_finetune.main([str(recipe), *output, *flags])

    np.testing.assert_allclose(score("--eval_level", "frame").probs, report.probs, atol=1e-6)
    half, most = score("--eval_level", "patch"), score("--eval_level", "patch", "--eval_mask_ratio", "0.75")
    assert (half.run["mask_ratio"], most.run["mask_ratio"]) == (0.5, 0.75)
    for other in (half.probs, most.probs):
        assert not np.allclose(other, report.probs, atol=1e-6)
    assert not np.allclose(half.probs, most.probs, atol=1e-6)


def test_a_missing_data_folder_is_one_clear_error(recipe, tmp_path):
    with pytest.raises(DatasetLayoutError, match=r"nowhere is not a folder") as error:
        run_finetune.main([str(recipe), "--dataset", "disfa", "--dataset_options", "{}", "--data_dir", "nowhere"])
    assert "ActionUnit_Labels" in str(error.value)


def test_the_command_for_disfa_trains_on_its_crops_and_labels(tmp_path, monkeypatch):
    command = next(line for line in run_finetune.__doc__.splitlines() if "disfa" in line)
    recipe, *flags = shlex.split(command)[2:]
    forge_disfa(tmp_path / "DISFA", {"SN001": 20, "SN003": 20, "SN013": 20})
    shutil.copytree(tmp_path / "DISFA" / "Videos_LeftCamera", tmp_path / "crops" / "DISFA" / "Videos_LeftCamera")
    monkeypatch.chdir(tmp_path)  # as after `auvmae crop DISFA crops/DISFA`
    argv = [str(ROOT / recipe), *flags, "--output_dir", "out", "--use_cpu"]
    rows = FoldArguments.parse(argv).data.load()
    for split in rows.values():
        assert {Path(video).parents[1] for video in split["video"]} == {tmp_path / "crops" / "DISFA"}


def test_the_scripts_stay_thin():
    for script in (run_finetune, run_pretrain):
        assert len(Path(script.__file__).read_text().splitlines()) <= 130


@pytest.mark.slow
def test_intensities_only_then_scored(recipe, tmp_path, capsys):
    trained = tmp_path / "trained"
    flags = ["--target", "intensity", "--intensity_loss", "cumulative", "--inner_val", "0.2", "--save_steps", "2"]
    flags += ["--early_stopping_patience", "1", "--metric_for_best_model", "mae"]
    report = run_finetune.main([str(recipe), "--output_dir", str(trained), *flags])
    content = json.loads((trained / "metrics.json").read_text())
    assert report.table() in capsys.readouterr().out
    assert "f1" not in content["metrics"]
    assert content["metrics"]["mae"] == pytest.approx(np.abs(report.intensities - report.coded_intensities).mean())
    assert (content["target"], content["loss"]["intensity_loss"]) == ("intensity", "cumulative")
    assert not (trained / "figures").exists()
    saved = FoldPredictions.load(trained)
    assert not saved.has_occurrences
    assert set(np.unique(saved.coded_intensities)) <= set(range(6))
    with pytest.raises(ValueError, match="trained with --target intensity, so it detects no action units"):
        AUDetector.from_pretrained(trained)
    flags = ["--model_name_or_path", str(trained), "--no_do_train", "--target", "intensity"]
    scored = run_finetune.main([str(recipe), "--output_dir", str(tmp_path / "scored"), *flags])
    assert scored.metrics == pytest.approx(report.metrics, abs=1e-5)
