"""Test which heads --target trains and scores, and the errors of targets that do not fit."""

import datasets
import numpy as np
import pytest

from auvmae.runs.arguments_finetune import FoldArguments
from auvmae.runs.classifier import choose_heads, scored_target
from auvmae.runs.model_card import metric_results, render_card
from auvmae.runs.report import FoldReport
from auvmae.training.finetuning import FrameAUMetrics
from tests.support.tiny import AUS, tiny_config
from tests.support.tiny_run import RUN

from ..support.forge_folder import write_tree


def rows(*columns):
    part = datasets.Dataset.from_dict({name: [[[0.0]]] for name in columns})
    return datasets.DatasetDict(train=part, test=part)


GRADED, PLAIN = rows("labels", "intensities"), rows("labels")


def parse(tmp_path, *flags):
    given = ["--output_dir", str(tmp_path), "--use_cpu", "--report_to", "none", "--inner_val", "0.2", *flags]
    return FoldArguments.parse(given)


@pytest.mark.parametrize(
    ("target", "data", "heads"),
    [
        (None, PLAIN, {"detect_occurrences": True, "grade_intensities": False}),
        (None, GRADED, {"detect_occurrences": True}),
        ("occurrence", GRADED, {"detect_occurrences": True, "grade_intensities": False}),
        ("both", GRADED, {"detect_occurrences": True, "grade_intensities": True}),
        ("intensity", GRADED, {"detect_occurrences": False, "grade_intensities": True}),
    ],
)
def test_the_heads_of_a_target_override_the_model_config(tmp_path, target, data, heads):
    assert choose_heads(target, data) == heads
    model = parse(tmp_path, "--model_config", '{"grade_intensities": true}', "--model_name_or_path", "none").model
    model.heads = heads
    config = model.configure(id2label={0: "AU1"})
    assert config.grade_intensities == heads.get("grade_intensities", True)
    assert config.detect_occurrences == heads["detect_occurrences"]


def test_a_model_is_scored_on_what_it_and_the_data_have():
    both, plain = tiny_config(grade_intensities=True), tiny_config()
    only = tiny_config(grade_intensities=True, detect_occurrences=False)
    assert [scored_target(one, None, GRADED) for one in (both, plain, only)] == ["both", "occurrence", "intensity"]
    assert scored_target(both, None, PLAIN) == "occurrence"
    assert scored_target(both, "intensity", GRADED) == "intensity"
    with pytest.raises(ValueError, match="--target both needs a model that was trained on intensity, but this one was"):
        scored_target(plain, "both", GRADED)
    with pytest.raises(ValueError, match=r"--target occurrence needs a model .* score it with --target intensity"):
        scored_target(only, "occurrence", GRADED)
    with pytest.raises(ValueError, match=r"only grades intensities\. Score it with --target intensity"):
        scored_target(only, None, PLAIN)


def test_the_rows_get_intensities_when_the_target_needs_them(tmp_path, monkeypatch):
    tree = write_tree(tmp_path / "mine")
    flags = ["--dataset", "au_video_folder", "--data_dir", str(tree), "--target", "both"]
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"labels\.csv is read as occurrences.* train with --target occurrence"):
        parse(tmp_path / "out", *flags).data.load()
    options = ["--dataset_options", '{"intensity_threshold": 1}']
    assert "intensities" in parse(tmp_path / "out", *flags, *options).data.load()["train"].features
    flags[-1] = "occurrence"
    assert "intensities" not in parse(tmp_path / "out", *flags, *options).data.load()["train"].features


@pytest.mark.parametrize("metric", ["mae", "eval_mse", "mae_AU12"])
def test_of_an_error_a_lower_value_is_better(tmp_path, metric):
    flags = ["--target", "both", "--early_stopping_patience", "1", "--metric_for_best_model", metric]
    assert parse(tmp_path, *flags).training.greater_is_better is False
    with pytest.raises(ValueError, match=f"--greater_is_better true would keep the largest {metric}"):
        parse(tmp_path, *flags, "--greater_is_better", "true")


def test_what_selects_a_checkpoint_is_trained(tmp_path):
    patience = ["--early_stopping_patience", "1"]
    found = {target: parse(tmp_path, *patience, "--target", target).training for target in ("intensity", "both")}
    assert [found[target].metric_for_best_model for target in found] == ["icc", "f1"]
    assert all(args.greater_is_better for args in found.values())
    for target, metric in (("intensity", "f1"), ("occurrence", "eval_icc")):
        with pytest.raises(ValueError, match=f"--metric_for_best_model {metric} is not scored with --target {target}"):
            parse(tmp_path, *patience, "--target", target, "--metric_for_best_model", metric)
    with pytest.raises(ValueError, match="--tune_thresholds chooses thresholds of occurrences, which --target inten"):
        parse(tmp_path, "--tune_thresholds", "--target", "intensity")


def test_intensities_alone_need_no_occurrence(tmp_path):
    """An AU that is only ever a trace has no weight (Eq. 2), and needs none."""
    arguments = parse(tmp_path)
    labels = [[[0, 1], [0, 0]]]
    row = {"augmented": [False], "labels": labels, "num_frames": [2], "video": ["a"], "start_frame": [0]}
    features = datasets.Dataset.from_dict(row).features | {"labels": datasets.Array2D((2, 2), "int8", id="AU1,AU12")}
    part = datasets.Dataset.from_dict(row, features=datasets.Features(features))
    criterion = arguments.loss.build(part, occurrences=False)
    assert (criterion.cls_weight, criterion.intra_weight, criterion.inter_weight) == (0, 0, 0)
    with pytest.raises(ValueError, match="AU1 never occurs"):
        arguments.loss.build(part)


def report(target, graded=True):
    draw = np.random.default_rng(0)
    shape = (2, 8, 3)
    probs, labels = draw.random(shape, np.float32), draw.integers(0, 2, shape)
    coded = (5 * draw.random(shape)).astype(np.float32)
    coded[:, :, 1] = np.nan
    values = ((5 * draw.random(shape)).astype(np.float32), coded) if graded else (None, None)
    return FoldReport(probs, labels, [*AUS.values()], RUN | {"target": target}, *values)


@pytest.mark.parametrize(
    ("target", "titles"),
    [
        ("occurrence", ["F1", "accuracy", "F1 (always positive)"]),
        ("both", ["F1", "accuracy", "F1 (always positive)", "ICC(3,1)", "Pearson", "MAE", "MSE"]),
        ("intensity", ["ICC(3,1)", "Pearson", "MAE", "MSE"]),
    ],
)
def test_a_report_and_its_card_have_the_scores_of_the_target(target, titles):
    found = report(target)
    header, _, *lines = found.table().splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["AU", *titles]
    assert lines[1].count(" - ") == (0 if target == "occurrence" else 4)
    content = found.to_dict()
    assert ("f1" in content["metrics"]) == (target != "intensity")
    assert ("mae_AU1" in content["metrics"]) == (target != "occurrence")
    assert np.isnan(found.probs).all() == (target == "intensity")
    card = render_card(content, "mine").text
    assert ("logits.sigmoid()" in card.replace("intensity_logits", "")) == (target != "intensity")
    assert ("5 * outputs.intensity_logits.sigmoid()" in card) == (target != "occurrence")
    assert ("Occurrences were not trained" in card) == (target == "intensity")
    names = [result.metric_type for result in metric_results(content)]
    assert names == ["f1", "accuracy"] * (target != "intensity") + ["icc", "mae"] * (target != "occurrence")


def test_a_fold_of_pairs_has_the_same_scores_in_training():
    found = report("both")
    logits = [np.log(values / (1 - values)) for values in (found.probs, found.intensities / 5)]
    prediction = type(
        "Output", (), {"predictions": tuple(logits), "label_ids": (found.labels, found.coded_intensities)}
    )
    scores = FrameAUMetrics(found.au_names)(prediction)
    assert scores == pytest.approx(found.metrics, abs=1e-4)
    only = FrameAUMetrics(found.au_names, occurrences=False)(prediction)
    assert {name.split("_")[0] for name in only} == {"icc", "pearson", "mae", "mse"}
