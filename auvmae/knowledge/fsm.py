"""Compute the statistics of the AU-pair finite state machines (Sec. 3.4).

Both are statistics of an *activation* `(T, N)` or `(B, T, N)` in [0, 1]: labels, probabilities, or probabilities
binarised by `straight_through`. On the training labels they are the priors K_intra (Eq. 3) and K_inter. On the model's
output they are C (Eq. 4) and S (Eq. 7). Both derive from sums over frames, which can be added over clips, steps and
processes.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class CooccurrenceCounts(NamedTuple):
    """Count the coded frames with both AUs of a pair, and with at least one.

    Both fields are `(N, N)`.
    """

    both: Tensor
    either: Tensor

    @property
    def defined(self) -> Tensor:
        """Mark the pairs with at least one active AU; for other pairs Eq. 3 is 0/0."""
        return self.either > 0

    def normalise(self) -> Tensor:
        """Return P(i and j) / P(i or j), with 0 for undefined pairs."""
        return torch.where(self.defined, self.both / torch.where(self.defined, self.either, 1), 0)


class TransitionCounts(NamedTuple):
    """Hold the mass of the 16 joint states of each pair and its number of transitions.

    `states` is `(N, N, 16)` and `steps` is `(N, N)`.
    """

    states: Tensor
    steps: Tensor

    @property
    def defined(self) -> Tensor:
        """Mark the pairs with at least one transition between two coded frames."""
        return self.steps > 0

    def normalise(self) -> Tensor:
        """Return the joint distribution over the 16 states, or 0 without transitions."""
        return self.states / self.steps.clamp(min=1)[..., None]


def cooccurrence_matrix(activation: Tensor, mask: Tensor | None = None) -> Tensor:
    """Estimate how likely both AUs of a pair are active if one is (Eq. 3 and 4).

    # Paper: Eq. 4 is misprinted. We read its denominator as coded frames minus frames in which both AUs are inactive.

    Args:
        activation: `(T, N)` or `(B, T, N)`, in [0, 1].
        mask: True = coded. Its shape is that of `activation`, with or without the last axis. If None, all is coded.

    Returns:
        `(N, N)`, symmetric, in [0, 1]; 0 for a pair that never occurs.

    Raises:
        ValueError: `activation` or `mask` has the wrong shape.

    Example:
        >>> labels = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]])
        >>> cooccurrence_matrix(labels)
        tensor([[1.0000, 0.3333],
                [0.3333, 1.0000]])
    """
    return cooccurrence_counts(activation, mask).normalise()


def cooccurrence_counts(activation: Tensor, mask: Tensor | None = None) -> CooccurrenceCounts:
    """Sum co-occurrences over the frames in which both AUs of a pair are coded."""
    active, coded = (values.flatten(0, 1) for values in _masked(activation, mask))
    # P(i or j) = P(i) + P(j) - P(i and j), where i is counted only in frames in which j is coded.
    both, with_j_coded = (active.T @ torch.cat([active, coded], dim=1)).chunk(2, dim=1)
    return CooccurrenceCounts(both, with_j_coded + with_j_coded.T - both)


def closest_pair(matrix: NDArray[np.floating]) -> tuple[int, int]:
    """Find the pair of different AUs with the highest co-occurrence.

    Args:
        matrix: Co-occurrence `(N, N)`; NaN for undefined pairs.

    Returns:
        Their columns, (0, 1) if no pair co-occurs.
    """
    together = np.nan_to_num(np.triu(matrix, k=1), nan=0)
    first, second = np.unravel_index(together.argmax(), together.shape) if together.any() else (0, 1)
    return int(first), int(second)


def transition_tensor(activation: Tensor, mask: Tensor | None = None) -> Tensor:
    """Estimate the joint distribution of a pair's states in two consecutive frames.

    This is Eq. 7, averaged over clips and time.

    # Paper: Eq. 6 as printed gives 1 - x where the bit is 1. Here, bit 1 means active.

    Args:
        activation: `(T, N)` or `(B, T, N)`, in [0, 1]. No transition crosses from one clip of the batch to the next.
        mask: True = coded. Its shape is that of `activation`, with or without the last axis. If None, all is coded. A
            transition counts only if both of its frames are coded.

    Returns:
        `(N, N, 16)`, with index `i_t + 2 j_t + 4 i_t+1 + 8 j_t+1`. The 16 entries of a pair sum to 1, or to 0 if the
        pair has no coded transition.

    Raises:
        ValueError: `activation` or `mask` has the wrong shape.

    Example:
        >>> labels = torch.tensor([[0, 0], [1, 0]])  # the first AU switches on: 4 * i_t+1
        >>> transition_tensor(labels)[0, 1].nonzero().item()
        4
    """
    return transition_counts(activation, mask).normalise()


def transition_counts(activation: Tensor, mask: Tensor | None = None) -> TransitionCounts:
    """Sum the transitions of all pairs and states in one matrix product."""
    active, coded = _masked(activation, mask)
    both_coded = coded[:, :-1] * coded[:, 1:]
    # Each AU and step has four values of (x_t, x_t+1), AUs innermost: (B * (T - 1), 2 [t+1] * 2 [t] * N).
    states = (coded - active, active)
    joint = torch.cat([before[:, :-1] * after[:, 1:] for after in states for before in states], dim=-1).flatten(0, 1)
    num_aus = active.shape[-1]
    joint = (joint.T @ joint).view(2, 2, num_aus, 2, 2, num_aus)  # i_t+1, i_t, i, j_t+1, j_t, j
    mass = joint.permute(2, 5, 3, 0, 4, 1).reshape(num_aus, num_aus, 16)
    steps = both_coded.flatten(0, 1)
    return TransitionCounts(mass, steps.T @ steps)


def straight_through(probs: Tensor) -> Tensor:
    """Binarise probabilities at 0.5, with the gradient of the identity (Sec. 3.4).

    The result is `[p > 0.5] - p.detach() + p`.

    Args:
        probs: Probabilities of any shape, in [0, 1].

    Returns:
        Values 0 or 1, with the shape and dtype of `probs`.

    Example:
        >>> probs = torch.tensor([0.2, 0.7], requires_grad=True)
        >>> hard = straight_through(probs); hard.sum().backward(); hard.detach(), probs.grad
        (tensor([0., 1.]), tensor([1., 1.]))
    """
    # Computing (p - p.detach()) first keeps the forward value exactly 0 or 1.
    return (probs > 0.5).to(probs.dtype) + (probs - probs.detach())


def _masked(activation: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the activation, 0 where not coded, and the mask, both float (B, T, N)."""
    if activation.ndim not in (2, 3):
        raise ValueError(f"activation must be (T, N) or (B, T, N), found {tuple(activation.shape)}.")
    if mask is None:
        mask = torch.ones_like(activation, dtype=torch.bool)
    elif mask.shape == activation.shape[:-1]:
        mask = mask[..., None].expand_as(activation)
    elif mask.shape != activation.shape:
        raise ValueError(
            f"mask must have the activation's shape {tuple(activation.shape)} or {tuple(activation.shape[:-1])}, "
            f"found {tuple(mask.shape)}."
        )
    if not activation.is_floating_point():
        activation = activation.float()
    active = torch.where(mask, activation, 0)
    coded = mask.to(activation.dtype)
    return (active, coded) if activation.ndim == 3 else (active[None], coded[None])
