"""Test thresholds against brute force, their tuning on held-out subjects, and their use in prediction."""

import json

import numpy as np
import pytest
import yaml
from sklearn.metrics import f1_score

import run_finetune
from auvmae.data.folds import inner_split
from auvmae.evaluation.metrics import au_metrics, frame_probs
from auvmae.evaluation.saved_predictions import FoldPredictions
from auvmae.inference.detector import AUDetector
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.runs.arguments_protocol import ProtocolArguments
from auvmae.training.thresholds import best_thresholds, limit_false_alarms

from ..support.tiny_run import MODEL


def brute_force(probs, labels):
    """Return the best F1 of one AU over thresholds between, below and above all probabilities."""
    values = np.unique(np.concatenate([[0, 1], probs.astype(np.float64)]))
    tried = (values[:-1] + values[1:]) / 2
    return max(f1_score(labels, probs > threshold, zero_division=0) for threshold in tried)


@pytest.mark.medium
@pytest.mark.parametrize("decimals", [1, 2, 7])  # many ties, some, none
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_a_greater_f1(decimals, seed):
    draw = np.random.default_rng(seed)
    probs = draw.random((200, 4)).round(decimals).astype(np.float32)
    labels = (draw.random((200, 4)) < (0.5, 0.1, 0.02, 1)).astype(int)
    labels[draw.random(labels.shape) < 0.2] = -100
    labels[0] = 1
    thresholds = best_thresholds(probs, labels)
    assert ((thresholds > 0) & (thresholds < 1)).all()
    for column, threshold in enumerate(thresholds):
        coded = labels[:, column] != -100
        column_probs, column_labels = probs[coded, column], labels[coded, column]
        found = f1_score(column_labels, column_probs > threshold, zero_division=0)
        assert found == pytest.approx(brute_force(column_probs, column_labels))


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    probs = np.array([[0.9], [0.2], [0.1], [0.05]])
    assert best_thresholds(probs, np.array([[1], [0], [0], [0]])) == pytest.approx(0.55)
    # F1 is 2/3 with one of the two detected, and 4/5 with both and one false positive
    assert best_thresholds(probs, np.array([[1], [0], [1], [0]])) == pytest.approx(0.075)
    assert best_thresholds(np.array([[0.9], [0.4], [0.3]]), np.array([[0], [1], [0]])) == pytest.approx(0.35)


def test_degenerate_frames():
    ones, zeros = np.ones((3, 1)), np.zeros((3, 1))
    assert best_thresholds(zeros, ones) == 0.5  # 0 is never above a threshold
    assert best_thresholds(ones, ones) == 0.5
    assert best_thresholds(ones, zeros) == 0.5
    assert best_thresholds(ones, -100 * ones) == 0.5
    assert best_thresholds(np.zeros((0, 2)), np.zeros((0, 2))).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_false_alarms_are_limited_and_no_threshold_is_higher_than_needed(share):
    draw = np.random.default_rng(0)
    probs = draw.random((400, 3)).round(3)
    labels = (draw.random((400, 3)) < 0.2).astype(int)
    labels[:5, 0] = -100  # nobody knows whether these frames are neutral
    low = np.array([0.1, 0.5, 0.999])
    thresholds = limit_false_alarms(low, probs, labels, share)
    neutral = probs[(labels == 0).all(axis=1)]
    for column, threshold in enumerate(thresholds):
        assert (neutral[:, column] >= threshold).mean() <= share
        below = neutral[:, column][neutral[:, column] < threshold].max()
        assert threshold == low[column] or (neutral[:, column] >= below).mean() > share


def test_without_neutral_frames_there_is_no_limit():
    with pytest.raises(ValueError, match="No held-out frame is coded as neutral"):
        limit_false_alarms(np.array([0.5]), np.ones((2, 1)), np.array([[1], [-100]]), 0.1)


@pytest.mark.slow
def test_tuned_on_held_out_training_subjects_and_used_by_predictions(tmp_path, monkeypatch):
    fields = {
        "dataset": "synthetic",
        "dataset_options": {"frames_per_subject": 96, "image_size": 32, "seed": 5},
        "clip_length": 16,
        "model_config": MODEL,
        "max_steps": 3,
        "seed": 0,
        "inner_val": 0.3,
        "tune_thresholds": True,
        "per_device_train_batch_size": 4,
        "report_to": "none",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "output_dir": str(tmp_path / "out"),
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(fields))
    seen = []
    predict = run_finetune.AUVMAETrainer.predict

    def watched(self, clips):
        prediction = predict(self, clips)
        seen.append((clips, prediction))
        return prediction

    monkeypatch.setattr(run_finetune.AUVMAETrainer, "predict", watched)
    report = run_finetune.main([str(tmp_path / "recipe.yaml")])
    (tuned_on, prediction), (scored_on, _) = seen
    data = ProtocolArguments(clip_length=16, dataset_options=json.dumps(fields["dataset_options"])).load()
    _, held_out = inner_split(data["train"], 0.3)
    subjects = [set(next(iter(clips.clips.values())).rows["subject"]) for clips in (tuned_on, scored_on)]
    assert subjects == [set(held_out["subject"]), set(data["test"]["subject"])]

    names = report.au_names
    expected = best_thresholds(
        frame_probs(prediction.predictions).reshape(-1, 8), np.asarray(prediction.label_ids).reshape(-1, 8)
    )
    assert len(set(expected.tolist())) > 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["thresholds"] == expected.tolist()
    saved = FoldPredictions.load(tmp_path / "out")
    np.testing.assert_array_equal(saved.thresholds, expected)
    assert metrics["metrics"] == pytest.approx(au_metrics(saved.probs, saved.labels, names, expected))
    assert metrics["metrics_at_half"] == pytest.approx(au_metrics(saved.probs, saved.labels, names))
    assert metrics["tuned_on_test"] == []
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"the thresholds, tuned on held-out training subjects, are AU1 {expected[0]:.3f}, " in card
    assert "| F1 at 0.5 |" in card

    model = AUVMAEForFrameAUClassification.from_pretrained(tmp_path / "out")
    assert model.config.thresholds == expected.tolist()
    detector = AUDetector(model, AUVMAEImageProcessor.from_pretrained(tmp_path / "out"), cropped=True)
    np.testing.assert_allclose(detector(np.zeros((16, 32, 32, 3), np.uint8)).thresholds, expected)
