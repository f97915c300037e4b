"""Test the loss of sides, and the training of single parts."""

import math

import pytest
import torch

from auvmae.data.loading.loader import ClipCollator
from auvmae.knowledge.intensity_losses import intensity_loss, ranking_loss
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.training.partial_training import freeze_all_but, keep_frozen

from ..support.tiny import randomise, tiny_config
from ..support.tiny_training import TinyClips, finetuner

STEM = {"patch_size": 4, "image_size": 20, "stem_channels": [4, 8], "stem_blocks": [0, 1], "weigh_positions": True}


class SidedClips(TinyClips):
    """Add the intensities of both sides; one frame is not coded."""

    def __getitem__(self, index):
        sides = torch.rand(8, 3, 2, generator=torch.Generator().manual_seed(index)) * 5
        sides[0] = math.nan
        return {**super().__getitem__(index), "side_intensities": sides}


def trainer_of(tmp_path, trained=None, **fields):
    torch.manual_seed(0)
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(grade_sides=True, **STEM)))
    if trained:
        freeze_all_but(model, trained)
    trainer = finetuner(tmp_path, SidedClips(), wrap=lambda _: model, **fields)
    trainer.ranking_weight = 2.0
    return trainer


def test_the_loss_adds_that_of_both_sides_their_frames_and_each_pair(tmp_path):
    trainer = trainer_of(tmp_path)
    batch = trainer._prepare_inputs(ClipCollator()([trainer.train_dataset[index] for index in range(2)]))
    sides = batch["side_intensities"]
    inputs = {name: value for name, value in batch.items() if name in ("pixel_values", "labels", "side_intensities")}
    outputs = trainer.forward(trainer.model.eval(), inputs)
    right, left = outputs.side_logits.unbind(-1)
    expected = sum(
        intensity_loss(logits, grades) + 2 * ranking_loss(logits, grades)
        for logits, grades in ((right, sides[..., 0]), (left, sides[..., 1]))
    )
    pairs = [
        ranking_loss(outputs.side_logits[clip, frame].T[None], sides[clip, frame].T[None])
        for clip in range(2)
        for frame in range(1, 8)
    ]
    expected += 2 * sum(pairs) / len(pairs)
    trainer.intensity_weight = trainer.ranking_weight = 0
    plain = trainer.forward(trainer.model, {**inputs, "labels": batch["labels"], "side_intensities": sides})
    assert (outputs.loss - plain.loss).item() == pytest.approx(expected.item(), rel=1e-4)


def test_only_the_named_part_learns(tmp_path):
    trainer = trainer_of(tmp_path, ["side_head"], max_steps=4)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train()
    changed = {name for name, tensor in trainer.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in changed} == {"side_head"}  # not even running statistics
    assert trainer.evaluate()["eval_loss_sides"] > 0


def test_a_model_without_that_head_ignores_the_sides(tmp_path):
    trainer = finetuner(tmp_path, SidedClips(), max_steps=1)
    trainer.train()
    assert trainer.state.log_history[0]["loss_sides"] == 0


def test_frozen_parts_stay_in_evaluation_mode():
    model = AUVMAEForFrameAUClassification(tiny_config(**STEM))
    freeze_all_but(model, ["head"])
    keep_frozen(model.train())
    assert not any(part.training for part in model.videomae.modules())
    assert model.head.training
    assert model.training
    with pytest.raises(ValueError, match="the model has no part heads; its parts are videomae, head"):
        freeze_all_but(model, ["heads"])
