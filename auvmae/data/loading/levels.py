"""Load the same clips at several input levels (Sec. 3.3), one level per batch."""

from typing import Any

import datasets
from torch.utils.data import Dataset

from ...configuration import AUVMAEConfig, Level
from .loader import ClipCollator, ClipDataset


class LevelClips(Dataset):
    """Load the same rows at several levels, with one `ClipDataset` per level.

    Item `(index, level)` is clip `index` at that level.

    Args:
        rows: Rows of clips, see `ClipDataset`.
        levels: One or more levels. An item without a level uses the first.
        options: Arguments of `ClipDataset` except `sampling_rate`.
    """

    def __init__(self, rows: datasets.Dataset, levels: list[Level], **options: Any) -> None:
        self.levels = levels
        self.clips = {level: ClipDataset(rows, sampling_rate=level.sampling_rate, **options) for level in levels}
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of every level; see `ClipDataset.set_epoch`."""
        self.epoch = epoch
        for clips in self.clips.values():
            clips.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.clips[self.levels[0]])

    def __getitem__(self, key: int | tuple[int, Level]) -> dict[str, Any]:
        """Return the item of `ClipDataset`, and its "level"."""
        index, level = key if isinstance(key, tuple) else (key, self.levels[0])
        return {**self.clips[level][index], "level": level}


class LevelCollator:
    """Stack clips of one level into a batch, with the masks of that level.

    Args:
        config: Configuration of the model.
        levels: All levels that occur.

    Raises:
        ValueError: A level does not fit the configuration: `clip_length` is not a multiple of
            `sampling_rate * num_frames`, or `mask_ratio` lies outside [0, 1).
    """

    def __init__(self, config: AUVMAEConfig, levels: list[Level]) -> None:
        fields = config.to_dict()
        self.collators = {
            level: ClipCollator.from_config(AUVMAEConfig(**(fields | level._asdict()))) for level in levels
        }

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate items of `LevelClips`; see `ClipCollator`."""
        return self.collators[items[0]["level"]](items)


def build_clips(
    rows: datasets.DatasetDict, training: list[Level], evaluation: Level, **options: Any
) -> dict[str, LevelClips]:
    """Build the clips of every split.

    The "train" split is augmented and uses the training levels. The others use the evaluation level.

    Args:
        rows: Rows of `load_au_dataset`, by split.
        training: Levels to train at.
        evaluation: Level to evaluate at.
        options: Arguments of `ClipDataset` except `sampling_rate` and `augment`.
    """
    return {
        split: LevelClips(part, training if split == "train" else [evaluation], augment=split == "train", **options)
        for split, part in rows.items()
    }
