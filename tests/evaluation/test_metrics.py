"""Test F1 and accuracy against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from auvmae.evaluation.metrics import AUF1, au_counts, au_metrics, counts_by_group, f1_averages, f1_from_counts

NAMES = ["AU1", "AU2", "AU4", "AU6"]


def random_fold() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    probs = generator.random((500, 4)).astype(np.float32)
    labels = (generator.random((500, 4)) < [0.5, 0.2, 0.02, 0]).astype(np.int64)
    labels[generator.random(labels.shape) < 0.1] = -100
    probs[:, 3] = 0  # neither present nor predicted
    return probs, labels


@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_f1_and_accuracy_equal_scikit_learn(threshold):
    probs, labels = random_fold()
    found = au_metrics(probs, labels, NAMES, threshold)
    f1, accuracy = [], []
    for column in range(4):
        coded = labels[:, column] != -100
        truth, predicted = labels[coded, column], probs[coded, column] > threshold
        f1.append(f1_score(truth, predicted, zero_division=0))
        accuracy.append(accuracy_score(truth, predicted))
    expected = {"f1": np.mean(f1), "accuracy": np.mean(accuracy)}
    expected |= {f"f1_{name}": value for name, value in zip(NAMES, f1, strict=True)}
    expected |= {f"accuracy_{name}": value for name, value in zip(NAMES, accuracy, strict=True)}
    assert found == pytest.approx(expected)


def test_counts_add_over_parts():
    probs, labels = random_fold()
    whole = au_counts(probs, labels)
    parts = au_counts(probs[:100], labels[:100]) + au_counts(probs[100:], labels[100:])
    assert np.array_equal(whole, parts)
    assert np.array_equal(whole.sum(0), (labels != -100).sum(0))


def test_thresholds_may_differ_by_au():
    probs, labels = random_fold()
    thresholds = np.array([0.1, 0.5, 0.9, 0.3])
    expected = np.stack([au_counts(probs, labels, thresholds[i])[:, i] for i in range(4)], axis=1)
    np.testing.assert_array_equal(au_counts(probs, labels, thresholds), expected)


def test_counts_by_group_and_their_f1_equal_scikit_learn():
    probs, labels = random_fold()
    subjects = np.array(["b", "a", "c", "c"]).repeat(125)
    counts = counts_by_group(probs, labels, subjects, 0.6)
    np.testing.assert_array_equal(counts.sum(axis=0), au_counts(probs, labels, 0.6))
    found = f1_from_counts(counts, undefined=np.nan)
    for row, subject in enumerate("abc"):
        for column in range(4):
            member = (subjects == subject) & (labels[:, column] != -100)
            truth, predicted = labels[member, column], probs[member, column] > 0.6
            np.testing.assert_equal(found[row, column], f1_score(truth, predicted, zero_division=np.nan))
    assert np.isnan(found[:, 3]).all()
    assert counts_by_group(np.zeros((0, 4)), np.zeros((0, 4)), np.array([])).shape == (0, 4, 4)


def test_averages_over_folds_equal_scikit_learn():
    probs, labels = random_fold()
    labels[labels == -100] = 0  # multi-label scores of scikit-learn accept no -100
    folds = slice(0, 150), slice(150, 500)
    found = f1_averages(np.stack([au_counts(probs[fold], labels[fold]) for fold in folds]))
    expected = {}
    for average in ("macro", "micro"):
        scores = [f1_score(labels[fold], probs[fold] > 0.5, average=average, zero_division=0) for fold in folds]
        expected[f"{average}_fold_mean"] = np.mean(scores)
        expected[f"{average}_pooled"] = f1_score(labels, probs > 0.5, average=average, zero_division=0)
    assert found == pytest.approx(expected)
    assert len({round(score, 6) for score in found.values()}) == 4


def test_an_empty_fold_scores_zero():
    assert set(au_metrics(np.zeros((0, 4)), np.zeros((0, 4)), NAMES).values()) == {0.0}
    assert au_metrics(np.ones((3, 4)), np.full((3, 4), -100), NAMES)["f1"] == 0


def test_evaluate_metric_works_offline_and_in_batches():
    probs, labels = random_fold()
    metric = AUF1(NAMES)
    for start in range(0, 500, 200):
        metric.add_batch(predictions=probs[start : start + 200], references=labels[start : start + 200])
    assert metric.compute() == pytest.approx(au_metrics(probs, labels, NAMES))


def test_wrong_shapes_and_names_are_named():
    with pytest.raises(ValueError, match=r"found \(3, 2\) and \(2, 2\)"):
        au_counts(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="must name the 2 columns, found \\['AU1'\\]"):
        au_metrics(np.zeros((3, 2)), np.zeros((3, 2)), ["AU1"])
