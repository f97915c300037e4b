"""Test that the benchmark of neutral baselines pools what it says."""

import numpy as np
import pytest

from auvmae.inference.calibration import baseline_shift, shift_probs


@pytest.fixture
def benchmark(script):
    return script("calibration")


@pytest.fixture
def videos(benchmark):
    rng = np.random.default_rng(0)
    return [
        benchmark.Video(person, rng.random((12, 2)), (rng.random((12, 2)) < share).astype(int), np.arange(12) < neutral)
        for person, share, neutral in (("anna", 0.9, 0), ("anna", 0.1, 4), ("ben", 0.2, 0))
    ]


@pytest.mark.parametrize("quantile", [None, 0.1])
@pytest.mark.parametrize("pooled", [True, False])
def test_a_baseline_is_that_of_its_person_or_file(benchmark, videos, quantile, pooled):
    way = benchmark.Way(quantile, pooled)
    for video, found in zip(videos, way.calibrate(videos, [0.5, 0.5]), strict=True):
        own = [one for one in videos if one is video or (pooled and one.person == video.person)]
        told = np.concatenate([one.probs if quantile else one.probs[one.neutral] for one in own])
        expected = video.probs
        if len(told):
            expected = shift_probs(video.probs, baseline_shift(told, [0.5, 0.5], quantile))
        np.testing.assert_array_equal(found, expected)


def test_the_broken_assumption_takes_videos_that_mostly_show_the_action_unit(benchmark, videos):
    assert [(column, [one.person for one in chosen]) for column, chosen in benchmark.mostly_present(videos, 2)] == [
        (0, ["anna"]),
        (1, ["anna"]),
    ]
