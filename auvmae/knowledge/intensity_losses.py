"""Compute the losses of intensities, and how a logit stands for an intensity.

The paper has no such loss: Eq. 2 knows occurrences only.
"""

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from .facs import HIGHEST_INTENSITY

CUT_SLOPE = 2.0
"""Slope of the cumulative logits at their cut points; a choice, since they have no parameter to learn."""


def intensity_loss(logits: torch.Tensor, intensities: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropy between predicted and coded intensities.

    Both are fractions of the maximum. Like the loss of occurrence, it is summed over AUs and averaged over frames.

    Args:
        logits: `(B, T, N)`.
        intensities: `(B, T, N)` in 0..5, NaN where not coded.

    Returns:
        Scalar; 0 if no frame is coded.
    """
    # Paper: Eq. 2 knows occurrences only; a share of the maximum takes the place of its label
    coded = intensities.isfinite()
    shares = torch.where(coded, intensities / HIGHEST_INTENSITY, 0.0)
    cells = F.binary_cross_entropy_with_logits(logits.float(), shares.float(), reduction="none")
    return _over_frames(cells, coded)


def cumulative_intensity_loss(logits: torch.Tensor, intensities: torch.Tensor) -> torch.Tensor:
    """Compute the negative log-likelihood of ordered grades.

    This is the proportional odds model (McCullagh, 1980), `P(grade >= k) = sigmoid(slope * (logit - cut_k))`, with one
    latent score per cell and fixed cut points. They lie such that a whole grade g is most likely exactly where
    `5 * sigmoid(logit)` is g, so the predicted intensity is that of `intensity_loss`. A fraction between two grades
    counts as each of them in proportion.

    Args:
        logits: `(B, T, N)`.
        intensities: `(B, T, N)` in 0..5, NaN where not coded.

    Returns:
        Scalar, summed over AUs and averaged over frames; 0 if no frame is coded.
    """
    coded = intensities.isfinite()
    cuts = logits.new_tensor(cut_points(), dtype=torch.float32)
    ahead = CUT_SLOPE * (logits.float()[..., None] - cuts)
    # sigmoid(u) - sigmoid(v) = sigmoid(u) * sigmoid(-v) * (1 - exp(v - u)), where u - v is a constant of the grade
    widths = F.pad(torch.log(-torch.expm1(-CUT_SLOPE * cuts.diff())), (1, 1))
    costs = F.pad(F.softplus(-ahead), (1, 0)) + F.pad(F.softplus(ahead), (0, 1)) - widths
    grades = torch.arange(len(cuts) + 1, device=logits.device)
    nearness = (1 - (torch.where(coded, intensities, 0.0).float()[..., None] - grades).abs()).clamp(min=0)
    return _over_frames((costs * nearness).sum(-1), coded)


def cut_points() -> list[float]:
    """Return the five cut points of `cumulative_intensity_loss`, in logits.

    The middle of two neighbours is the logit of the grade between them.

    Example:
        >>> [round(5 / (1 + math.exp(-cut)), 2) for cut in cut_points()]
        [0.62, 1.54, 2.5, 3.46, 4.38]
    """
    one, two = (math.log(grade / (HIGHEST_INTENSITY - grade)) for grade in (1, 2))
    return [2 * one - 2 * two, 2 * two, 0.0, -2 * two, 2 * two - 2 * one]


def ranking_loss(logits: torch.Tensor, intensities: torch.Tensor) -> torch.Tensor:
    """Compare the predicted order of a clip's frames with their coded order.

    Of two frames of a clip, the one with the higher intensity should get the higher logit (RankNet, Burges et al.,
    2005), weighted by the difference of their intensities. What the frames share, such as the person, the light and the
    camera, cancels out. The loss is summed over AUs and averaged over pairs of frames.

    Args:
        logits: `(B, T, N)`.
        intensities: `(B, T, N)` in 0..5, NaN where not coded.

    Returns:
        Scalar; 0 if no pair of frames is coded.
    """
    # Paper: Eq. 9 has no such term
    rise = (intensities[:, :, None] - intensities[:, None]) / HIGHEST_INTENSITY
    coded = rise.isfinite()
    ahead = logits.float()[:, :, None] - logits.float()[:, None]
    cells = F.softplus(-ahead) * torch.where(coded, rise, 0.0).clamp(min=0)
    return _over_frames(cells, coded)


def _over_frames(cells: torch.Tensor, coded: torch.Tensor) -> torch.Tensor:
    return (cells * coded).sum() / coded.any(-1).sum().clamp(min=1)


INTENSITY_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "binomial": intensity_loss,
    "cumulative": cumulative_intensity_loss,
}
"""Losses of intensities by the names of `--intensity_loss`."""
