"""Test the scores of intensities against SciPy, the analysis of variance, and published values."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import pearsonr

from auvmae.evaluation.comparison import compare
from auvmae.evaluation.experiments import Experiment
from auvmae.evaluation.intensity_metrics import (
    INTENSITY_METRICS,
    frame_intensities,
    icc,
    intensity_scores,
    mean_over_aus,
)
from auvmae.evaluation.saved_predictions import FoldPredictions
from auvmae.evaluation.summary import summary_tables

from ..support.random_predictions import random_predictions, with_intensities, without_occurrences

SHROUT_AND_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
"""Their Table 2: six targets, four judges."""


def anova_icc(ratings):
    """ICC(3,1) from the table of the two-way analysis of variance, by loops over (targets, raters)."""
    targets, raters = ratings.shape
    grand = ratings.mean()
    between = raters * sum((row.mean() - grand) ** 2 for row in ratings) / (targets - 1)
    residual = sum(
        (ratings[i, j] - ratings[i].mean() - ratings[:, j].mean() + grand) ** 2
        for i in range(targets)
        for j in range(raters)
    ) / ((targets - 1) * (raters - 1))
    return (between - residual) / (between + (raters - 1) * residual)


@pytest.fixture
def graded():
    draw = np.random.default_rng(0)
    coded = draw.integers(0, 6, (200, 4)).astype(np.float32)
    predicted = np.clip(coded + draw.normal(0, 1, coded.shape), 0, 5).astype(np.float32)
    coded[draw.random(coded.shape) < 0.2] = np.nan
    coded[:50] = np.nan
    return predicted, coded


def test_the_oracle_gives_the_published_value():
    assert round(anova_icc(SHROUT_AND_FLEISS), 2) == 0.71


def test_two_of_the_published_judges():
    first, second = SHROUT_AND_FLEISS[:, [0]], SHROUT_AND_FLEISS[:, [1]]
    assert icc(first, second)[0] == pytest.approx(anova_icc(SHROUT_AND_FLEISS[:, :2]))


def test_every_score_is_that_of_its_oracle_over_the_coded_frames(graded):
    predicted, coded = graded
    found = {name: score(predicted, coded) for name, (_, score) in INTENSITY_METRICS.items()}
    for column in range(4):
        used = np.isfinite(coded[:, column])
        ours, theirs = (values[used, column].astype(np.float64) for values in (predicted, coded))
        assert found["icc"][column] == pytest.approx(anova_icc(np.stack([ours, theirs], axis=1)))
        assert found["pearson"][column] == pytest.approx(pearsonr(ours, theirs).statistic)
        assert found["mae"][column] == pytest.approx(np.mean(np.abs(ours - theirs)))
        assert found["mse"][column] == pytest.approx(np.mean((ours - theirs) ** 2))


def test_an_offset_lowers_no_correlation_and_a_scale_lowers_the_icc():
    coded = np.arange(6.0)[:, None]
    assert icc(coded - 1, coded)[0] == pytest.approx(1)
    assert icc(coded / 2, coded)[0] == pytest.approx(0.8)
    scores = intensity_scores(coded / 2, coded, ["AU12"])
    assert scores["pearson"] == pytest.approx(1)


def test_what_is_undefined_is_nan_and_in_no_mean():
    nothing, constant = np.full(4, np.nan), np.full(4, 0.1)
    varied = np.array([0.0, 1, 2, 3])
    coded = np.stack([nothing, constant, varied, varied, np.array([1, np.nan, np.nan, np.nan])], axis=1)
    predicted = np.stack([varied, constant, constant, varied, varied], axis=1)
    names = ["AU1", "AU2", "AU4", "AU6", "AU9"]
    found = {name: score(predicted, coded) for name, (_, score) in INTENSITY_METRICS.items()}
    np.testing.assert_allclose(found["icc"], [np.nan, np.nan, 0, 1, np.nan])
    np.testing.assert_allclose(found["pearson"], [np.nan, np.nan, np.nan, 1, np.nan])
    np.testing.assert_allclose(found["mae"], [np.nan, 0, 1.4 + 0.05, 0, 1])
    scores = intensity_scores(predicted, coded, names)
    assert scores["icc"] == pytest.approx(0.5)
    assert {name for name in scores if name.startswith("icc")} == {"icc", "icc_AU4", "icc_AU6"}
    assert np.isnan(mean_over_aus(nothing))
    assert intensity_scores(predicted[:, :1], coded[:, :1], ["AU1"]) == {}


def test_logits_become_intensities_and_wrong_shapes_an_error():
    np.testing.assert_allclose(frame_intensities(np.array([-100.0, 0, 100])), [0, 2.5, 5])
    with pytest.raises(ValueError, match=r"predicted and coded must be \(frames, 2\)"):
        intensity_scores(np.zeros((3, 2)), np.zeros((3, 1)), ["AU1", "AU2"])


GRADED = with_intensities(random_predictions(1, ("S1", "S2"), fold=1))


@pytest.mark.parametrize("change", [lambda one: one, without_occurrences])
def test_the_file_of_predictions_keeps_what_was_trained(tmp_path, change):
    predictions = change(GRADED)
    found = FoldPredictions.load(predictions.save(tmp_path))
    for name in ("probs", "labels", "intensities", "coded_intensities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(predictions, name))
    names = pq.read_table(tmp_path / "predictions.parquet").column_names
    assert ("prob_AU1" in names) == found.has_occurrences
    assert {"intensity_AU1", "coded_intensity_AU6"} <= set(names)


def test_impossible_intensities_are_named():
    for name, value in (("intensities", np.nan), ("coded_intensities", 5.5)):
        values = getattr(GRADED, name).copy()
        values[0, 1] = value
        with pytest.raises(ValueError, match=rf"must be in \[0, 5\]; found {value} for AU2 in frame 0 of S1 a.mp4"):
            replace(GRADED, **{name: values})
    with pytest.raises(ValueError, match=r"intensities must be .* found"):
        replace(GRADED, intensities=GRADED.intensities[:, :3])


def test_tables_of_intensities_average_the_aus_that_have_any():
    folds = [GRADED, with_intensities(random_predictions(2, ("S3",), fold=2))]
    tables = {table.name: table for table in summary_tables(folds, draws=10)}
    assert list(tables) == [f"synthetic_{kind}" for kind in ("f1", "accuracy", *INTENSITY_METRICS, "averages")]
    table = tables["synthetic_mae"]
    errors = [np.abs(fold.intensities - fold.coded_intensities)[:, :3] for fold in folds]
    expected = np.mean([np.nanmean(error, axis=0) for error in errors], axis=0)
    np.testing.assert_allclose(table.rows[0].values, [*expected, np.nan, expected.mean()], rtol=1e-6)
    assert f"{expected[0]:.3f} & " in table.latex()
    assert f",{expected[0]:.4f}," in table.csv()
    assert "MAE on synthetic, intensities 0 to 5" in table.markdown()
    assert "no frame has a coded intensity" in table.markdown()


def test_runs_share_only_the_tables_of_what_they_trained():
    only, both, plain = without_occurrences(GRADED), GRADED, random_predictions(3, ("S1", "S2"))
    rows = {table.name: len(table.rows) for table in summary_tables([only, both, plain], draws=10)}
    assert rows == {f"synthetic_{name}": 2 for name in ("f1", "accuracy", *INTENSITY_METRICS, "averages")}
    assert [table.name for table in summary_tables([only])] == [f"synthetic_{name}" for name in INTENSITY_METRICS]
    with pytest.raises(ValueError, match="no run on synthetic trained intensities, so there is no icc"):
        summary_tables([plain], ["icc"])
    with pytest.raises(ValueError, match="no run on synthetic trained occurrences, so there is no f1"):
        summary_tables([only], ["f1"])
    with pytest.raises(ValueError, match="trained with --target intensity, so there is no F1"):
        compare(Experiment([only]), Experiment([plain]))
