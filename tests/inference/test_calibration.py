"""Test that the neutral baseline is subtracted in logits, against literal sums, and can be restored bit by bit."""

import json

import numpy as np
import pandas
import pytest

from auvmae.inference.calibration import REST, Calibration
from auvmae.inference.prediction import provenance_path

from .test_prediction import collect

THRESHOLDS = np.array([0.5, 0.3, 0.9])  # of `collect`


def logit(probs):
    return np.log(probs / (1 - probs))


def person(seed=0):
    """Ten frames of face 0 (five neutral, five not), three without, ten of face 1; the third AU is never present."""
    rng = np.random.default_rng(seed)
    rest = np.array([0.55, 0.2, 1e-3])
    probs = np.concatenate([np.tile(rest, (5, 1)) + rng.uniform(-5e-4, 5e-4, (5, 3)), rng.uniform(0.6, 0.95, (5, 3))])
    tracks = [(n, 0) for n in range(10)] + [(10, None), (11, None), (12, None)] + [(n, 1) for n in range(13, 23)]
    return collect(tracks, np.concatenate([probs, np.full((3, 3), np.nan), probs[::-1] * 0.9]))


def expected_shift(logits):
    return np.maximum(logits - (logit(THRESHOLDS) - REST), 0)


def test_a_neutral_stretch_comes_off_in_logits():
    raw = person()
    found = raw.calibrated(Calibration(neutral=(0.0, 0.5)))
    shift = expected_shift(logit(raw.rows["probs"][:5]).mean(axis=0))
    assert (shift[:2] > 0).all()
    assert shift[2] == 0
    own = raw.success
    np.testing.assert_allclose(
        logit(found.rows["probs"][own]), logit(raw.rows["probs"][own]) - shift, atol=2e-5, rtol=1e-4
    )
    # the neutral face now lies at its target, and an AU far below the threshold is unchanged
    at_rest = logit(found.rows["probs"][:5]).mean(axis=0)
    np.testing.assert_allclose(at_rest[:2], (logit(THRESHOLDS) - REST)[:2], atol=1e-4)
    np.testing.assert_array_equal(found.rows["probs"][own, 2], raw.rows["probs"][own, 2])
    assert not found.occurrence[:5].any()
    assert raw.occurrence[:5, 0].all()


def test_a_low_quantile_comes_off_in_logits():
    raw = person()
    found = raw.calibrated(Calibration(quantile=0.1))
    shift = expected_shift(np.quantile(logit(raw.rows["probs"][raw.success]), 0.1, axis=0))
    np.testing.assert_allclose(list(found.provenance["logits_taken_off"].values()), [shift, shift], atol=1e-6)


def test_faces_have_baselines_of_their_own():
    raw = person()
    found = raw.calibrated(Calibration(quantile=0.2, per_face=True))
    for face in (0, 1):
        logits = logit(raw.rows["probs"][raw.rows["face_id"] == face])
        shift = expected_shift(np.quantile(logits, 0.2, axis=0))
        np.testing.assert_allclose(found.provenance["logits_taken_off"][str(face)], shift, atol=1e-6)
    # a face outside the neutral interval is unchanged
    found = raw.calibrated(Calibration(neutral=(0.0, 0.5), per_face=True))
    assert list(found.provenance["logits_taken_off"]) == ["0"]
    later = raw.rows["face_id"] == 1
    np.testing.assert_array_equal(found.rows["probs"][later], raw.rows["probs"][later])


def test_it_can_be_taken_back_and_done_anew():
    raw = person()
    found = raw.calibrated(Calibration(quantile=0.3))
    back = found.uncalibrated()
    assert back.rows.dtype == raw.rows.dtype
    assert back.rows.tobytes() == raw.rows.tobytes()
    assert back.provenance == raw.provenance | {"calibration": None}
    assert raw.uncalibrated() is raw
    twice = found.calibrated(Calibration(quantile=0.3))
    assert twice.rows.tobytes() == found.rows.tobytes()


def test_the_table_has_both_and_they_agree(tmp_path):
    raw = person()
    path = raw.calibrated(Calibration(neutral=(0, 0.5))).save(tmp_path / "a.csv")
    table = pandas.read_csv(path)
    np.testing.assert_array_equal(table[["AU01_raw", "AU12_raw", "smile_raw"]], raw.rows["probs"])
    for name, threshold in zip(["AU01", "AU12", "smile"], THRESHOLDS, strict=True):
        own = table.success == 1
        assert (table[f"{name}_c"][own] == (table[f"{name}_p"][own] >= threshold)).all()
        assert (table[f"{name}_p"][own] <= table[f"{name}_raw"][own]).all()  # nothing is ever added
    provenance = json.loads(provenance_path(path).read_text())
    assert provenance["calibration"] == {"neutral": [0, 0.5], "quantile": None, "per_face": False, "rest": REST}


def test_probabilities_of_0_and_1_have_logits_too():
    found = collect([(0, 0), (1, 0)], [[0, 1, 0], [1, 0, 1]]).calibrated(Calibration(quantile=0.5))
    assert np.isfinite(found.rows["probs"]).all()


def test_what_cannot_be_is_refused():
    for wrong, message in (
        ({}, "exactly one of neutral and quantile"),
        ({"neutral": (0, 1), "quantile": 0.1}, "exactly one of neutral and quantile"),
        ({"neutral": (2, 1)}, "START < STOP"),
        ({"quantile": 0}, r"quantile must lie in \(0, 1\), found 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Calibration(**wrong)
    with pytest.raises(
        ValueError, match=r"a\.mp4 shows no face from 1 to 1.3 s \(its clock begins at 0.00 s and ends at 2.20 s\)"
    ):
        person().calibrated(Calibration(neutral=(1.0, 1.3)))
    without_clock = collect([(0, 0)], timestamp=[np.nan])
    with pytest.raises(ValueError, match=r"a\.mp4 has no timestamps: calibrate by a quantile"):
        without_clock.calibrated(Calibration(neutral=(0, 1)))
