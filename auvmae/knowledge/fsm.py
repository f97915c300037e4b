"""The AU-pair finite state machines of Sec. 3.4: two statistics of an *activation*.

An activation is labels, probabilities, or their straight-through binarisation, `(T, N)` or `(B, T, N)` in [0, 1].
On the training labels the statistics are the priors K_intra (Eq. 3) and K_inter; on the model's output they are
C (Eq. 4) and S (Eq. 7). Both come from sums over frames, which add over clips, steps and processes.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class CooccurrenceCounts(NamedTuple):
    """Coded frames with both AUs of a pair, and with at least one of them; `(N, N)` each."""

    both: Tensor
    either: Tensor

    @property
    def defined(self) -> Tensor:
        """Pairs of which one AU occurs at all; elsewhere Eq. 3 is 0/0."""
        return self.either > 0

    def normalise(self) -> Tensor:
        """P(i and j) / P(i or j), 0 where undefined."""
        return torch.where(self.defined, self.both / torch.where(self.defined, self.either, 1), 0)


class TransitionCounts(NamedTuple):
    """Mass in each of the 16 joint states of a pair, `(N, N, 16)`, and its transitions counted, `(N, N)`."""

    states: Tensor
    steps: Tensor

    @property
    def defined(self) -> Tensor:
        """Pairs with at least one transition between two coded frames."""
        return self.steps > 0

    def normalise(self) -> Tensor:
        """Joint distribution over the 16 states, 0 where nothing was counted."""
        return self.states / self.steps.clamp(min=1)[..., None]


def cooccurrence_matrix(activation: Tensor, mask: Tensor | None = None) -> Tensor:
    """Probability that both AUs of a pair are active where at least one is (Eq. 3 and 4).

    # Paper: Eq. 4's print is garbled; its denominator is read as coded frames minus frames where both are off.

    Args:
        activation: `(T, N)` or `(B, T, N)`, in [0, 1].
        mask: True = counts, same shape, or without the last axis; everything counts if None.

    Returns:
        `(N, N)`, symmetric, in [0, 1]; 0 for a pair that never occurs.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> labels = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]])
        >>> cooccurrence_matrix(labels)
        tensor([[1.0000, 0.3333],
                [0.3333, 1.0000]])
    """
    return cooccurrence_counts(activation, mask).normalise()


def cooccurrence_counts(activation: Tensor, mask: Tensor | None = None) -> CooccurrenceCounts:
    """The sums of `cooccurrence_matrix`, over frames where both AUs of a pair are coded."""
    active, coded = (values.flatten(0, 1) for values in _masked(activation, mask))
    # i where j is coded, too: P(i or j) = P(i) + P(j) - P(i and j)
    both, where_coded = (active.T @ torch.cat([active, coded], dim=1)).chunk(2, dim=1)
    return CooccurrenceCounts(both, where_coded + where_coded.T - both)


def transition_tensor(activation: Tensor, mask: Tensor | None = None) -> Tensor:
    """Joint distribution of a pair's states in two consecutive frames (Eq. 7), averaged over clips and time.

    # Paper: Eq. 6 as printed gives 1 - x where the bit is 1; here bit 1 means active.

    Args:
        activation: `(T, N)` or `(B, T, N)`, in [0, 1]; time never runs from one row of the batch into the next.
        mask: True = counts, same shape, or without the last axis. A transition counts where both its frames do.

    Returns:
        `(N, N, 16)`, index `i_t + 2 j_t + 4 i_t+1 + 8 j_t+1`; the 16 entries of a pair sum to 1 (to 0 if it has
        no coded transition).

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> labels = torch.tensor([[0, 0], [1, 0]])  # the first AU switches on: 4 * i_t+1
        >>> transition_tensor(labels)[0, 1].nonzero().item()
        4
    """
    return transition_counts(activation, mask).normalise()


def transition_counts(activation: Tensor, mask: Tensor | None = None) -> TransitionCounts:
    """The sums of `transition_tensor`, for all pairs and states in one matrix product."""
    active, coded = _masked(activation, mask)
    both_coded = coded[:, :-1] * coded[:, 1:]
    # per AU and step the four values of (x_t, x_t+1), AUs innermost: (B * (T - 1), 2 [t+1] * 2 [t] * N)
    states = (coded - active, active)
    joint = torch.cat([before[:, :-1] * after[:, 1:] for after in states for before in states], dim=-1).flatten(0, 1)
    num_aus = active.shape[-1]
    joint = (joint.T @ joint).view(2, 2, num_aus, 2, 2, num_aus)  # i_t+1, i_t, i, j_t+1, j_t, j
    mass = joint.permute(2, 5, 3, 0, 4, 1).reshape(num_aus, num_aus, 16)
    steps = both_coded.flatten(0, 1)
    return TransitionCounts(mass, steps.T @ steps)


def straight_through(probs: Tensor) -> Tensor:
    """Binarise at 0.5 with the gradient of the identity: `[p > 0.5] - p.detach() + p` (Sec. 3.4).

    Args:
        probs: Any shape, in [0, 1].

    Returns:
        0 or 1, same shape and dtype.

    Example:
        >>> probs = torch.tensor([0.2, 0.7], requires_grad=True)
        >>> hard = straight_through(probs); hard.sum().backward(); hard.detach(), probs.grad
        (tensor([0., 1.]), tensor([1., 1.]))
    """
    # (p - p.detach()) first: the forward value stays exactly 0 or 1
    return (probs > 0.5).to(probs.dtype) + (probs - probs.detach())


def _masked(activation: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Activation with 0 where not coded, and the mask, both floating `(B, T, N)`."""
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
