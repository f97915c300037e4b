"""Embed tubelets by convolutions."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration import AUVMAEConfig


class ConvolutionalStem(nn.Module):
    """Embed the frames of a window by convolutions of stride 2.

    Each stage halves the resolution, and the last has one position per patch ("Early Convolutions Help Transformers See
    Better", Xiao et al., 2021). A patch is thus seen with its surroundings. Hidden patches are replaced by zeros, the
    mean colour, before the first convolution, so that nothing of them reaches the visible ones.
    """

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__()
        self.patch_size, self.tubelet_size = config.patch_size, config.tubelet_size
        channels = [config.num_channels, *(config.stem_channels or [])]
        blocks = config.stem_blocks or [0] * (len(channels) - 1)
        stages: list[nn.Module] = []
        for before, after, count in zip(channels[:-1], channels[1:], blocks, strict=True):
            stages.append(_convolve(before, after, stride=2))
            stages.extend(_ResidualBlock(after) for _ in range(count))
        self.stages = nn.Sequential(*stages)
        self.projection = nn.Linear(config.tubelet_size * channels[-1], config.hidden_size)

    def forward(self, pixel_values: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
        """Embed (B, T, C, H, W) at `indices` (B, K) as (B, K, D)."""
        batch_size, _, _, height, width = pixel_values.shape
        rows, columns = height // self.patch_size, width // self.patch_size
        if indices is not None:
            seen = torch.zeros(
                batch_size, pixel_values.shape[1] // self.tubelet_size * rows * columns, device=indices.device
            )
            seen = seen.scatter(1, indices, 1.0).view(batch_size, -1, 1, rows, columns).to(pixel_values.dtype)
            seen = seen.repeat_interleave(self.tubelet_size, 1)
            seen = seen.repeat_interleave(self.patch_size, 3).repeat_interleave(self.patch_size, 4)
            pixel_values = pixel_values * seen
        frames = pixel_values.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = self.stages(frames)
        # (B * T, C, rows, columns) -> one token per tubelet and position, in time order
        slots = features.unflatten(0, (batch_size, -1, self.tubelet_size)).permute(0, 1, 4, 5, 2, 3)
        tokens = slots.reshape(batch_size, -1, self.projection.in_features)
        if indices is not None:
            tokens = tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[2]))
        return self.projection(tokens)


class _ResidualBlock(nn.Module):
    """Add two convolutions to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolve(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        return F.relu(features + self.second(self.first(features)))


def _convolve(before: int, after: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
