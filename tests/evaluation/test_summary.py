"""Test the tables against scikit-learn on the frames, and their rows and notes."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from auvmae.cli.main import main
from auvmae.evaluation.bootstrap import bootstrap_scores, draw_subjects, percentile_interval
from auvmae.evaluation.experiments import Experiment
from auvmae.evaluation.fold_metrics import METRICS, f1_by_subject, fold_counts
from auvmae.evaluation.intensity_metrics import INTENSITY_METRICS
from auvmae.evaluation.metrics import event_counts, f1_averages
from auvmae.evaluation.published import PUBLISHED
from auvmae.evaluation.summary import averages_table, score_table, subjects_table, summary_tables
from auvmae.knowledge.facs import DISFA_AUS, au_label

from ..support.random_predictions import NAMES, random_predictions

FOLDS = [random_predictions(1, ("S1", "S2"), fold=1), random_predictions(2, ("S3", "S4", "S5"), fold=2)]
OURS = Experiment(FOLDS)


def as_disfa(predictions):
    """Repeat the four AUs side by side as the eight AUs of DISFA."""
    probs, labels = (np.concatenate([values, values], axis=1) for values in (predictions.probs, predictions.labels))
    names = [au_label(au) for au in DISFA_AUS]
    run = predictions.run | {"dataset": "disfa", "au_names": names}
    return replace(predictions, au_names=names, probs=probs, labels=labels, run=run)


def literal(score, fold, column):
    coded = fold.labels[:, column] != -100
    return score(fold.labels[coded, column], fold.probs[coded, column])


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ("f1", lambda labels, probs: f1_score(labels, probs > 0.5, zero_division=0)),
        ("accuracy", lambda labels, probs: accuracy_score(labels, probs > 0.5)),
    ],
)
def test_scores_are_means_over_folds_then_aus(metric, score):
    table = score_table([OURS], metric, draws=200, seed=3)
    expected = np.mean([[literal(score, fold, column) for column in range(4)] for fold in FOLDS], axis=0)
    (row,) = table.rows
    np.testing.assert_allclose(row.values, [*expected, expected.mean()])
    assert row.interval[0] < row.values[-1] < row.interval[1]
    assert (table.name, table.columns) == (f"synthetic_{metric}", [*NAMES, "Avg."])
    assert any("200 draws of the test subjects" in note for note in table.notes)
    assert not any("thresholds" in note for note in table.notes)
    tuned = Experiment([random_predictions(thresholds=[0.3] * 4)])
    assert any("Computed at the thresholds of each run" in note for note in score_table([tuned], metric, 10).notes)


def test_the_interval_is_that_of_the_average():
    drawn = draw_subjects([2, 3], 200, seed=3)
    means = bootstrap_scores(OURS.subject_counts(), drawn).mean(axis=1)
    np.testing.assert_allclose(score_table([OURS], "f1", 200, 3).rows[0].interval, percentile_interval(means))


@pytest.mark.parametrize("metric", ["f1", "accuracy"])
def test_published_rows_stand_beside_ours_for_their_data_set_only(metric):
    experiment = Experiment([as_disfa(fold) for fold in FOLDS])
    table = score_table([experiment], metric, draws=10)
    published = PUBLISHED["disfa", metric].rows
    assert [row.source for row in table.rows] == ["published"] * len(published) + ["computed"]
    for row, (method, values) in zip(table.rows, published.items(), strict=False):
        assert row.method == method
        np.testing.assert_allclose(np.multiply(row.values, 100), values)
    assert {row.source for row in score_table([OURS], metric, draws=10).rows} == {"computed"}
    assert len(score_table([experiment], "roc_auc").rows) == 1

    others = Experiment([replace(fold, run=fold.run | {"dataset": "disfa"}) for fold in FOLDS])
    table = score_table([others], metric, draws=10)
    assert len(table.rows) == 1
    assert "The published rows are omitted because they cover other AUs." in table.notes


def test_an_absent_au_is_told_and_nan_is_not_averaged_away():
    assert any(
        "Present in no coded frame of a fold: AU6." in note for note in score_table([OURS], "f1", draws=10).notes
    )
    table = score_table([OURS], "roc_auc")
    expected = np.mean([[literal(roc_auc_score, fold, column) for column in range(3)] for fold in FOLDS], axis=0)
    np.testing.assert_allclose(table.rows[0].values, [*expected, np.nan, np.nan])
    assert any(note.startswith("nan means undefined") for note in table.notes)


def test_averages_are_every_metric_as_one_number():
    table = averages_table([OURS], list(METRICS))
    found = dict(zip(table.columns, table.rows[0].values, strict=True))
    counts = f1_averages(np.stack([fold_counts(fold) for fold in FOLDS]))
    assert found["macro F1, fold mean"] == counts["macro_fold_mean"]
    assert found["micro F1, pooled"] == counts["micro_pooled"]
    for metric, (title, _) in [pair for pair in METRICS.items() if pair[0] not in INTENSITY_METRICS]:
        if metric != "f1":
            assert found[title] == pytest.approx(score_table([OURS], metric, draws=10).rows[0].values[-1], nan_ok=True)
    assert averages_table([OURS], ["accuracy", "f1"]).columns == table.columns[:5]


def test_event_f1_is_of_the_events_at_the_thresholds_of_the_run():
    fold = random_predictions(thresholds=[0.3] * 4)
    matched, extra, missed = event_counts(fold.probs > 0.3, fold.labels, fold.recordings, fold.frames)
    np.testing.assert_allclose(METRICS["event_f1"][1](fold), 2 * matched / (2 * matched + extra + missed))


def test_subject_f1_leaves_out_subjects_without_the_au_and_only_those():
    fold = random_predictions()
    first = fold.subjects == "S1"
    fold.labels[first, 2] = fold.probs[first, 2] = 0
    scores = f1_by_subject(fold)
    assert np.isnan(scores).tolist() == [[False, False, True, False], [False] * 4, [False] * 4]
    expected = [*scores[:, :2].mean(axis=0), scores[1:, 2].mean(), 0]
    np.testing.assert_allclose(METRICS["subject_f1"][1](fold), expected)
    fold.probs[:, 3] = 0
    assert np.isnan(METRICS["subject_f1"][1](fold)[3])


def test_subjects_table_has_a_row_per_test_subject():
    table = subjects_table([OURS])
    assert [row.method[:2] for row in table.rows] == ["S1", "S2", "S3", "S4", "S5"]
    coded = FOLDS[0].labels[FOLDS[0].subjects == "S1"] != -100
    labels, probs = (values[FOLDS[0].subjects == "S1"][coded] for values in (FOLDS[0].labels, FOLDS[0].probs))
    assert table.rows[0].values[-1] == pytest.approx(f1_score(labels, probs > 0.5))
    np.testing.assert_array_equal(table.rows[0].values[:-1], f1_by_subject(FOLDS[0])[0])


def test_repetitions_have_their_mean_and_standard_deviation():
    """Every repetition, with the same subjects in other folds, is scored as a separate experiment."""
    splits = [(("S1", "S2"), ("S3", "S4")), (("S1", "S3"), ("S2", "S4")), (("S1", "S4"), ("S2", "S3"))]
    runs = [
        random_predictions(10 * repetition + number, subjects, fold=number, repetition=repetition, loss=loss)
        for loss in ({"intra": 1}, {"intra": 0})
        for repetition, folds in enumerate(splits)
        for number, subjects in enumerate(folds, 1)
    ]
    tables = summary_tables(runs, ["f1"], draws=10)
    for table in tables:
        assert len(table.rows) == 6 + 4
        for half, name in enumerate(("loss.intra=1", "loss.intra=0")):
            values = [row.values for row in table.rows[3 * half : 3 * half + 3]]
            mean, deviation = table.rows[6 + 2 * half : 8 + 2 * half]
            np.testing.assert_allclose(mean.values, np.mean(values, axis=0))
            np.testing.assert_allclose(deviation.values, np.std(values, axis=0, ddof=1))
            over = "over 3 repetitions (not the published protocol)"
            assert mean.method == f"auvmae, video level, folds 1+2, {name}: mean {over}"
            assert deviation.method == f"auvmae, video level, folds 1+2, {name}: standard deviation {over}"
    (only,) = summary_tables(runs[2:4], ["f1"], draws=10)[0].rows
    assert "repetition 1 (resplit, not the published folds)" in only.method


def test_different_aus_do_not_fit_into_one_table():
    with pytest.raises(ValueError, match="summarise them separately"):
        score_table([OURS, Experiment([as_disfa(FOLDS[0])])], "f1")


def test_the_command_prints_and_writes_every_table(tmp_path, capsys):
    for predictions in FOLDS:
        predictions.save(tmp_path / "synthetic" / f"fold{predictions.run['fold']}")
    tuned = as_disfa(FOLDS[0])
    replace(tuned, run=tuned.run | {"tuned_on_test": ["epoch"]}).save(tmp_path / "disfa")
    folders = [str(tmp_path / name) for name in ("synthetic", "disfa")]
    argv = ["summarize", *folders, "--draws", "50", "--metrics", "all", "--by_subject", "-o", str(tmp_path / "out")]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    kinds = sorted([*(METRICS.keys() - INTENSITY_METRICS.keys()), "averages", "subjects"])
    names = [f"{dataset}_{kind}" for dataset in ("disfa", "synthetic") for kind in kinds]
    assert sorted({path.stem for path in (tmp_path / "out").iterdir()}) == names
    for name in names:
        text = (tmp_path / "out" / f"{name}.md").read_text()
        assert text in printed
        for suffix in ("md", "csv", "tex"):
            lines = (tmp_path / "out" / f"{name}.{suffix}").read_text().splitlines()
            computed = [line for line in lines if "computed" in line]
            assert computed
            assert all(("TUNED ON TEST DATA: epoch" in line) == ("disfa" in name) for line in computed)


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    assert main(["summarize", str(tmp_path)]) == 2
    assert "There is no" in capsys.readouterr().err
    path = str(FOLDS[0].save(tmp_path))
    assert main(["summarize", path, "--metrics", "f2"]) == 2
    assert "there is no metric f2; choose from f1, accuracy" in capsys.readouterr().err
    assert main(["summarize", path, path]) == 2
    assert "give one run per fold" in capsys.readouterr().err
