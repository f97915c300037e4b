"""Load rows of clips as batches.

A worker decodes only the frames that are needed, augments and resizes them, and stacks them. They stay uint8 until they
are on the model's device (`ClipTrainer`).
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
from .augmentation import augment_clip, distort_clip
from .shared_frames import ByValue, FramePool

MAX_TRIES = 10
"""Maximum number of consecutive clips that fail to decode; more than one broken file must then be the cause."""


class ClipDataset(Dataset):
    """Load rows of clips as tensors.

    An item depends only on `seed`, epoch and index, not on the workers or the order.

    Args:
        rows: Rows of `load_au_dataset`.
        resize: Function that resizes uint8 frames (T, H, W, 3) to a common size, e.g.
            `AUVMAEImageProcessor.resize_frames`.
        sampling_rate: Decode every `sampling_rate`-th frame. The labels keep every frame.
        augment: Flip and crop, drawn once per clip and epoch.
        distort: With `augment`, also shift the colours and lower the resolution.
        seed: Random seed of the augmentation and the masks.
        backend: Decoder, see `read_frames`.
        with_labels: Whether an item contains labels. It has none if the rows have none.
        skip_broken: Replace a clip that cannot be decoded with another one, drawn at random.
    """

    def __init__(
        self,
        rows: datasets.Dataset,
        resize: Callable[[np.ndarray], torch.Tensor],
        sampling_rate: int = 1,
        augment: bool = False,
        distort: bool = False,
        seed: int = 0,
        backend: str = "pyav",
        with_labels: bool = True,
        skip_broken: bool = False,
    ) -> None:
        self.rows = rows.with_format("numpy")
        self.resize = resize
        self.sampling_rate = sampling_rate
        self.augment, self.distort = augment, distort
        self.seed = seed
        self.backend = backend
        self.skip_broken = skip_broken
        self.with_labels = with_labels and rows.features["labels"].shape[1] > 0
        self.with_intensities = self.with_labels and "intensities" in rows.features
        # in shared memory, because persistent workers keep a copy of this object from before the epoch changed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Draw new augmentations and masks; call this before iterating over the epoch."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Decode one clip.

        Returns:
            {"frames": uint8 (T, H', W', 3) with T = clip_length / sampling_rate, "clip": name of the clip, "seed": seed
            of its mask}, and, if there are any, "labels": int64 (clip_length, N) and "intensities": float32 of the same
            shape. Past the real frames, the last frame is repeated, labels are -100 and intensities NaN. "skipped"
            lists the clips that were skipped before this one, with the reasons, if there are any.

        Raises:
            VideoDecodeError: A clip cannot be decoded; the message names the file and the frame. With `skip_broken`,
                `MAX_TRIES` clips in a row cannot be decoded.
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
        name = f"{row['video']} from frame {row['start_frame']}"
        item = clip_item(clip, name, generator, self.resize, self.augment, self.distort)
        if self.with_labels:
            item["labels"] = labels
        if self.with_intensities:
            item["intensities"] = torch.from_numpy(row["intensities"])
        if skipped:
            item["skipped"] = skipped
        return item


def clip_item(
    clip: np.ndarray,
    name: str,
    generator: np.random.Generator,
    resize: Callable[[np.ndarray], torch.Tensor],
    augment: bool,
    distort: bool = False,
) -> dict[str, Any]:
    """Augment and resize a decoded clip.

    Args:
        clip: uint8 (T, H, W, 3).
        name: Name of the clip.
        generator: Generator of all draws.
        resize, augment, distort: See `ClipDataset`.

    Returns:
        "frames", "clip" and "seed" of an item of `ClipDataset`.
    """
    seed = int(generator.integers(2**63))
    if augment:
        clip = augment_clip(clip, generator)
        if distort:
            clip = distort_clip(clip, generator)
    return {"frames": resize(clip), "clip": name, "seed": seed}


@dataclass
class ClipCollator:
    """Stack clips into a batch, and draw its tube masks.

    Args:
        mask_ratio: Share of the patches to hide; 0 for no mask.
        num_slots: Temporal slots (tubelets) of a clip.
        patches_per_slot: Patches of one slot.
        masks_per_clip: Masks drawn for each clip, adjacent in the batch.
    """

    mask_ratio: float = 0.0
    num_slots: int = 0
    patches_per_slot: int = 0
    masks_per_clip: int = 1
    _pool: FramePool = field(default_factory=FramePool, init=False, repr=False)

    @classmethod
    def from_config(cls, config: AUVMAEConfig, masks_per_clip: int = 1) -> "ClipCollator":
        """Create the collator for the level of `config`."""
        num_slots = config.clip_length // config.sampling_rate // config.tubelet_size
        return cls(config.mask_ratio, num_slots, config.patches_per_slot, masks_per_clip)

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate items of `ClipDataset`.

        Returns:
            {"frames": uint8 (B, T, H, W, 3), "clips": B names}. With labels, also "labels": int64 (B, clip_length, N),
            and "intensities": float32 of the same shape if the dataset has them. With a mask, also "bool_masked_pos":
            bool (B * masks_per_clip, num_slots * patches_per_slot), True = hidden. If clips were skipped, "skipped"
            lists them with the reasons. In a loader worker the tensors are wrapped (see `shared_frames`) and arrive in
            the training process as tensors.
        """
        in_worker = get_worker_info() is not None
        stack = self._pool.stack if in_worker else _stack
        batch: dict[str, Any] = {"frames": stack([item["frames"] for item in items])}
        for name in ("labels", "intensities"):
            if name in items[0]:
                batch[name] = torch.stack([item[name] for item in items])
        if self.mask_ratio:
            # one generator per clip, so that its mask does not depend on the rest of the batch
            generators = [torch.Generator().manual_seed(item["seed"]) for item in items]
            sizes = self.masks_per_clip, self.num_slots, self.patches_per_slot, self.mask_ratio
            batch["bool_masked_pos"] = torch.cat([tube_mask(*sizes, one) for one in generators])
        if in_worker:
            batch |= {name: ByValue(value) for name, value in batch.items() if name != "frames"}
        if skipped := [reason for item in items for reason in item.get("skipped", [])]:
            batch["skipped"] = skipped
        return {**batch, "clips": [item["clip"] for item in items]}


def _stack(clips: list[torch.Tensor]) -> torch.Tensor:
    """Stack clips as `torch.stack` does, but without copying a single clip."""
    return clips[0][None] if len(clips) == 1 else torch.stack(clips)
