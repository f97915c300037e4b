"""Compute the knowledge-guided loss (Eq. 9).

It combines a weighted cross-entropy (Eq. 2) with two distances to prior statistics (Eq. 5 and 8).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils import ModelOutput

from .facs import NOT_CODED
from .fsm import CooccurrenceCounts, TransitionCounts, cooccurrence_counts, straight_through, transition_counts


def occurrence_rates(videos: Sequence[Tensor | np.ndarray]) -> Tensor:
    """Compute the share of coded frames in which each AU occurs, r_i of Eq. 2.

    Args:
        videos: One `(T_v, N)` integer array per video: 0, 1, or -100 where not coded.

    Returns:
        `(N,)` float64 in [0, 1]; 0 for an AU that is never coded.
    """
    labels = torch.cat([torch.as_tensor(video) for video in videos])
    coded = labels != NOT_CODED
    return (labels == 1).sum(0).double() / coded.sum(0).clamp(min=1)


def label_weights(videos: Sequence[Tensor | np.ndarray], au_names: Sequence[str] | None = None) -> Tensor:
    """Compute weights that balance rare and frequent AUs (Sec. 3.3).

    They are `w_i = N (1 / r_i) / sum_j (1 / r_j)`.

    Args:
        videos: One `(T_v, N)` integer array per video of the training fold, before augmentation; -100 = not coded.
        au_names: Names for the error message.

    Returns:
        `(N,)` float32, with sum N.

    Raises:
        ValueError: An AU never occurs, so its weight would be infinite.

    Example:
        >>> label_weights([np.array([[1, 1], [0, 1], [0, 1], [0, 1]])])
        tensor([1.6000, 0.4000])
    """
    rates = occurrence_rates(videos)
    absent = (rates == 0).nonzero().flatten().tolist()
    if absent:
        names = [au_names[index] if au_names else f"column {index}" for index in absent]
        raise ValueError(
            f"{', '.join(names)} never occurs in the training labels, so its weight (Eq. 2) is undefined. "
            "Remove it from the AU list, or add training subjects that show it."
        )
    inverse = 1 / rates
    return (len(rates) * inverse / inverse.sum()).float()


@dataclass
class KnowledgeGuidedLossOutput(ModelOutput):
    """Hold the loss of Eq. 9 and its three unweighted terms, each of shape `()`."""

    loss: Tensor | None = None
    loss_cls: Tensor | None = None
    loss_intra: Tensor | None = None
    loss_inter: Tensor | None = None


class KnowledgeGuidedLoss(nn.Module):
    """Combine weighted cross-entropy with distances to prior AU statistics (Eq. 9).

    The loss is `L = cls_weight * L_cls + intra_weight * L_intra + inter_weight * L_inter`. L_cls is the weighted
    cross-entropy of Eq. 2, summed over AUs and averaged over coded frames. L_intra and L_inter are the Frobenius norms
    of the differences between the prior statistics and those of the batch, over pairs of different AUs: co-occurrence
    (Eq. 5) and transitions (Eq. 8). Labels of -100 are ignored. With several
    processes, all three terms are computed over the global batch.

    Args:
        label_weights: `(N,)`, from the function `label_weights`.
        cooccurrence_prior: K_intra, `(N, N)`.
        transition_prior: K_inter, `(N, N, 16)`: the probabilities of the 16 transitions of each pair.
        prior_defined: Pairs whose K_intra is defined (not 0/0), bool `(N, N)`. L_intra ignores other pairs.
        cls_weight, intra_weight, inter_weight: Weights of the terms. The paper's are 1.0, 0.01 and 0.01 (Sec. 3.4).
        statistics_pool: How many earlier forward passes in training also contribute their detached statistics. Passes
            are counted, not optimizer steps. The paper uses none (0), but statistics of a few 128-frame clips are
            noisy.
    """

    label_weights: Tensor
    cooccurrence_prior: Tensor
    transition_prior: Tensor
    prior_defined: Tensor
    pool: Tensor

    def __init__(
        self,
        label_weights: Tensor,
        cooccurrence_prior: Tensor,
        transition_prior: Tensor,
        prior_defined: Tensor,
        cls_weight: float = 1.0,
        intra_weight: float = 0.01,
        inter_weight: float = 0.01,
        statistics_pool: int = 0,
    ) -> None:
        super().__init__()
        self.cls_weight, self.intra_weight, self.inter_weight = cls_weight, intra_weight, inter_weight
        self.register_buffer("label_weights", label_weights)
        self.register_buffer("cooccurrence_prior", cooccurrence_prior)
        self.register_buffer("transition_prior", transition_prior)
        self.register_buffer("prior_defined", prior_defined)
        num_aus = len(label_weights)
        # Ring buffer of the last sums. Empty rows are zero and add nothing, so no fill count is needed.
        self.register_buffer("pool", torch.zeros(statistics_pool, num_aus, num_aus, 2 + 16 + 1))

    @classmethod
    def from_labels(
        cls,
        videos: Sequence[Tensor | np.ndarray],
        cls_weight: float = 1.0,
        intra_weight: float = 0.01,
        inter_weight: float = 0.01,
        statistics_pool: int = 0,
        au_names: Sequence[str] | None = None,
    ) -> "KnowledgeGuidedLoss":
        """Build the criterion from the labels of the training fold, before augmentation.

        Args:
            videos: One `(T_v, N)` integer array per video, in time order; -100 = not coded.
            cls_weight, intra_weight, inter_weight, statistics_pool: See the class.
            au_names: Names for the error message.

        Raises:
            ValueError: An AU never occurs, and `cls_weight` is not 0.
        """
        # without L_cls, nothing needs the weights, which are undefined for an AU that never occurs
        weights = label_weights(videos, au_names) if cls_weight else torch.ones(np.shape(videos[0])[1])
        sums = torch.zeros(len(weights), len(weights), 2 + 16 + 1, dtype=torch.float64)
        for video in videos:  # one by one, since no transition crosses from one video to the next
            labels = torch.as_tensor(video)
            sums += _statistics(labels.clamp(min=0).double(), labels != NOT_CODED)
        cooccurrence, transitions = _split(sums)
        return cls(
            weights,
            cooccurrence.normalise().float(),
            transitions.normalise().float(),
            cooccurrence.defined,
            cls_weight,
            intra_weight,
            inter_weight,
            statistics_pool,
        )

    def forward(self, logits: Tensor, labels: Tensor) -> KnowledgeGuidedLossOutput:
        """Compute the loss of a batch of clips.

        Args:
            logits: `(B, T, N)`, of any floating dtype. The loss is computed in float32.
            labels: `(B, T, N)`: 0, 1, or -100 where not coded.

        Raises:
            ValueError: The shapes differ.
        """
        if logits.shape != labels.shape:
            raise ValueError(
                f"labels must have the shape of logits {tuple(logits.shape)}, found {tuple(labels.shape)}."
            )
        coded = labels != NOT_CODED
        # autocast would count frames in 16 bits, whose whole numbers end at 256 (bfloat16) or 2048
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            loss_cls = self._classification(logits, labels, coded)
            probs = logits.sigmoid()
            statistics = _all_reduce(_statistics(straight_through(probs), coded, probs))
            loss_intra, loss_inter = self._distances(statistics)
        return KnowledgeGuidedLossOutput(
            loss=self.cls_weight * loss_cls + self.intra_weight * loss_intra + self.inter_weight * loss_inter,
            loss_cls=loss_cls,
            loss_intra=loss_intra,
            loss_inter=loss_inter,
        )

    def _classification(self, logits: Tensor, labels: Tensor, coded: Tensor) -> Tensor:
        targets = labels.clamp(min=0).to(logits.dtype)
        cells = F.binary_cross_entropy_with_logits(logits, targets, weight=self.label_weights, reduction="none")
        total = torch.stack([(cells * coded).sum(), coded.any(-1).sum().to(logits.dtype)])
        total, frames = _all_reduce(total)
        return total / frames.clamp(min=1)

    def _distances(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        pooled = statistics
        if self.training and len(self.pool):
            pooled = statistics + self.pool.sum(0)
            self.pool = torch.cat([self.pool[1:], statistics.detach()[None]])
        cooccurrence, transitions = _split(pooled)
        # A finite state machine needs two AUs. With soft p, the diagonal would have mass on impossible states.
        pairs = ~torch.eye(len(pooled), dtype=torch.bool, device=pooled.device)
        intra_pairs = pairs & cooccurrence.defined & self.prior_defined
        intra = torch.where(intra_pairs, self.cooccurrence_prior - cooccurrence.normalise(), 0)
        inter = self.transition_prior - transitions.normalise()
        inter = inter * (pairs & transitions.defined)[..., None]
        return torch.linalg.vector_norm(intra), torch.linalg.vector_norm(inter)


def _statistics(hard: Tensor, coded: Tensor, soft: Tensor | None = None) -> Tensor:
    """Concatenate the sums of both statistics into one tensor.

    They can then be pooled and reduced together. Co-occurrence uses `hard` (Eq. 4), transitions use the probabilities
    themselves (Eq. 7).

    Returns:
        `(N, N, 2 + 16 + 1)`.
    """
    both, either = cooccurrence_counts(hard, coded)
    states, steps = transition_counts(hard if soft is None else soft, coded)
    return torch.cat([both[..., None], either[..., None], states, steps[..., None]], dim=-1)


def _split(sums: Tensor) -> tuple[CooccurrenceCounts, TransitionCounts]:
    return CooccurrenceCounts(sums[..., 0], sums[..., 1]), TransitionCounts(sums[..., 2:18], sums[..., 18])


class _SumOverProcesses(torch.autograd.Function):
    """Sum a tensor over all processes, with the exact gradient.

    The gradient is an all-reduce, too. Every process then holds the loss of the global batch, and DDP's mean of the
    gradients is the gradient of that loss.
    """

    # This is torch.distributed.nn.functional.all_reduce, which torch 2.13 deprecates in favour of a private module.

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _all_reduce(tensor: Tensor) -> Tensor:
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return tensor
    return _SumOverProcesses.apply(tensor)
