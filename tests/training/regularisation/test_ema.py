"""Test the average of the weights against a literal loop when it is scored, saved and resumed."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.training.regularisation.ema import EMA_FILE

from ...support.tiny_training import finetuner

DECAY = 0.7


class Record(TrainerCallback):
    """Record the trained weights after every step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_step_end(self, *args, model, **kwargs) -> None:
        self.weights.append({name: weight.detach().clone() for name, weight in model.named_parameters()})


def literal(history: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    average = dict(history[0])
    for weights in history[1:]:
        for name, weight in weights.items():
            average[name] = DECAY * average[name] + (1 - DECAY) * weight
    return average


def trained(folder, **fields):
    trainer = finetuner(folder, ema_decay=DECAY, **fields)
    record = Record()
    trainer.add_callback(record)
    return trainer, record


def assert_weights(model, expected) -> None:
    found = {name: weight.detach() for name, weight in model.named_parameters()}
    torch.testing.assert_close(found, expected)


@pytest.mark.medium
def test_the_model_ends_as_the_average_and_is_saved_so(tmp_path) -> None:
    trainer, record = trained(tmp_path, max_steps=5)
    trainer.train()
    assert_weights(trainer.model, literal(record.weights))
    trainer.save_model()
    assert_weights(AUVMAEForFrameAUClassification.from_pretrained(tmp_path), literal(record.weights))
    plain = finetuner(tmp_path, max_steps=5)
    plain.train()
    # The average does not change training.
    torch.testing.assert_close(record.weights[-1], dict(plain.model.named_parameters()))


def test_evaluation_on_the_way_is_that_of_the_average(tmp_path) -> None:
    trainer, record = trained(tmp_path, max_steps=4, eval_strategy="steps", eval_steps=3)
    trainer.train()
    found = next(entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry)
    oracle = finetuner(tmp_path)
    oracle.model.load_state_dict(literal(record.weights[:3]), strict=False)
    assert found == pytest.approx(oracle.evaluate()["eval_loss"], rel=1e-5)


@pytest.mark.medium
def test_a_checkpoint_holds_both_and_resumes_both(tmp_path) -> None:
    whole, record = trained(tmp_path / "whole", max_steps=6, save_strategy="steps", save_steps=3)
    whole.train()
    checkpoint = tmp_path / "whole" / "checkpoint-3"
    saved = load_file(checkpoint / EMA_FILE)
    assert saved.pop("n_averaged").item() == 3
    torch.testing.assert_close(
        {name.removeprefix("module."): weight for name, weight in saved.items()}, literal(record.weights[:3])
    )
    assert_weights(AUVMAEForFrameAUClassification.from_pretrained(checkpoint), record.weights[2])
    resumed, _ = trained(tmp_path / "resumed", max_steps=6)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert_weights(resumed.model, literal(record.weights))


@pytest.mark.medium
@pytest.mark.parametrize("save_only_model", [False, True])
def test_the_best_checkpoint_is_its_average(tmp_path, save_only_model) -> None:
    trainer, record = trained(
        tmp_path,
        max_steps=3,
        save_strategy="steps",
        save_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        load_best_model_at_end=True,
        save_only_model=save_only_model,
        metric_for_best_model="loss",
        greater_is_better=True,  # with these weights, the highest loss is not the last one
    )
    trainer.train()
    best = int(trainer.state.best_model_checkpoint.rsplit("-", 1)[1])
    assert best < 3
    assert_weights(trainer.model, literal(record.weights[:best]))
    trainer.save_model()
    assert not (tmp_path / EMA_FILE).exists()  # only checkpoints have this file
