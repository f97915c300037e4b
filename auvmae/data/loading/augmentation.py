"""Against rare action units: more clips of them, and clips that look different each time (appendix, Sec. 2)."""

from collections.abc import Sequence

import numpy as np
import torch

from ...knowledge.losses import occurrence_rates

RARE_AUS: dict[str, tuple[int, ...]] = {"bp4d": (1, 2, 4, 15, 23, 24), "disfa": (1, 2, 9)}
"""The "minority AU labels" of the appendix."""


def find_rare_aus(videos: Sequence[np.ndarray]) -> list[int]:
    """Columns of the AUs whose label weight (Eq. 2) is above 1: gives `RARE_AUS` on the first folds of BP4D and DISFA.

    Args:
        videos: one (T_v, N) integer array per video of the training side, -100 = not coded.
    """
    rates = occurrence_rates(videos)
    common = 1 / (1 / rates[rates > 0]).mean()  # the weight of an AU is this over its rate
    return torch.where((rates > 0) & (rates < common))[0].tolist()


def rare_au_clips(labels: np.ndarray, rare: Sequence[int], patience: int = 15) -> list[tuple[int, int]]:
    """Clips around rare AUs: "intercepted beginning from the first encountered label and stopped when 15 majority AU
    labels have been identified consecutively following the minority AU label".

    Args:
        labels: (T, N) integers; 1 = active, anything else is not.
        rare: columns of the rare AUs.
        patience: frames without a rare AU that end a clip; they belong to it.

    Returns:
        (start, stop) of each clip, in frames, before any extension to a clip length. They do not overlap.

    >>> labels = np.zeros((60, 2), dtype=int)
    >>> labels[[10, 20, 50], 0] = 1
    >>> rare_au_clips(labels, rare=[0])
    [(10, 36), (50, 60)]
    """
    frames = np.flatnonzero((np.asarray(labels)[:, list(rare)] == 1).any(axis=1))
    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) > patience)
    starts = frames[np.concatenate([[0], breaks + 1])]
    stops = frames[np.concatenate([breaks, [len(frames) - 1]])] + 1 + patience
    return [(int(start), min(int(stop), len(labels))) for start, stop in zip(starts, stops, strict=True)]


def fit_clip(start: int, stop: int, num_frames: int, clip_length: int = 128) -> list[tuple[int, int]]:
    """Bring a clip to `clip_length` frames: a short one grows to both sides into its video, a long one is split.

    Args:
        start: first frame of the clip.
        stop: the frame after its last one.
        num_frames: frames of the video.
        clip_length: frames wanted. Only a video that is shorter itself gives less (and is padded when loaded).

    Returns:
        (start, stop) of one clip or more; the last piece of a split one grows like a short one.

    >>> fit_clip(100, 120, num_frames=300), fit_clip(0, 40, num_frames=90), fit_clip(50, 300, num_frames=300)
    ([(46, 174)], [(0, 90)], [(50, 178), (172, 300)])
    """
    clips = []
    for piece in range(start, stop, clip_length):
        length = min(clip_length, stop - piece)
        left = piece - (clip_length - length) // 2
        left = max(min(left, num_frames - clip_length), 0)
        clips.append((left, min(left + clip_length, num_frames)))
    return clips


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
