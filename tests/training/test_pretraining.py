"""Test pre-training: reference losses, dual masking, several masks per clip, broken clips, the log."""

import csv
import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch

from auvmae.data import load_au_dataset
from auvmae.data.loading.loader import MAX_TRIES, ClipDataset
from auvmae.masking import running_cells, tube_mask
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining
from auvmae.plotting.pretraining import plot_losses
from auvmae.processors import AUVMAEImageProcessor
from auvmae.training.pretraining import SkippedClips
from auvmae.training.reference_losses import nearest_visible, reference_losses
from auvmae.training.trainer import train
from auvmae.video.container import VideoDecodeError
from tests.support.tiny_training import pretrainer

from ..support.forge_disfa import numbered_frame, write_video
from ..support.tiny import randomise, tiny_clip, tiny_config, tiny_mask
from ..support.tiny_training import TinyClips


@pytest.mark.parametrize("norm_pix_loss", [True, False])
def test_references_equal_loops(norm_pix_loss):
    model = AUVMAEForVideoPretraining(tiny_config(norm_pix_loss=norm_pix_loss))
    clip, mask = tiny_clip(2, 8), tiny_mask(2, 8, 0.5)
    # Compute the targets of all patches at once.
    every = torch.arange(8)[None].expand(4, -1)  # 2 clips x 2 windows of 2 slots x 4 patches
    targets = model.patch_targets(clip, every).view(2, 16, -1, 3)
    mean_errors, copy_errors = [], []
    for sample, token in itertools.product(range(2), range(16)):
        if not mask[sample, token]:
            continue
        patch = targets[sample, token]
        mean_errors.append((patch - patch.mean(0)).square())
        slot, place = divmod(token, 4)
        seen = [other for other in range(4) if not mask[sample, slot * 4 + other]]
        near = min(seen, key=lambda other: ((other // 2 - place // 2) ** 2 + (other % 2 - place % 2) ** 2, other))
        copy_errors.append((patch - targets[sample, slot * 4 + near]).square())
    found = reference_losses(model, clip, mask)
    assert found["loss_patch_mean"] == pytest.approx(torch.stack(mean_errors).mean().item(), rel=1e-5)
    assert found["loss_nearest_patch"] == pytest.approx(torch.stack(copy_errors).mean().item(), rel=1e-5)
    if norm_pix_loss:
        assert found["loss_patch_mean"] == pytest.approx(1, abs=0.01)


def test_the_nearest_visible_patch_on_a_larger_grid():
    model = AUVMAEForVideoPretraining(tiny_config(image_size=60))
    visible, hidden = model.videomae.split_tokens(
        torch.zeros(3, 4, 3, 60, 60), tube_mask(3, 2, 36, 0.8, torch.Generator().manual_seed(1))
    )
    found = nearest_visible(model, visible, hidden)
    for row, tokens in enumerate(hidden.tolist()):
        for token, near in zip(tokens, found[row].tolist(), strict=True):
            in_slot = [other for other in visible[row].tolist() if other // 36 == token // 36]

            def distance(other, place=token % 36):
                return (other % 36 // 6 - place // 6) ** 2 + (other % 6 - place % 6) ** 2

            assert near in in_slot
            assert distance(near) == min(map(distance, in_slot))


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 0.9])
def test_running_cells_take_every_place_equally_often(ratio):
    hidden = torch.stack([torch.arange(20).mul(2 + row) for row in range(3)])
    slots = 20
    tokens = (hidden[:, None] + 1000 * torch.arange(slots)[None, :, None]).flatten(1)
    found = running_cells(tokens, slots, ratio).view(3, slots, -1)
    kept = 20 - int(ratio * 20)
    assert found.shape[2] == kept
    for row, slot in itertools.product(range(3), range(slots)):
        assert sorted(set(found[row, slot].tolist())) == found[row, slot].tolist()
        assert set((found[row, slot] - 1000 * slot).tolist()) <= set(hidden[row].tolist())
    counts = torch.bincount((found[0] % 1000).flatten() // 2, minlength=20)
    assert (counts == kept).all()


def test_dual_masking_trains_on_a_part_and_scores_on_all():
    model = randomise(AUVMAEForVideoPretraining(tiny_config(decoder_mask_ratio=0.5)))
    clip, mask = tiny_clip(2, 8), tiny_mask(2, 8, 0.5)
    assert model(clip, mask).logits.shape == (2, 8, 600)
    outputs = model.train()(clip, mask)
    assert outputs.logits.shape == (2, 4, 600)
    # Recompute in parts: the decoder sees only the visible tokens and those that it has to reconstruct.
    visible, hidden = model.videomae.split_tokens(clip, mask)
    part = running_cells(hidden, 2, 0.5)
    tokens = model.videomae(clip, mask).last_hidden_state
    expected = model.forward_decoder(tokens, visible, part)
    torch.testing.assert_close(outputs.logits, expected.reshape(2, 4, 600))
    torch.testing.assert_close(outputs.loss, (expected - model.patch_targets(clip, part)).square().mean())


def test_several_masks_of_a_clip_are_clips_of_a_batch(tmp_path):
    clips = TinyClips()
    trainer = pretrainer(tmp_path, clips, masks_per_clip=2)
    batch = trainer.data_collator([clips[0], clips[1]])
    assert batch["frames"].shape[0] == 2
    assert batch["bool_masked_pos"].shape == (4, 16)
    assert not torch.equal(batch["bool_masked_pos"][0], batch["bool_masked_pos"][1])
    loss = trainer.compute_loss(trainer.model, trainer._prepare_inputs(dict(batch)))
    pixels = trainer.processing_class.normalize_frames(batch["frames"])[[0, 0, 1, 1]]
    torch.testing.assert_close(loss, trainer.model(pixels, batch["bool_masked_pos"]).loss)


def test_the_log_says_whether_the_loss_is_normal(tmp_path):
    trainer = pretrainer(tmp_path, max_steps=4, logging_steps=2)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert len(lines) == 2
    for line in lines:
        assert line["loss_patch_mean"] == pytest.approx(1, abs=0.01)
        assert line["loss_nearest_patch"] > line["loss_patch_mean"]  # in noise, neighbouring patches are unrelated
        assert line["variance_explained"] < 1
        assert line["clips_per_second"] > 0
        assert 0 <= line["data_wait"] <= 1


@pytest.mark.parametrize("colour", [0, 128])
def test_a_clip_of_one_colour_has_no_variance_to_explain(tmp_path, colour):
    clips = TinyClips(2)
    clips.frames[0] = colour
    trainer = pretrainer(tmp_path, clips, max_steps=2, per_device_train_batch_size=1)
    train(trainer)
    state = (tmp_path / "trainer_state.json").read_text()
    lines = [line for line in json.loads(state, parse_constant=pytest.fail)["log_history"] if "loss" in line]
    assert sorted("variance_explained" in line for line in lines) == [False, True]
    assert min(line["loss_patch_mean"] for line in lines) == pytest.approx(0, abs=1e-6)
    assert plot_losses(lines).axes[1].lines[0].get_xdata().tolist() == [1, 2]


def test_tensorboard_gets_the_references_and_the_speed(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pretrainer(tmp_path, max_steps=2, report_to="tensorboard").train()
    written = event_accumulator.EventAccumulator(str(next(tmp_path.rglob("events.out.tfevents.*")).parent)).Reload()
    for name in ("loss", "loss_patch_mean", "loss_nearest_patch", "variance_explained", "clips_per_second"):
        assert [event.step for event in written.Scalars(f"train/{name}")] == [1, 2]


def broken_videos(folder: Path, sound: int, broken: int):
    """Index `sound + broken` videos, then overwrite the broken ones."""
    folder.mkdir()
    template = write_video(folder / "video00.mp4", [numbered_frame(index) for index in range(8)], codec="mpeg4")
    for index in range(1, sound + broken):
        shutil.copy(template, folder / f"video{index:02d}.mp4")
    options = {"clip_length": 8, "cache_dir": folder.parent / "cache"}
    rows = load_au_dataset("face_videos", folder, **options)["train"]
    for row in rows.select(range(sound, sound + broken)):
        Path(row["video"]).write_bytes(b"gone")
    return rows


def test_broken_clips_are_passed_over_counted_and_listed(tmp_path):
    rows = broken_videos(tmp_path / "videos", sound=6, broken=2)
    config = tiny_config(mask_ratio=0.5)
    clips = ClipDataset(rows, AUVMAEImageProcessor(20).resize_frames, skip_broken=True)
    trainer = pretrainer(tmp_path / "run", clips, num_train_epochs=1, config=config)
    trainer.train()
    assert trainer.state.global_step == 4
    with (tmp_path / "run" / "skipped_clips.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert {Path(row["reason"].split(":")[0]).name for row in listed} >= {"video06.mp4", "video07.mp4"}
    line = [line for line in trainer.state.log_history if "skipped_clips" in line][-1]
    assert line["skipped_clips"] == len(listed)


def test_without_skipping_a_broken_clip_is_an_error_and_all_of_them_always(tmp_path):
    rows = broken_videos(tmp_path / "videos", sound=0, broken=3)
    for skip_broken in (False, True):
        with pytest.raises(VideoDecodeError, match=r"video0\d\.mp4"):
            ClipDataset(rows, torch.from_numpy, skip_broken=skip_broken)[0]
    assert MAX_TRIES > 1


def test_too_many_broken_clips_end_the_run(tmp_path):
    skipped = SkippedClips(tmp_path, max_share=0.1)
    skipped.add(["a.mp4"] * 10, clips=8, step=1)  # ten are always allowed
    message = r"11 of 27 clips could not be decoded\. The last one: b\.mp4.*skipped_clips\.csv"
    with pytest.raises(RuntimeError, match=message):
        skipped.add(["b.mp4"], clips=8, step=2)
    assert len((tmp_path / "skipped_clips.csv").read_text().splitlines()) == 12
    patient = SkippedClips(tmp_path / "other", max_share=0.1)
    patient.add([], clips=1000, step=1)
    patient.add(["c.mp4"] * 11, clips=8, step=2)


def test_a_run_over_too_many_broken_clips_stops(tmp_path):
    rows = broken_videos(tmp_path / "videos", sound=6, broken=4)
    clips = ClipDataset(rows, AUVMAEImageProcessor(20).resize_frames, skip_broken=True)
    trainer = pretrainer(tmp_path / "run", clips, num_train_epochs=9, max_skipped=0.1)
    with pytest.raises(RuntimeError, match=r"clips could not be decoded\. The last one: .*video0[6-9]\.mp4"):
        trainer.train()
    assert 5 <= trainer.state.global_step <= 15  # ten are allowed; about four of an epoch's ten clips are broken
