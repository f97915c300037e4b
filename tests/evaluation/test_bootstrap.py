"""Test the vectorised bootstrap against a loop that joins the frames of the drawn subjects."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from auvmae.evaluation.bootstrap import bootstrap_scores, draw_subjects, percentile_interval
from auvmae.evaluation.metrics import accuracy_from_counts, counts_by_group

from ..support.random_predictions import random_predictions

FOLDS = [random_predictions(0, ("S1", "S2", "S3")), random_predictions(1, ("S4", "S5"))]


def counts_of(folds):
    return [counts_by_group(fold.probs, fold.labels, fold.subjects) for fold in folds]


def literal_f1(fold, weights):
    """Compute the F1 per AU over the frames of the subjects, each repeated as often as drawn."""
    probs, labels = [], []
    for subject, times in zip(sorted(set(fold.subjects)), weights, strict=True):
        for _ in range(times):
            probs.extend(fold.probs[fold.subjects == subject])
            labels.extend(fold.labels[fold.subjects == subject])
    probs, labels = np.array(probs), np.array(labels)
    coded = [labels[:, i] != -100 for i in range(4)]
    return [f1_score(labels[coded[i], i], probs[coded[i], i] > 0.5, zero_division=0) for i in range(4)]


def test_draws_equal_a_loop_over_the_same_draws():
    drawn = draw_subjects([3, 2], draws=20, seed=4)
    found = bootstrap_scores(counts_of(FOLDS), drawn)
    expected = [
        np.mean([literal_f1(fold, weights[draw]) for fold, weights in zip(FOLDS, drawn, strict=True)], axis=0)
        for draw in range(20)
    ]
    np.testing.assert_allclose(found, expected)
    assert len(np.unique(found[:, 0])) > 5


def test_every_subject_once_is_the_score_itself():
    counts = counts_of(FOLDS)
    once = [np.ones((1, len(part)), dtype=np.int64) for part in counts]
    expected = np.mean([accuracy_from_counts(part.sum(axis=0)) for part in counts], axis=0)
    np.testing.assert_allclose(bootstrap_scores(counts, once, accuracy_from_counts)[0], expected)


def test_draws_are_with_replacement_uniform_and_repeatable():
    drawn = draw_subjects([5, 1], seed=7)
    assert [weights.shape for weights in drawn] == [(10_000, 5), (10_000, 1)]
    assert (drawn[0].sum(axis=1) == 5).all()
    assert (drawn[1] == 1).all()
    np.testing.assert_allclose(drawn[0].mean(axis=0), 1, atol=0.05)
    assert (drawn[0] == 0).mean() == pytest.approx((4 / 5) ** 5, abs=0.02)
    np.testing.assert_array_equal(drawn[0], draw_subjects([5, 1], seed=7)[0])
    with pytest.raises(ValueError, match="at least one draw, found 0"):
        draw_subjects([5], draws=0)


def test_interval_holds_the_middle():
    scores = np.stack([np.arange(1001), 2.0 * np.arange(1001)], axis=1)
    np.testing.assert_allclose(percentile_interval(scores), [[25, 50], [975, 1950]])


def test_a_run_does_not_differ_from_itself():
    counts, drawn = counts_of(FOLDS), draw_subjects([3, 2], draws=100)
    assert not (bootstrap_scores(counts, drawn) - bootstrap_scores(counts, drawn)).any()
