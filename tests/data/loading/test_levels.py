"""Test that each batch has one level, whatever the workers, the processes or an interruption."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, DataLoader

from auvmae.configuration import LEVELS
from auvmae.data import au_names, load_au_dataset
from auvmae.data.clips import video_labels
from auvmae.data.loading.levels import LevelClips, LevelCollator
from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.data.loading.sampling import ClipSampler
from auvmae.knowledge.losses import KnowledgeGuidedLoss
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.runs.arguments import RunArguments
from auvmae.training.finetuning import AUVMAETrainer

from ...support.forge_disfa import forge_disfa
from ...support.tiny import randomise, tiny_config
from .test_loader import same

CLIP_LENGTH = 16
FRAMES = {LEVELS["video"]: 16, LEVELS["frame"]: 4, LEVELS["patch"]: 16}
CONFIG = tiny_config(clip_length=CLIP_LENGTH)
PROCESSOR = AUVMAEImageProcessor(size=20)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    root = tmp_path_factory.mktemp("levels")
    forge_disfa(root)
    return load_au_dataset("disfa", root, clip_length=CLIP_LENGTH)["train"]


def clips_at(rows: datasets.Dataset, names: Iterable[str]) -> LevelClips:
    return LevelClips(rows, [LEVELS[name] for name in names], resize=PROCESSOR.resize_frames, augment=True)


def test_an_item_is_that_of_its_level(rows: datasets.Dataset) -> None:
    mixed = clips_at(rows, LEVELS)
    assert len(mixed) == len(rows)
    assert mixed[3]["level"] == LEVELS["video"]
    for level, frames in FRAMES.items():
        alone = ClipDataset(rows, PROCESSOR.resize_frames, level.sampling_rate, True)[3]
        item = mixed[3, level]
        assert item["frames"].shape[0] == frames
        assert item.pop("level") == level
        assert same(item, alone)


@pytest.mark.medium
def test_batches_are_the_same_for_any_number_of_workers(rows: datasets.Dataset) -> None:
    clips = clips_at(rows, LEVELS)
    collator = LevelCollator(CONFIG, clips.levels)
    sampler = ClipSampler(clips, step_size=3)
    loaders = [
        DataLoader(clips, 3, sampler=sampler, collate_fn=collator, num_workers=workers, persistent_workers=workers > 1)
        for workers in (0, 1, 2)
    ]
    seen = set()
    for epoch in (0, 1):
        clips.set_epoch(epoch)
        alone, *others = [list(loader) for loader in loaders]
        for batches in others:
            assert len(batches) == len(alone)
            assert all(map(same, batches, alone))
        for batch in alone:
            assert len(batch["clips"]) == 3
            seen.add((batch["frames"].shape[1], "bool_masked_pos" in batch))
    assert seen == {(16, False), (4, False), (16, True)}


def test_the_mask_is_that_of_the_level_alone(rows: datasets.Dataset) -> None:
    clips, level = clips_at(rows, LEVELS), LEVELS["patch"]
    items = [clips[index, level] for index in (0, 1)]
    expected = ClipCollator(0.5, num_slots=8, patches_per_slot=4)(items)
    assert same(LevelCollator(CONFIG, clips.levels)(items), expected)
    assert expected["bool_masked_pos"].sum(1).tolist() == [16, 16]


def test_a_level_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"clip_length \(8\) must be a multiple"):
        LevelCollator(tiny_config(), [LEVELS["video"], LEVELS["frame"]])
    with pytest.raises(ValueError, match="mask_ratio"):
        LevelCollator(tiny_config(), [LEVELS["video"]._replace(mask_ratio=1.5)])


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_level_of_a_step(rows: datasets.Dataset, processes: int) -> None:
    clips = clips_at(rows, LEVELS)
    batches = BatchSampler(ClipSampler(clips, step_size=4 * processes), batch_size=4, drop_last=False)
    shards = [list(BatchSamplerShard(batches, processes, rank)) for rank in range(processes)]
    assert len({len(shard) for shard in shards}) == 1
    for step in zip(*shards, strict=True):
        assert len({level for batch in step for _, level in batch}) == 1
    assert {index for shard in shards for batch in shard for index, _ in batch} == set(range(len(clips)))
    assert len({batch[0][1] for batch in shards[0]}) > 1


def trainer_of(rows: datasets.Dataset, folder: Path, **fields: Any) -> AUVMAETrainer:
    torch.manual_seed(0)
    clips = clips_at(rows, LEVELS)
    names = au_names(rows)
    labels = [torch.as_tensor(video) for video in video_labels(rows)]
    labels.append(torch.ones_like(labels[0]))  # in a forged tree not every AU occurs
    return AUVMAETrainer(
        model=randomise(AUVMAEForFrameAUClassification(tiny_config(clip_length=CLIP_LENGTH, num_labels=len(names)))),
        args=RunArguments(
            output_dir=str(folder),
            per_device_train_batch_size=2,
            logging_steps=1,
            report_to="none",
            use_cpu=True,
            dataloader_pin_memory=False,
            disable_tqdm=True,
            **fields,
        ),
        train_dataset=clips,
        data_collator=LevelCollator(CONFIG, clips.levels),
        processing_class=PROCESSOR,
        criterion=KnowledgeGuidedLoss.from_labels(labels),
        train_sampler=ClipSampler(clips, step_size=2),
    )


def losses_of(trainer: AUVMAETrainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.medium
def test_a_mixture_resumes_in_the_middle_of_an_epoch(rows: datasets.Dataset, tmp_path: Path) -> None:
    few = rows.select(range(8))  # four steps an epoch
    whole = trainer_of(few, tmp_path / "whole", max_steps=7, save_steps=6)
    whole.train()
    resumed = trainer_of(few, tmp_path / "resumed", max_steps=7, save_strategy="no", dataloader_num_workers=1)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-6"))
    assert losses_of(resumed) == pytest.approx(losses_of(whole), rel=1e-6)
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
