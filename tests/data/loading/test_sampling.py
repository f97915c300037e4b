"""Test the order of clips and the oversampling of rare ones."""

import math

import numpy as np
import pytest

from auvmae.configuration import Level
from auvmae.data.loading.sampling import ClipSampler, rare_au_weights


class Numbers:
    """Imitate the attributes of `LevelClips` that the sampler reads."""

    def __init__(self, length: int, levels: int = 1) -> None:
        self.length, self.epoch = length, 0
        self.levels = [Level(1, number / 10) for number in range(levels)]

    def __len__(self) -> int:
        return self.length


def test_every_clip_comes_once_and_the_last_step_is_filled_up() -> None:
    order = [index for index, _ in ClipSampler(Numbers(10), step_size=4)]
    assert len(order) == len(ClipSampler(Numbers(10), step_size=4)) == 12
    assert sorted(order[:10]) == list(range(10))
    assert order[10:] == order[:2]


@pytest.mark.medium
def test_order_and_levels_follow_seed_and_epoch() -> None:
    numbers = Numbers(40, levels=3)
    first = list(ClipSampler(numbers, 4, seed=1))
    assert first == list(ClipSampler(numbers, 4, seed=1))
    assert first != list(ClipSampler(numbers, 4, seed=2))
    numbers.epoch = 1
    assert first != list(ClipSampler(numbers, 4, seed=1))
    for start in range(0, 40, 4):
        assert len({level for _, level in first[start : start + 4]}) == 1


def test_weights_against_a_loop() -> None:
    generator = np.random.default_rng(0)
    labels = [(generator.random((9, 5)) < 0.06).astype(np.int64) for _ in range(30)]
    labels[0][:] = -100
    labels[1][:] = 0
    expected = []
    for clip in labels:
        weight = 1.0
        for au in range(5):
            share = sum(1 in other[:, au].tolist() for other in labels) / len(labels)
            if 1 in clip[:, au].tolist():
                weight = max(weight, 1 / math.sqrt(share))
        expected.append(weight)
    assert rare_au_weights(labels).tolist() == pytest.approx(expected)
    assert expected[:2] == [1, 1]
    assert max(expected) > 1.2


def test_clips_are_drawn_as_often_as_they_weigh() -> None:
    numbers, weights, counts = Numbers(4), np.array([1.0, 1.0, 2.0, 4.0]), np.zeros(4)
    for epoch in range(2000):
        numbers.epoch = epoch
        np.add.at(counts, [index for index, _ in ClipSampler(numbers, 2, weights=weights)], 1)
    np.testing.assert_allclose(counts / counts.sum(), weights / weights.sum(), atol=0.015)
