"""Test average precision and ROC AUC against their definitions, calibration against loops, and undefined values."""

import builtins

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from auvmae.evaluation.ranking_metrics import average_precision, expected_calibration_error, roc_auc

from ..support.random_predictions import random_predictions


@pytest.fixture(params=[0.0, 0.7])
def fold(request):
    """Probabilities, rounded so that there are ties, and labels whose last AU is never present."""
    predictions = random_predictions(skill=request.param)
    return predictions.probs.round(1), predictions.labels


def test_ranking_equals_scikit_learn_and_its_definition(fold):
    probs, labels = fold
    precision, auc = average_precision(probs, labels), roc_auc(probs, labels)
    for column in range(3):
        coded = labels[:, column] != -100
        truth, prob = labels[coded, column], probs[coded, column]
        assert precision[column] == pytest.approx(average_precision_score(truth, prob))
        assert auc[column] == pytest.approx(roc_auc_score(truth, prob))
        with_au, without = prob[truth == 1][:, None], prob[truth == 0]
        assert auc[column] == pytest.approx(((with_au > without) + 0.5 * (with_au == without)).mean())
    assert np.isnan(precision[3])
    assert np.isnan(auc[3])


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_calibration_equals_loops(bins):
    predictions = random_predictions(skill=0.3)
    predictions.probs[:3] = [[0], [1], [0.25]]  # edges of bins
    found = expected_calibration_error(predictions.probs, predictions.labels, bins)
    for column in range(4):
        members = [[] for _ in range(bins)]
        for prob, label in zip(predictions.probs[:, column].tolist(), predictions.labels[:, column], strict=True):
            if label != -100:
                members[min(int(prob * bins), bins - 1)].append((prob, label))
        error = 0.0
        for member in filter(None, members):
            mean_prob, present = np.mean(member, axis=0)
            error += len(member) * abs(mean_prob - present)
        assert found[column] == pytest.approx(error / sum(map(len, members)))


def test_calibration_of_the_truth_is_perfect():
    labels = np.array([[0], [1], [1], [-100]])
    assert expected_calibration_error(np.array([[0.0], [1], [1], [0.3]]), labels) == 0
    assert expected_calibration_error(np.array([[1.0], [0], [0], [0.3]]), labels) == 1


@pytest.mark.parametrize(
    ("labels", "defined"),
    [
        ([0, 0, -100], (False, False, True)),
        ([1, 1, -100], (True, False, True)),
        ([-100, -100, -100], (False, False, False)),
        ([], (False, False, False)),
    ],
)
def test_what_is_not_defined_is_nan(labels, defined):
    probs = np.full((len(labels), 1), 0.4)
    scores = [score(probs, np.array(labels)[:, None]) for score in (average_precision, roc_auc)]
    scores.append(expected_calibration_error(probs, np.array(labels)[:, None]))
    assert tuple(bool(np.isfinite(score).all()) for score in scores) == defined


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError("No module named 'sklearn'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install auvmae\[ranking\]"):
        roc_auc(np.zeros((2, 1)), np.array([[0], [1]]))
