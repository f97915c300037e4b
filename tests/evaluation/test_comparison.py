"""Test the paired bootstrap against a loop over draws of subjects, and what cannot be compared."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from auvmae.cli.main import main
from auvmae.evaluation.bootstrap import draw_subjects, percentile_interval
from auvmae.evaluation.comparison import compare
from auvmae.evaluation.experiments import Experiment

from ..support.random_predictions import NAMES, random_predictions

SUBJECTS = ("S1", "S2", "S3"), ("S4", "S5")


def experiment(seed, skill, deal=SUBJECTS, **run):
    return Experiment(
        [random_predictions(seed + i, subjects, skill, fold=i + 1, **run) for i, subjects in enumerate(deal)]
    )


def literal_f1(fold, weights, thresholds):
    """Compute the F1 per AU, and its mean, over the frames of the subjects, each repeated as often as drawn."""
    rows = np.concatenate(
        [np.flatnonzero(fold.subjects == name) for name in np.repeat(np.unique(fold.subjects), weights)]
    )
    scores = []
    for column, threshold in enumerate(thresholds):
        coded = rows[fold.labels[rows, column] != -100]
        called = fold.probs[coded, column] > threshold
        scores.append(f1_score(fold.labels[coded, column], called, zero_division=0))
    return np.array([*scores, np.mean(scores)])


@pytest.mark.medium
def test_differences_equal_a_loop_over_the_same_draws():
    first, second = experiment(0, 0.2, thresholds=[0.3, 0.5, 0.5, 0.5]), experiment(5, 0.2)
    drawn = draw_subjects([3, 2], 30, seed=2)
    scores = [
        [
            np.mean([literal_f1(*pair, thresholds) for pair in zip(one.folds, weights, strict=True)], axis=0)
            for weights in [(np.ones(3, int), np.ones(2, int)), *zip(*drawn, strict=True)]
        ]
        for one, thresholds in ((first, [0.3, 0.5, 0.5, 0.5]), (second, [0.5] * 4))
    ]
    differences = np.array(scores[0][1:]) - np.array(scores[1][1:])
    found = compare(first, second, draws=30, seed=2)
    np.testing.assert_allclose(found.first, scores[0][0])
    np.testing.assert_allclose(found.second, scores[1][0])
    np.testing.assert_allclose(found.interval, percentile_interval(differences), atol=1e-12)
    np.testing.assert_allclose(found.wins, (np.sign(differences) + 1).mean(axis=0) / 2)
    assert 0 < found.wins[-1] < 1
    assert (found.num_folds, found.num_subjects, found.num_frames) == (2, 5, 600)


def test_the_two_sides_mirror_each_other():
    better, worse = experiment(0, 0.4), experiment(5, 0.2)
    forth, back = compare(better, worse, draws=100), compare(worse, better, draws=100)
    np.testing.assert_allclose(back.interval, -forth.interval[::-1], atol=1e-12)
    np.testing.assert_allclose(back.wins, 1 - forth.wins)
    assert forth.wins[-1] == 1
    assert forth.interval[0, -1] > 0


def test_a_run_and_itself_are_a_draw():
    found = compare(experiment(0, 0.2), experiment(0, 0.2), draws=50)
    assert not found.interval.any()
    assert (found.wins == 0.5).all()


def test_only_shared_subjects_and_aus_count_whatever_their_order():
    first, second = experiment(0, 0.3), experiment(5, 0.2)
    order = [2, 0, 1]
    fewer = Experiment(
        [
            replace(fold, au_names=[NAMES[i] for i in order], probs=fold.probs[:, order], labels=fold.labels[:, order])
            for fold in second.folds[:1]
        ]
    )
    found = compare(first, fewer, draws=50)
    expected = compare(Experiment(first.folds[:1]), Experiment(second.folds[:1]), draws=50)
    assert found.au_names == NAMES[:3]
    assert found.num_subjects == 3
    np.testing.assert_allclose(found.interval[:, :3], expected.interval[:, :3])
    np.testing.assert_allclose(found.second[:3], expected.second[:3])
    np.testing.assert_allclose(found.second[3], expected.second[:3].mean())


def test_other_folds_are_pooled_and_other_numbers_are_not():
    first = experiment(0, 0.3)
    assert compare(first, experiment(5, 0.2, deal=SUBJECTS[::-1]), draws=10).num_folds == 2
    pooled = compare(first, experiment(5, 0.2, deal=(("S1", "S2"), ("S3", "S4", "S5"))), draws=10)
    assert pooled.num_folds == 1
    labels, probs = (
        np.concatenate([getattr(fold, name)[:, 0] for fold in first.folds]) for name in ("labels", "probs")
    )
    assert pooled.first[0] == pytest.approx(f1_score(labels[labels != -100], probs[labels != -100] > 0.5))


def test_a_recording_is_the_same_as_avi_and_as_its_crop():
    first = experiment(0, 0.3)
    raw = [replace(fold, videos=np.char.replace(fold.videos, ".mp4", ".AVI")) for fold in first.folds]
    assert compare(first, Experiment(raw), draws=10).num_frames == 600


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda fold: {"frames": fold.frames + 1},
            r"different frames .* 40 frames are in only one, e.g. frame 0 of S1 a in the f",
        ),
        (lambda fold: {"labels": np.abs(fold.labels % 2)}, r"the labels of \d+ frames differ .* of S1 a"),
        (lambda fold: {"au_names": ["AU5", "AU7", "AU9", "AU10"]}, "the two runs share no AU"),
        (lambda fold: {"subjects": np.char.add("T", fold.subjects)}, "the two runs share no subject"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    first = experiment(0, 0.3)
    other = Experiment([replace(fold, **change(fold)) for fold in first.folds])
    with pytest.raises(ValueError, match=message):
        compare(first, other)


def test_the_command_prints_the_table(tmp_path, capsys):
    for name, one in (("a", experiment(0, 0.4)), ("b", experiment(5, 0.2, tuned_on_test=["epoch"]))):
        for fold in one.folds:
            fold.save(tmp_path / name / f"fold{fold.run['fold']}")
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--draws", "100"]) == 0
    printed = capsys.readouterr().out
    found = compare(experiment(0, 0.4), experiment(5, 0.2), draws=100)
    low, high = 100 * found.interval[:, -1]
    macro = [cell.strip() for cell in printed.splitlines()[-1].strip("|").split("|")]
    difference = found.first[-1] - found.second[-1]
    assert macro[0] == "macro F1"
    assert macro[3:] == [f"{100 * difference:+.1f}", f"[{low:+.1f}, {high:+.1f}]", "100.0 %"]
    assert "5 subjects, 600 frames, 100 draws" in printed
    assert ["TUNED ON TEST DATA: epoch" in line for line in printed.splitlines()[:2]] == [False, True]


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    one, other = experiment(0, 0.4), experiment(5, 0.2, level="frame")
    one.folds[0].save(tmp_path / "mixed" / "a")
    other.folds[0].save(tmp_path / "mixed" / "b")
    assert main(["compare", str(tmp_path / "mixed"), str(tmp_path / "mixed" / "a")]) == 2
    assert "mixed contains runs with different settings. Choose one of them" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "mixed" / "a"), str(tmp_path / "nowhere")]) == 2
    assert "There is no" in capsys.readouterr().err
