"""The same clips at several input levels (Sec. 3.3), one level per batch."""

from typing import Any

import datasets
from torch.utils.data import Dataset

from ...configuration import AUVMAEConfig, Level
from .loader import ClipCollator, ClipDataset


class LevelClips(Dataset):
    """A `ClipDataset` per level over the same rows: item `(index, level)` is clip `index` at that level.

    Args:
        rows: those of `ClipDataset`.
        levels: one or more; a bare `index` means the first.
        options: those of `ClipDataset` but `sampling_rate`.
    """

    def __init__(self, rows: datasets.Dataset, levels: list[Level], **options: Any) -> None:
        self.rows = rows
        self.levels = levels
        self.clips = {level: ClipDataset(rows, sampling_rate=level.sampling_rate, **options) for level in levels}
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """As `ClipDataset.set_epoch`, of every level."""
        self.epoch = epoch
        for clips in self.clips.values():
            clips.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.clips[self.levels[0]])

    def __getitem__(self, key: int | tuple[int, Level]) -> dict[str, Any]:
        """The clip as of `ClipDataset`, and its "level"."""
        index, level = key if isinstance(key, tuple) else (key, self.levels[0])
        return {**self.clips[level][index], "level": level}


class LevelCollator:
    """Stack clips of one level into a batch, with the masks of that level.

    Args:
        config: of the model.
        levels: all that are to come.

    Raises:
        StrictDataclassError: a level does not fit the configuration: `clip_length` is no multiple of `sampling_rate`
            times `num_frames`, or `mask_ratio` lies outside [0, 1).
    """

    def __init__(self, config: AUVMAEConfig, levels: list[Level]) -> None:
        fields = config.to_dict()
        self.collators = {
            level: ClipCollator.from_config(AUVMAEConfig(**(fields | level._asdict()))) for level in levels
        }

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """As `ClipCollator`, of items of `LevelClips`."""
        return self.collators[items[0]["level"]](items)


def build_clips(
    rows: datasets.DatasetDict, training: list[Level], evaluation: Level, **options: Any
) -> dict[str, LevelClips]:
    """Build the clips of every split: "train" augmented and at the training levels, all others as they are scored.

    Args:
        rows: As of `load_au_dataset`, by split.
        training: Levels to train at.
        evaluation: Level to score at.
        options: Those of `ClipDataset` but `sampling_rate` and `augment`.
    """
    return {
        split: LevelClips(part, training if split == "train" else [evaluation], augment=split == "train", **options)
        for split, part in rows.items()
    }
