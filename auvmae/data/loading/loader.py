"""From rows to batches: the frames that are needed, decoded, augmented and resized in the worker, and stacked.

They stay uint8 until they are where the model is (`ClipTrainer`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import datasets
import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from ...configuration import AUVMAEConfig
from ...masking import tube_mask
from ...video.container import VideoDecodeError
from ...video.random_access import read_frames
from .augmentation import augment_clip
from .shared_frames import ByValue, FramePool

MAX_TRIES = 10
"""Clips that may fail to decode one after the other before something is wrong with more than a file."""


class ClipDataset(Dataset):
    """Rows of clips as tensors. What an item is depends on `seed`, epoch and index alone, not on workers or order.

    Args:
        rows: rows of `load_au_dataset`.
        resize: brings uint8 frames (T, H, W, 3) to the size they stack in, e.g. `AUVMAEImageProcessor.resize_frames`.
        sampling_rate: every `sampling_rate`-th frame is decoded and enters; labels are of every frame.
        augment: flip and crop, drawn once per clip and epoch.
        seed: of the augmentation and of the masks.
        backend: see `read_frames`.
        with_labels: whether an item has its labels; it has none where the rows have none.
        skip_broken: give another clip, drawn at random, in place of one that does not decode.
    """

    def __init__(
        self,
        rows: datasets.Dataset,
        resize: Callable[[np.ndarray], torch.Tensor],
        sampling_rate: int = 1,
        augment: bool = False,
        seed: int = 0,
        backend: str = "decord",
        with_labels: bool = True,
        skip_broken: bool = False,
    ) -> None:
        self.rows = rows.with_format("numpy")
        self.resize = resize
        self.sampling_rate = sampling_rate
        self.augment = augment
        self.seed = seed
        self.backend = backend
        self.skip_broken = skip_broken
        self.with_labels = with_labels and rows.features["labels"].shape[1] > 0
        # in shared memory: persistent workers hold a copy of the rest of this object from before the epoch changed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Draw other augmentations and masks; to be called before the epoch's iterator is made."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Decode one clip.

        Returns:
            {"frames": uint8 (T, H', W', 3), T = clip_length / sampling_rate, "clip": its name, "seed": of its mask}
            and, if there are any, "labels": int64 (clip_length, N). Past the real frames the last one is repeated,
            the labels are -100. If clips were passed over to come to this one, "skipped" says which and why.

        Raises:
            VideoDecodeError: names the file and the frame. With `skip_broken`, after `MAX_TRIES` clips in a row.
        """
        generator = np.random.default_rng((self.seed, self._epoch.item(), index))
        skipped: list[str] = []
        while True:
            row = self.rows[index]
            labels = torch.from_numpy(row["labels"].astype(np.int64))
            numbers = np.minimum(np.arange(0, len(labels), self.sampling_rate), row["num_frames"] - 1)
            try:
                clip = read_frames(str(row["video"]), numbers + row["start_frame"], self.backend)
                break
            except VideoDecodeError as error:
                skipped.append(str(error))
                if not self.skip_broken or len(skipped) == MAX_TRIES:
                    raise
                index = int(generator.integers(len(self.rows)))
        seed = int(generator.integers(2**63))
        if self.augment:
            clip = augment_clip(clip, generator)
        clip_name = f"{row['video']} from frame {row['start_frame']}"
        item = {"frames": self.resize(clip), "clip": clip_name, "seed": seed}
        if self.with_labels:
            item["labels"] = labels
        if skipped:
            item["skipped"] = skipped
        return item


@dataclass
class ClipCollator:
    """Stack clips into a batch, and draw its tube masks where part of the patches is hidden.

    Args:
        mask_ratio: share of the patches to hide; 0 for no mask.
        num_slots: temporal slots (tubelets) of a clip.
        patches_per_slot: patches of one slot.
        masks_per_clip: masks drawn for each clip, one after the other in the batch.
    """

    mask_ratio: float = 0.0
    num_slots: int = 0
    patches_per_slot: int = 0
    masks_per_clip: int = 1
    _pool: FramePool = field(default_factory=FramePool, init=False, repr=False)

    @classmethod
    def from_config(cls, config: AUVMAEConfig, masks_per_clip: int = 1) -> "ClipCollator":
        """The collator of the level that `config` describes."""
        num_slots = config.clip_length // config.sampling_rate // config.tubelet_size
        return cls(config.mask_ratio, num_slots, config.patches_per_slot, masks_per_clip)

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate items of `ClipDataset`.

        Returns:
            {"frames": uint8 (B, T, H, W, 3), "clips": B names}, with labels "labels": int64 (B, clip_length, N), and
            with a mask "bool_masked_pos": bool (B * masks_per_clip, num_slots * patches_per_slot), True = hidden. If
            clips were passed over, "skipped" says which and why. In a loader's worker the tensors are wrapped
            (`recycling`); out of it they come as tensors.
        """
        in_worker = get_worker_info() is not None
        stack = self._pool.stack if in_worker else _stack
        batch: dict[str, Any] = {"frames": stack([item["frames"] for item in items])}
        if "labels" in items[0]:
            batch["labels"] = torch.stack([item["labels"] for item in items])
        if self.mask_ratio:
            # a generator per clip: its mask does not depend on the batch that it happens to be in
            generators = [torch.Generator().manual_seed(item["seed"]) for item in items]
            sizes = self.masks_per_clip, self.num_slots, self.patches_per_slot, self.mask_ratio
            batch["bool_masked_pos"] = torch.cat([tube_mask(*sizes, one) for one in generators])
        if in_worker:
            batch |= {name: ByValue(value) for name, value in batch.items() if name != "frames"}
        if skipped := [reason for item in items for reason in item.get("skipped", [])]:
            batch["skipped"] = skipped
        return {**batch, "clips": [item["clip"] for item in items]}


def _stack(clips: list[torch.Tensor]) -> torch.Tensor:
    """`torch.stack`, without a copy of a single clip."""
    return clips[0][None] if len(clips) == 1 else torch.stack(clips)
