"""Predict action units per frame from tokens (Sec. 3.3), with a plain loss."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration import AUVMAEConfig


class FrameAUHead(nn.Module):
    """Predict one logit vector per sampled frame.

    The visible tokens of each slot are averaged, normalised (LayerNorm) and projected. With `config.weigh_positions`,
    every channel weighs the positions by itself, as in the global depthwise convolution of MobileFaceNets (Chen et al.,
    2018): a brow is not where a mouth is.
    """

    position_weights: nn.Parameter | None

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__()
        self.num_labels = len(config.au_names)
        self.position_weights = None
        if config.weigh_positions:
            self.position_weights = nn.Parameter(torch.empty(config.patches_per_slot, config.hidden_size))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.hidden_size, config.tubelet_size * self.num_labels)

    def forward(self, tokens: torch.Tensor, num_slots: int, visible: torch.Tensor | None = None) -> torch.Tensor:
        """Map (B, T' * visible, D) to (B, T' * tubelet_size, num_labels).

        `visible` (B, K) are the positions of a slot's tokens; None if all are visible.
        """
        slots = tokens.reshape(tokens.shape[0], num_slots, -1, tokens.shape[2])
        if self.position_weights is None:
            slots = slots.mean(dim=2)
        else:
            weights = self.position_weights if visible is None else F.embedding(visible, self.position_weights)[:, None]
            slots = (slots * weights).sum(dim=2)
        return self.projection(self.norm(slots)).reshape(tokens.shape[0], -1, self.num_labels)


def interpolate_frames(logits: torch.Tensor, clip_length: int) -> torch.Tensor:
    """Interpolate logits (B, T, N) linearly over time to (B, clip_length, N).

    Sampled frame k is frame k * clip_length / T of the clip. After the last sampled frame the logits stay constant.
    """
    rate = clip_length // logits.shape[1]
    if rate == 1:
        return logits
    following = torch.cat([logits[:, 1:], logits[:, -1:]], dim=1)
    weight = torch.arange(rate, device=logits.device, dtype=logits.dtype)[:, None] / rate
    return torch.lerp(logits[:, :, None], following[:, :, None], weight).flatten(1, 2)


def masked_binary_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Average the binary cross-entropy over the coded cells (labels != -100).

    Args:
        logits: `(B, clip_length, N)`.
        labels: `(B, clip_length, N)`: 0, 1, or -100 where not coded.

    Returns:
        Scalar loss; 0 if no cell is coded.

    Raises:
        ValueError: The shapes differ.
    """
    if logits.shape != labels.shape:
        raise ValueError(f"labels must have the shape {tuple(logits.shape)}, found {tuple(labels.shape)}.")
    coded = labels != -100
    targets = labels.clamp(min=0).to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (loss * coded).sum() / coded.sum().clamp(min=1)
