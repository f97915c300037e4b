"""Which clip comes when, at which level, and how often."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from torch.utils.data import Sampler

from ...configuration import Level
from .levels import LevelClips


class ClipSampler(Sampler[tuple[int, Level]]):
    """Clips in random order, all those of a training step at one level drawn for that step.

    What comes depends on `seed` and epoch alone: every process draws the same and takes its share, and a resumed run
    skips what it has seen. The last step is filled up with the epoch's first clips, as `DistributedSampler` does.

    Args:
        dataset: knows the epoch and the levels.
        step_size: clips that all processes together take at once, before gradients are accumulated.
        seed: of order and levels.
        weights: float (clips,), how often each is drawn relative to the others, with replacement; None for every clip
            once.
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
    """Build the sampler of the training clips; None where the Trainer's own does.

    Args:
        clips: Training clips.
        step_size: As for `ClipSampler`.
        seed: As for `ClipSampler`.
        balanced: Oversample clips with rare AUs, see `rare_au_weights`.
    """
    if not balanced and len(clips.levels) == 1:
        return None
    weights = rare_au_weights(clips.rows.with_format("numpy")["labels"]) if balanced else None
    return ClipSampler(clips, step_size, seed, weights)


def rare_au_weights(labels: Iterable[np.ndarray]) -> np.ndarray:
    """Weights that draw a clip the oftener the rarer its rarest AU: 1 / sqrt(share of the clips that show this AU).

    The repeat factor of Gupta et al., "LVIS" (CVPR 2019), with every class below its threshold. A clip without any
    AU weighs 1, as if its rarest were everywhere.

    Args:
        labels: one integer array (frames, N) per clip: 0, 1, or -100 where not coded.

    Returns:
        float64 (clips,), at least 1.

    >>> rare_au_weights([np.array([[1, 0]]), np.array([[1, 0]]), np.array([[0, 0]]), np.array([[1, 1]])]).round(2)
    array([1.15, 1.15, 1.  , 2.  ])
    """
    shown = np.stack([(clip == 1).any(axis=0) for clip in labels])
    shares = np.where(shown, shown.mean(axis=0), 1.0)
    return 1 / np.sqrt(shares.min(axis=1))
