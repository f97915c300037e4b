"""Action units that depend on the person are given relative to a running quantile of the face's own logits."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from auvmae import AUDetector, AUVMAEForFrameAUClassification, AUVMAEImageProcessor
from auvmae.inference.calibration import REST
from auvmae.inference.people.running_baseline import QUANTILE, RunningBaseline

from ..support.tiny import randomise, tiny_config


def relative(probs, threshold):
    """The definition, frame by frame, from all frames so far."""
    logits = logit(probs)
    baselines = [np.quantile(logits[: end + 1], QUANTILE, method="inverted_cdf") for end in range(len(logits))]
    return expit(logits - baselines + logit(threshold) - REST)


def stream(tracks, values):
    for track, row in zip(tracks, values, strict=True):
        face = None if track is None else SimpleNamespace(track=track)
        yield SimpleNamespace(face=face), None if row is None else row


@pytest.mark.parametrize("per_face", [False, True])
def test_values_are_those_of_the_definition(per_face):
    generator = np.random.default_rng(0)
    tracks = generator.integers(2, size=300).tolist()
    values = generator.random((300, 2, 3)).round(6)
    values[:3, 0] = [[0, 1, 0.5]] * 3  # logits that would be infinite
    given = values.copy()
    baseline = RunningBaseline({0: 0.3, 2: 0.6}, per_face)
    found = np.array([row for _, row in baseline.apply(stream(tracks, values))])
    np.testing.assert_array_equal(values, given)
    np.testing.assert_array_equal(found[:, 1], values[:, 1])  # intensities
    np.testing.assert_array_equal(found[:, 0, 1], values[:, 0, 1])
    for track in (0, 1) if per_face else (None,):
        own = np.array([track in (None, one) for one in tracks])
        for column, threshold in ((0, 0.3), (2, 0.6)):
            expected = relative(values[own, 0, column].clip(5e-7, 1 - 5e-7), threshold)
            np.testing.assert_allclose(found[own, 0, column], expected, atol=1e-9)


def test_frames_without_a_face_are_skipped():
    rows = [np.full((1, 1), 0.9), None, np.full((1, 1), 0.9)]
    found = [row for _, row in RunningBaseline({0: 0.5}, False).apply(stream([0, None, 4], rows))]
    assert found[1] is None
    assert found[0] == found[2] == pytest.approx(expit(-REST))  # a face that does not change is neutral


def test_the_stream_is_closed_with_its_result():
    source = stream([0, 0], np.full((2, 1, 1), 0.5))
    result = RunningBaseline({0: 0.5}, False).apply(source)
    next(result)
    result.close()
    assert next(source, "closed") == "closed"


def detector(**options):
    torch.manual_seed(0)
    thresholds = [0.4, 0.5, 0.6]
    checks = {"AU1": "failed", "AU2": "passed", "AU12": "none"}
    fields = {"thresholds": thresholds, "au_checks": checks, "relative_aus": options.pop("relative", ["AU12", "AU1"])}
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(**fields)), 0.3)
    return AUDetector(model, AUVMAEImageProcessor(20), cropped=True, **options)


@pytest.mark.parametrize("all_aus", [False, True])
def test_the_detector_gives_what_the_configuration_names(all_aus):
    frames = np.random.default_rng(0).integers(0, 256, (30, 20, 20, 3), np.uint8)
    plain, own = detector(relative=None, all_aus=all_aus)(frames), detector(all_aus=all_aus)(frames)
    expected = plain.rows["probs"].copy()
    for name, threshold in [("AU12", 0.6), ("AU1", 0.4)][: 1 + all_aus]:
        column = own.au_names.index(name)
        expected[:, column] = relative(expected[:, column], threshold)
    assert np.abs(expected - plain.rows["probs"]).max() > 0.05
    np.testing.assert_allclose(own.rows["probs"], expected, atol=5e-6)
    assert plain.provenance["relative_aus"] == {}
    named = {"AU1": 0.4, "AU12": 0.6} if all_aus else {"AU12": 0.6}
    assert {name: one["threshold"] for name, one in own.provenance["relative_aus"].items()} == named
    live = detector(all_aus=all_aus)
    np.testing.assert_allclose(live.collect(live.stream(frames), frames).rows["probs"], own.rows["probs"], atol=5e-6)
    # a threshold of the caller decides what counts as present, and moves no probability
    np.testing.assert_array_equal(detector(all_aus=all_aus, threshold=0.9)(frames).rows["probs"], own.rows["probs"])
