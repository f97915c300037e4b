"""Augment training clips with random flips and crops (appendix, Sec. 2)."""

import numpy as np
import torch


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
