"""The field's metric against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from auvmae.metrics import AUF1, au_counts, au_metrics

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
