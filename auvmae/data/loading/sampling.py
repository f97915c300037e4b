"""Sample training clips, and one input level per batch."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from torch.utils.data import Sampler

from ...configuration import Level
from .levels import LevelClips


class ClipSampler(Sampler[tuple[int, Level]]):
    """Sample clips in random order, with one random level per training step.

    The order depends only on `seed` and epoch. Every process draws the same order and takes its share, and a resumed
    run skips the clips that it has seen. The last step is filled with the first clips of the epoch, as in
    `DistributedSampler`.

    Args:
        dataset: Dataset that holds the epoch and the levels.
        step_size: Clips that all processes together load at once, before gradients are accumulated.
        seed: Random seed of the order and the levels.
        weights: Sampling weights, float (clips,), for sampling with replacement. None samples every clip once.
    """

    def __init__(self, dataset: LevelClips, step_size: int, seed: int = 0, weights: np.ndarray | None = None) -> None:
        self.dataset = dataset
        self.step_size = step_size
        self.seed = seed
        self.shares = None if weights is None else weights / weights.sum()

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.step_size) * self.step_size

    def __iter__(self) -> Iterator[tuple[int, Level]]:
        generator = np.random.default_rng((self.seed, self.dataset.epoch))
        clips = len(self.dataset)
        order = generator.choice(clips, clips, replace=self.shares is not None, p=self.shares)
        levels = generator.integers(len(self.dataset.levels), size=len(self) // self.step_size)
        for position, index in enumerate(np.resize(order, len(self)).tolist()):
            yield index, self.dataset.levels[levels[position // self.step_size]]


def build_sampler(clips: LevelClips, step_size: int, seed: int = 0, balanced: bool = False) -> ClipSampler | None:
    """Build the sampler of the training clips, or None for the Trainer's default.

    Args:
        clips: Training clips.
        step_size, seed: See `ClipSampler`.
        balanced: Oversample clips with rare AUs, see `rare_au_weights`.
    """
    if not balanced and len(clips.levels) == 1:
        return None
    weights = rare_au_weights(clips.clips[clips.levels[0]].rows["labels"]) if balanced else None
    return ClipSampler(clips, step_size, seed, weights)


def rare_au_weights(labels: Iterable[np.ndarray]) -> np.ndarray:
    """Weight each clip by the rarity of its rarest AU.

    The weight is 1 / sqrt(share of the clips that show this AU). This is the repeat factor of Gupta et al., "LVIS"
    (CVPR 2019), with every class below its threshold. A clip without any AU has weight 1.

    Args:
        labels: One integer array (frames, N) per clip: 0, 1, or -100 where not coded.

    Returns:
        float64 (clips,), at least 1.

    >>> rare_au_weights([np.array([[1, 0]]), np.array([[1, 0]]), np.array([[0, 0]]), np.array([[1, 1]])]).round(2)
    array([1.15, 1.15, 1.  , 2.  ])
    """
    shown = np.stack([(clip == 1).any(axis=0) for clip in labels])
    shares = np.where(shown, shown.mean(axis=0), 1.0)
    return 1 / np.sqrt(shares.min(axis=1))
