"""Against rare action units: more clips of them, and clips that look different each time (appendix, Sec. 2)."""

import numpy as np
import torch


def augment_clip(
    frames: np.ndarray,
    generator: np.random.Generator,
    flip_probability: float = 0.5,
    min_crop: float = 0.875,
) -> np.ndarray:
    """Flip and crop a clip at random, drawn once for all its frames: per frame it would be motion to the model.

    The crop keeps the aspect ratio; its sides are the frame's times a number drawn from [min_crop, 1]. The paper gives
    neither number.

    Args:
        frames: uint8 (T, H, W, C).
        generator: source of the four draws (flip, scale, row, column).
        flip_probability: of a left-right flip. AUs have no side, so the labels stay.
        min_crop: smallest side of the crop, as a share of the frame's, in (0, 1].

    Returns:
        uint8 (T, H', W', C).
    """
    flip, scale, row, column = generator.random(4)
    height, width = frames.shape[1:3]
    side = min_crop + (1 - min_crop) * scale
    crop_height, crop_width = round(side * height), round(side * width)
    top, left = int(row * (height - crop_height + 1)), int(column * (width - crop_width + 1))
    frames = frames[:, top : top + crop_height, left : left + crop_width]
    if flip < flip_probability:  # NumPy would turn the pixels around one by one
        return torch.from_numpy(frames).permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(frames)
