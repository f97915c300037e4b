"""Test that LoRA trains only adapters and head, resumes, and saves a model that loads without peft."""

import json

import pytest
import torch
from safetensors.torch import load_file

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.training.regularisation.partial_training import MergeLora, add_lora

from ...support.tiny import tiny_clip, tiny_config
from ...support.tiny_training import finetuner, losses_of

pytest.importorskip("peft", reason="the extra `lora` is missing")
# peft 0.21 uses a name that transformers 5.23 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def adapted(folder, merge: bool = True, **fields):
    trainer = finetuner(folder, wrap=lambda model: add_lora(model, rank=2), **fields)
    if merge:
        trainer.add_callback(MergeLora(trainer))
    return trainer


def test_merged_equals_unmerged_and_loads_without_peft(tmp_path) -> None:
    trainer, clip = adapted(tmp_path, merge=False, max_steps=3), tiny_clip(num_frames=8)
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == {name for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    assert all("lora_" in name or "head.modules_to_save" in name for name in moved)
    assert any("query.lora_B" in name for name in moved)

    expected = trainer.model.eval()(clip).logits
    MergeLora(trainer).on_train_end()
    assert type(trainer.model) is AUVMAEForFrameAUClassification
    torch.testing.assert_close(trainer.model.eval()(clip).logits, expected, atol=1e-6, rtol=1e-5)
    trainer.save_model()
    assert not list(tmp_path.glob("adapter*"))
    saved = AUVMAEForFrameAUClassification.from_pretrained(tmp_path)
    assert list(load_file(tmp_path / "model.safetensors")) == sorted(
        AUVMAEForFrameAUClassification(tiny_config()).state_dict()
    )
    torch.testing.assert_close(saved(clip).logits, expected, atol=1e-6, rtol=1e-5)
    assert trainer.evaluate()["eval_loss"] > 0


@pytest.mark.medium
def test_a_run_with_adapters_resumes(tmp_path) -> None:
    whole = adapted(tmp_path / "whole", max_steps=4, save_strategy="steps", save_steps=2)
    whole.train()
    checkpoint = tmp_path / "whole" / "checkpoint-2"
    assert json.loads((checkpoint / "adapter_config.json").read_text())["r"] == 2
    resumed = adapted(tmp_path / "resumed", max_steps=4)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert losses_of(resumed) == pytest.approx(losses_of(whole), rel=1e-6)
    torch.testing.assert_close(dict(resumed.model.named_parameters()), dict(whole.model.named_parameters()))
