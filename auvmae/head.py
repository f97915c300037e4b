"""From tokens to the action units of every frame (Sec. 3.3), and the plain loss of them."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration import AUVMAEConfig


class FrameAUHead(nn.Module):
    """Tokens to frames: mean over each slot's visible tokens -> LayerNorm -> one logit vector per sampled frame."""

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__()
        self.num_labels = len(config.au_names)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.projection = nn.Linear(config.hidden_size, config.tubelet_size * self.num_labels)

    def forward(self, tokens: torch.Tensor, num_slots: int) -> torch.Tensor:
        """(B, T' * visible, D) -> (B, T' * tubelet_size, num_labels)."""
        slots = tokens.reshape(tokens.shape[0], num_slots, -1, tokens.shape[2]).mean(dim=2)
        return self.projection(self.norm(slots)).reshape(tokens.shape[0], -1, self.num_labels)


def interpolate_frames(logits: torch.Tensor, clip_length: int) -> torch.Tensor:
    """Linear interpolation over time of sampled frames (B, T, N) to (B, clip_length, N).

    Sampled frame k stands at frame k * clip_length / T; past the last one the value holds.
    """
    rate = clip_length // logits.shape[1]
    if rate == 1:
        return logits
    following = torch.cat([logits[:, 1:], logits[:, -1:]], dim=1)
    weight = torch.arange(rate, device=logits.device, dtype=logits.dtype)[:, None] / rate
    return torch.lerp(logits[:, :, None], following[:, :, None], weight).flatten(1, 2)


def masked_binary_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the coded cells (labels != -100) of `(B, clip_length, N)`; 0 where nothing is coded."""
    if logits.shape != labels.shape:
        raise ValueError(f"labels must have the shape {tuple(logits.shape)}, found {tuple(labels.shape)}.")
    coded = labels != -100
    targets = labels.clamp(min=0).to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (loss * coded).sum() / coded.sum().clamp(min=1)
