"""Test event counts against sets of frames and the best one-to-one matching."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from auvmae.evaluation.metrics import event_counts, f1_from_counts

from ..support.random_predictions import random_predictions


def literal_events(active, coded, recordings, frames):
    """List each event as the set of its (recording, frame)."""
    events, before = [], None
    for is_active, is_coded, *here in zip(active, coded, recordings, frames, strict=True):
        if is_active and is_coded:
            if before is None or before != [here[0], here[1] - 1]:
                events.append(set())
            events[-1].add(tuple(here))
            before = here
        else:
            before = None
    return events


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_the_best_matching_of_sets(seed):
    generator = np.random.default_rng(seed)
    labels = np.repeat(generator.integers(0, 2, (150, 2)), 2, axis=0).astype(np.int8)
    predicted = np.where(generator.random((300, 2)) < 0.2, 1 - labels, labels).astype(bool)
    labels[generator.random((300, 2)) < 0.1] = -100
    recordings = np.repeat(np.arange(3), 100)
    frames = np.tile(np.sort(generator.choice(110, 100, replace=False)), 3)
    found = event_counts(predicted, labels, recordings, frames)
    for column in range(2):
        present, coded = labels[:, column] == 1, labels[:, column] != -100
        guesses, truths = (
            literal_events(active, coded, recordings, frames) for active in (predicted[:, column], present)
        )
        right = np.array([[len(guess & truth) / len(guess | truth) >= 0.5 for truth in truths] for guess in guesses])
        matched = right[linear_sum_assignment(right, maximize=True)].sum()
        assert found[:, column].tolist() == [matched, len(guesses) - matched, len(truths) - matched]
        assert 0 < matched < len(truths)


@pytest.mark.parametrize(
    ("labels", "predicted", "expected"),
    [
        ("0110", "0110", (1, 0, 0)),
        ("0110", "1111", (1, 0, 0)),  # IoU exactly 0.5
        ("0110", "11111", (0, 1, 1)),
        ("0111110", "0110110", (0, 2, 1)),  # two predictions with an IoU of 2/5 each
        ("011-110", "0111110", (2, 0, 0)),  # a frame that is not coded splits both
        ("0-0", "111", (0, 2, 0)),
        ("---", "111", (0, 0, 0)),
        ("000", "000", (0, 0, 0)),
        ("", "", (0, 0, 0)),
    ],
)
def test_events_by_hand(labels, predicted, expected):
    truth = np.array([{"0": 0, "1": 1, "-": -100}[label] for label in labels.ljust(len(predicted), "0")], dtype=np.int8)
    guess = np.array([call == "1" for call in predicted], dtype=bool)
    counts = event_counts(guess[:, None], truth[:, None], np.zeros(len(truth)), np.arange(len(truth)))
    assert tuple(counts[:, 0].tolist()) == expected


def test_a_missing_frame_and_a_new_recording_part_events():
    active = np.ones((6, 1), dtype=bool)
    counts = event_counts(active, active.astype(np.int8), np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 3, 4, 5, 6]))
    assert counts[:, 0].tolist() == [3, 0, 0]


def test_the_truth_scores_one_and_an_absent_au_is_nan():
    predictions = random_predictions()
    counts = event_counts(predictions.labels == 1, predictions.labels, predictions.recordings, predictions.frames)
    np.testing.assert_array_equal(f1_from_counts(counts, undefined=np.nan), [1, 1, 1, np.nan])
