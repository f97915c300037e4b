"""Test that batches contain the right frames, decoded once, whatever the workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from auvmae.data import load_au_dataset
from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.processors import AUVMAEImageProcessor
from auvmae.video.container import VideoDecodeError

from ...support.forge_bp4d import forge_bp4d
from ...support.forge_disfa import LENGTHS, forge_disfa, frame_numbers

CLIP_LENGTH = 64


def small(frames: np.ndarray) -> torch.Tensor:
    """Resize every crop to one size, so that they stack."""
    return torch.from_numpy(frames[:, :32, :32].copy())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> datasets.DatasetDict:
    root = tmp_path_factory.mktemp("loader")
    forge_disfa(root)
    return load_au_dataset("disfa", root, clip_length=CLIP_LENGTH, rare_au_clips=True)


@pytest.mark.parametrize("sampling_rate", [1, 4])
@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_items(data: datasets.DatasetDict, sampling_rate: int, backend: str) -> None:
    clips = ClipDataset(data["train"], torch.from_numpy, sampling_rate, backend=backend)
    assert len(clips) == len(data["train"])
    for row, item in zip(data["train"], clips, strict=True):
        assert item["frames"].shape == (CLIP_LENGTH // sampling_rate, 48, 64, 3)
        assert item["labels"].dtype == torch.int64
        assert item["labels"].tolist() == row["labels"]
        last = row["start_frame"] + row["num_frames"] - 1
        expected = [min(row["start_frame"] + step, last) for step in range(0, CLIP_LENGTH, sampling_rate)]
        assert frame_numbers(item["frames"].numpy()) == expected
        assert item["clip"] == f"{row['video']} from frame {row['start_frame']}"


def test_every_test_frame_enters_once(data: datasets.DatasetDict) -> None:
    frames = [
        number
        for row, item in zip(data["test"], ClipDataset(data["test"], torch.from_numpy), strict=True)
        for number in frame_numbers(item["frames"].numpy())[: row["num_frames"]]
    ]
    assert frames == list(range(LENGTHS["SN003"]))


def test_image_folders(tmp_path: Path) -> None:
    forge_bp4d(tmp_path)
    rows = load_au_dataset("bp4d", tmp_path, clip_length=32)["test"]
    item = ClipDataset(rows, torch.from_numpy, sampling_rate=4)[0]
    assert frame_numbers(item["frames"].numpy()) == [8, 12, 16, 20, 20, 20, 20, 20]


def test_with_our_processor(data: datasets.DatasetDict) -> None:
    item = ClipDataset(data["train"], AUVMAEImageProcessor(size=32).resize_frames, sampling_rate=4, augment=True)[0]
    assert item["frames"].shape == (16, 32, 32, 3)
    assert item["frames"].dtype == torch.uint8


def batches(clips: ClipDataset, **options: Any) -> Iterator[dict[str, Any]]:
    collator = ClipCollator(mask_ratio=0.5, num_slots=8, patches_per_slot=4)
    generator = torch.Generator().manual_seed(5)
    yield from DataLoader(clips, 3, shuffle=True, generator=generator, collate_fn=collator, **options)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[name], b[name]) if torch.is_tensor(a[name]) else a[name] == b[name] for name in a
    )


@pytest.mark.medium
def test_workers_change_nothing(data: datasets.DatasetDict) -> None:
    clips = ClipDataset(data["train"], small, sampling_rate=4, augment=True, seed=3)
    for epoch in (0, 1):
        clips.set_epoch(epoch)
        alone, together = list(batches(clips)), list(batches(clips, num_workers=2))
        assert len(alone) == len(together)
        assert all(map(same, alone, together))


def test_epochs_and_seeds_differ(data: datasets.DatasetDict) -> None:
    clips = ClipDataset(data["train"], torch.from_numpy, augment=True)
    first = [clips[index] for index in range(4)]
    clips.set_epoch(1)
    second = [clips[index] for index in range(4)]
    clips.set_epoch(0)
    assert all(map(same, first, [clips[index] for index in range(4)]))
    other = [ClipDataset(data["train"], torch.from_numpy, augment=True, seed=1)[index] for index in range(4)]
    for changed in (second, other):
        assert not any(map(same, first, changed))
        assert all(torch.equal(a["labels"], b["labels"]) for a, b in zip(first, changed, strict=True))


def test_persistent_workers_hear_of_the_epoch(data: datasets.DatasetDict) -> None:
    clips = ClipDataset(data["train"].select(range(4)), small, sampling_rate=8, augment=True)
    loader = DataLoader(clips, 2, num_workers=1, persistent_workers=True, collate_fn=ClipCollator())
    for epoch in (0, 1):
        clips.set_epoch(epoch)
        expected = [ClipCollator()([clips[index], clips[index + 1]]) for index in (0, 2)]
        assert all(map(same, list(loader), expected))


def test_collator(data: datasets.DatasetDict) -> None:
    clips = ClipDataset(data["train"], torch.from_numpy, sampling_rate=4)
    items = [clips[0], clips[1]]
    batch = ClipCollator()(items)
    assert batch.keys() == {"frames", "labels", "clips"}
    assert batch["frames"].shape == (2, 16, 48, 64, 3)
    assert batch["labels"].shape == (2, CLIP_LENGTH, 8)
    assert batch["clips"] == [items[0]["clip"], items[1]["clip"]]
    collator = ClipCollator(mask_ratio=0.5, num_slots=8, patches_per_slot=12)
    masks = [collator(pair)["bool_masked_pos"] for pair in (items, items, items[::-1])]
    assert masks[0].shape == (2, 96)
    assert masks[0].dtype == torch.bool
    assert masks[0].sum(1).tolist() == [48, 48]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_broken_files_are_named(tmp_path: Path, num_workers: int) -> None:
    forge_disfa(tmp_path, {"SN001": 40, "SN003": 40})
    rows = load_au_dataset("disfa", tmp_path, clip_length=32)["train"]
    video = Path(rows[0]["video"])
    data = video.read_bytes()
    video.write_bytes(data[: data.index(b"movi") + 300])
    with pytest.raises(VideoDecodeError, match=r"frame \d+ of .*LeftVideoSN001_comp\.avi"):
        list(DataLoader(ClipDataset(rows, torch.from_numpy), 2, num_workers=num_workers, collate_fn=ClipCollator()))
