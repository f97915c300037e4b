"""Test the losses of intensities against loops over cells, and the grades at which they are lowest."""

import math

import pytest
import torch

from auvmae.knowledge.intensity_losses import CUT_SLOPE, INTENSITY_LOSSES, cumulative_intensity_loss, cut_points


def likelihood(logit, grade):
    """P(grade), the difference of two cumulative probabilities (McCullagh, 1980)."""
    above = [1.0, *(1 / (1 + math.exp(-CUT_SLOPE * (logit - cut))) for cut in cut_points()), 0.0]
    return above[grade] - above[grade + 1]


def test_the_cumulative_loss_is_that_of_a_loop_over_cells():
    torch.manual_seed(0)
    logits, intensities = 2 * torch.randn(2, 3, 4), torch.rand(2, 3, 4) * 5
    intensities[:, :, :2] = intensities[:, :, :2].round()
    intensities[0, 1], intensities[1, 2, 3] = math.nan, math.nan
    intensities[0, 0, 0], intensities[0, 0, 1] = 0, 5
    total = 0.0
    for index in torch.ones(2, 3, 4).nonzero().tolist():
        grade, logit = float(intensities[tuple(index)]), float(logits[tuple(index)])
        if not math.isnan(grade):
            low = min(int(grade), 4)
            total -= (low + 1 - grade) * math.log(likelihood(logit, low))
            total -= (grade - low) * math.log(likelihood(logit, low + 1))
    assert cumulative_intensity_loss(logits, intensities).item() == pytest.approx(total / 5, rel=1e-5)


@pytest.mark.parametrize("name", INTENSITY_LOSSES)
@pytest.mark.parametrize("grade", [0, 1, 2, 3, 4, 5])
def test_each_loss_is_lowest_where_the_predicted_intensity_is_the_grade(name, grade):
    predicted = torch.linspace(0.01, 4.99, 499)
    loss_of = INTENSITY_LOSSES[name]
    costs = [loss_of(torch.logit(one / 5).view(1, 1, 1), torch.full((1, 1, 1), float(grade))) for one in predicted]
    assert float(predicted[torch.stack(costs).argmin()]) == pytest.approx(grade, abs=0.011)


@pytest.mark.parametrize("name", INTENSITY_LOSSES)
def test_losses_are_finite_for_certain_predictions_and_half_precision(name):
    logits = torch.tensor([[[-60000.0, 60000.0]]], dtype=torch.float16, requires_grad=True)
    loss = INTENSITY_LOSSES[name](logits, torch.tensor([[[0.0, 5.0]]]))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.isfinite().all()
