"""Test that tube masks hide the same patches in every slot and the same number in every row."""

import pytest
import torch

from auvmae.masking import tube_mask


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 0.9])
def test_a_tube_of_the_right_size(ratio):
    mask = tube_mask(16, 8, 196, ratio).view(16, 8, 196)
    assert torch.equal(mask, mask[:, :1].expand_as(mask))
    assert set(mask[:, 0].sum(1).tolist()) == {int(ratio * 196)}


def test_every_patch_is_hidden_as_often_as_the_ratio_says():
    share = tube_mask(4000, 1, 16, 0.5).float().mean(0)
    assert (share - 0.5).abs().max() < 0.05


def test_a_generator_makes_it_repeatable():
    first, second, other = (tube_mask(2, 2, 50, 0.5, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("ratio", [-0.1, 1.0])
def test_ratio_outside_its_range(ratio):
    with pytest.raises(ValueError, match=f"found {ratio}"):
        tube_mask(1, 1, 4, ratio)
