"""Test layer-wise learning rates against a literal loop, and with a real optimizer and schedule."""

import pytest
import torch

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.training.regularisation.layer_decay import layer_decay_groups

from ...support.tiny import tiny_config
from ...support.tiny_training import finetuner


def expected_rates(model: AUVMAEForFrameAUClassification, rate: float, decay: float) -> dict[int, float]:
    """Map each parameter's id to its rate, with one factor per step from head to embedding."""
    rates = {id(parameter): rate for parameter in model.head.parameters()}
    if model.videomae.layernorm is not None:
        rates |= {id(parameter): rate for parameter in model.videomae.layernorm.parameters()}
    for part in [*reversed(model.videomae.encoder.layer), model.videomae.embeddings]:
        rate *= decay
        rates |= {id(parameter): rate for parameter in part.parameters()}
    return rates


@pytest.mark.parametrize("use_mean_pooling", [True, False])
def test_groups_against_a_loop(use_mean_pooling: bool) -> None:
    model = AUVMAEForFrameAUClassification(tiny_config(num_hidden_layers=12, use_mean_pooling=use_mean_pooling))
    decayed = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    groups = layer_decay_groups(model, 12, 1e-3, 0.75, 0.05, decayed)
    found = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert found == pytest.approx(expected_rates(model, 1e-3, 0.75))
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    weight_decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        assert weight_decay[id(parameter)] == (0.05 if name in decayed else 0.0)
    assert groups[0]["lr"] == 1e-3


def test_frozen_weights_are_in_no_group() -> None:
    model = AUVMAEForFrameAUClassification(tiny_config())
    model.videomae.requires_grad_(False)
    groups = layer_decay_groups(model, 2, 1e-3, 0.5, 0.0, set())
    assert [len(group["params"]) for group in groups] == [len(list(model.head.parameters()))]


@pytest.mark.parametrize("decay", [0.0, 1.1])
def test_a_decay_outside_its_range_is_an_error(decay: float) -> None:
    with pytest.raises(ValueError, match=r"layer_decay must lie in \(0, 1\]"):
        layer_decay_groups(AUVMAEForFrameAUClassification(tiny_config()), 2, 1e-3, decay, 0.0, set())


def test_the_optimizer_and_the_schedule_keep_the_ratios(tmp_path) -> None:
    trainer = finetuner(
        tmp_path,
        layer_decay=0.5,
        max_steps=4,
        lr_scheduler_type="linear",
        save_strategy="steps",
        save_steps=2,
    )
    trainer.train()
    base = expected_rates(trainer.model, 1e-2, 0.5)
    for group in trainer.optimizer.param_groups:
        for parameter in group["params"]:
            assert group["initial_lr"] == pytest.approx(base[id(parameter)])
    logged = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert logged[-1] == pytest.approx(1e-2 * 0.25)
    resumed = finetuner(tmp_path / "resumed", layer_decay=0.5, max_steps=4, lr_scheduler_type="linear")
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for a, b in zip(trainer.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)
