"""Test that single parts of a model are trained, and the others are left as they are."""

import pytest
import torch

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.training.regularisation.partial_training import freeze_all_but, keep_frozen

from ...support.tiny import randomise, tiny_config
from ...support.tiny_training import finetuner

STEM = {"patch_size": 4, "image_size": 20, "stem_channels": [4, 8], "stem_blocks": [0, 1], "weigh_positions": True}


def test_only_the_named_part_learns(tmp_path):
    torch.manual_seed(0)
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(**STEM)))
    freeze_all_but(model, ["head"])
    trainer = finetuner(tmp_path, wrap=lambda _: model, max_steps=4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainer.train()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in changed} == {"head"}  # not even running statistics


def test_frozen_parts_stay_in_evaluation_mode():
    model = AUVMAEForFrameAUClassification(tiny_config(**STEM))
    freeze_all_but(model, ["head"])
    keep_frozen(model.train())
    assert not any(part.training for part in model.videomae.modules())
    assert model.head.training
    assert model.training
    with pytest.raises(ValueError, match="the model has no part heads; its parts are videomae, head"):
        freeze_all_but(model, ["heads"])
