"""Embed tubelets by convolutions."""

import torch
from torch import nn
from torch.nn import functional as F

from .configuration import AUVMAEConfig

MOMENTUM = 0.02
"""Share of a batch in the running statistics; a batch holds few people."""


class ConvolutionalStem(nn.Module):
    """Embed the frames of a window by convolutions of stride 2.

    Each stage halves the resolution, and the last has one position per patch ("Early Convolutions Help Transformers See
    Better", Xiao et al., 2021). A patch is thus seen with its surroundings. Hidden patches are zero in the input and
    after every convolution, and do not enter the statistics of a normalisation (SparK, Tian et al., 2023). So nothing
    of them reaches the visible ones.
    """

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__()
        self.patch_size, self.tubelet_size = config.patch_size, config.tubelet_size
        channels = [config.num_channels, *(config.stem_channels or [])]
        blocks = config.stem_blocks or [0] * (len(channels) - 1)
        self.stages = nn.ModuleList(
            _Stage(before, after, count)
            for before, after, count in zip(channels[:-1], channels[1:], blocks, strict=True)
        )
        self.projection = nn.Linear(config.tubelet_size * channels[-1], config.hidden_size)

    def forward(self, pixel_values: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
        """Embed (B, T, C, H, W) at `indices` (B, K) as (B, K, D)."""
        batch_size = pixel_values.shape[0]
        features = pixel_values.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        seen = None if indices is None else self._mark(pixel_values, indices)
        for stage in self.stages:
            features = stage(features, seen)
        # (B * T, C, rows, columns) -> one token per tubelet and position, in time order
        slots = features.unflatten(0, (batch_size, -1, self.tubelet_size)).permute(0, 1, 4, 5, 2, 3)
        tokens = slots.reshape(batch_size, -1, self.projection.in_features)
        if indices is not None:
            tokens = tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[2]))
        return self.projection(tokens)

    def _mark(self, pixel_values: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Mark the visible patches of every frame with ones, (B * T, 1, rows, columns)."""
        batch_size, num_frames, _, height, width = pixel_values.shape
        shape = num_frames // self.tubelet_size, height // self.patch_size, width // self.patch_size
        seen = pixel_values.new_zeros(batch_size, shape[0] * shape[1] * shape[2]).scatter(1, indices, 1.0)
        return seen.view(batch_size, *shape).repeat_interleave(self.tubelet_size, 1).flatten(0, 1)[:, None]


class _Stage(nn.Module):
    """Halve the resolution, then apply residual blocks."""

    def __init__(self, before: int, after: int, blocks: int) -> None:
        super().__init__()
        self.first = _Convolution(before, after, stride=2)
        self.blocks = nn.ModuleList(_ResidualBlock(after) for _ in range(blocks))

    def forward(self, features: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C', H/2, W/2).

        `seen` (N, 1, rows, columns) has ones at visible patches.
        """
        if seen is not None:
            features = features * _enlarge(seen, features.shape[2])
            seen = _enlarge(seen, features.shape[2] // 2)
        features = F.relu(self.first(features, seen))
        for block in self.blocks:
            features = block(features, seen)
        return features


class _ResidualBlock(nn.Module):
    """Add two convolutions to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _Convolution(channels, channels), _Convolution(channels, channels)

    def forward(self, features: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        return F.relu(features + self.second(F.relu(self.first(features, seen)), seen))


class _Convolution(nn.Module):
    """Apply a convolution, and normalise its visible positions."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm = _VisibleNorm(after, momentum=MOMENTUM)

    def forward(self, features: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C', H', W').

        `seen` (N, 1, H', W') has ones at visible positions.
        """
        return self.norm(self.convolution(features), seen)


class _VisibleNorm(nn.BatchNorm2d):
    """Normalise batches by the statistics of their visible positions."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def forward(self, input: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape, with zeros at hidden positions."""
        if seen is None:
            return super().forward(input)
        if not self.training:
            return super().forward(input) * seen
        # var_mean counts the zeros of hidden positions, too
        masked, share = input * seen, seen.mean()
        variance, mean = torch.var_mean(masked.float(), (0, 2, 3), correction=0)
        variance, mean = (variance + mean**2) / share - (mean / share) ** 2, mean / share
        count = seen.sum()
        with torch.no_grad():
            self.running_mean.lerp_(mean, MOMENTUM)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), MOMENTUM)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        scale, shift = (values.to(input.dtype)[:, None, None] for values in (scale, shift))
        return torch.addcmul(shift, masked, scale) * seen


def _enlarge(seen: torch.Tensor, side: int) -> torch.Tensor:
    """Repeat every entry of (N, 1, rows, columns) so that the height is `side`."""
    times = side // seen.shape[2]
    return seen if times == 1 else seen.repeat_interleave(times, 2).repeat_interleave(times, 3)
