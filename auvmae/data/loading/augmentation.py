"""Augment training clips with random flips and crops (appendix, Sec. 2).

On request, colours and resolution vary as well.
"""

import numpy as np
import torch
from torch.nn import functional as F

FILTERED = 0.5
"""Share of the clips whose resolution `distort_clip` lowers."""

COARSEST, FINEST = 0.25, 0.8
"""Lowest and highest share of the resolution that it keeps."""

GAMMA, GAIN, SHIFT = 0.15, 0.1, 10.0
"""Standard deviations of the logarithms of gamma and of the channels' gains, and of the brightness in levels."""


def augment_clip(
    frames: np.ndarray,
    generator: np.random.Generator,
    flip_probability: float = 0.5,
    min_crop: float = 0.875,
) -> np.ndarray:
    """Flip and crop a clip at random.

    The draw is the same for all frames, because a new draw per frame would look like motion. The crop keeps the aspect
    ratio; its sides are those of the frame, scaled by a number drawn from [min_crop, 1]. The paper specifies neither
    default.

    Args:
        frames: uint8 (T, H, W, C).
        generator: Generator of the four draws (flip, scale, row, column).
        flip_probability: Probability of a horizontal flip. AU labels do not distinguish left from right and stay valid.
        min_crop: Smallest side of the crop as a share of the frame side, in (0, 1].

    Returns:
        uint8 (T, H', W', C).
    """
    flip, scale, row, column = generator.random(4)
    height, width = frames.shape[1:3]
    side = min_crop + (1 - min_crop) * scale
    crop_height, crop_width = round(side * height), round(side * width)
    top, left = int(row * (height - crop_height + 1)), int(column * (width - crop_width + 1))
    frames = frames[:, top : top + crop_height, left : left + crop_width]
    if flip < flip_probability:  # torch, because NumPy would reverse the pixels one by one
        return torch.from_numpy(frames).permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(frames)


def distort_clip(frames: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Shift the colours of a clip and lower its resolution, at random.

    The draw is the same for all frames. It teaches a network to trust colour and fine detail less, which differ between
    cameras. The paper does not do it.

    Args:
        frames: uint8 (T, H, W, 3).
        generator: Generator of the draws.

    Returns:
        uint8 of the same shape.
    """
    gamma, gains = np.exp(generator.normal(0, GAMMA)), np.exp(generator.normal(0, GAIN, 3))
    tones = (np.arange(256) / 255)[:, None] ** gamma * 255 * gains + generator.normal(0, SHIFT)
    table = torch.from_numpy(np.clip(np.rint(tones), 0, 255).astype(np.float32))
    pixels = torch.from_numpy(frames).long()
    clip = torch.stack([table[:, channel][pixels[..., channel]] for channel in range(3)], dim=1)
    if generator.random() < FILTERED:
        share = generator.uniform(COARSEST, FINEST)
        size = [max(1, round(share * side)) for side in frames.shape[1:3]]
        small = F.interpolate(clip, size, mode="area")
        clip = F.interpolate(small, frames.shape[1:3], mode="bilinear", align_corners=False)
    return clip.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
