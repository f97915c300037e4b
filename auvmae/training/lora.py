"""LoRA through `peft`: few trainable weights beside a frozen encoder, merged into it when training is done."""

from typing import Any

from transformers import Trainer, TrainerCallback

from ..modeling_auvmae import AUVMAEForFrameAUClassification

TARGETS = ["query", "value"]
"""Hu et al., "LoRA" (2021), Sec. 7.1: W_q and W_v."""


def add_lora(model: AUVMAEForFrameAUClassification, rank: int) -> Any:
    """Freeze the encoder and put adapters on queries and values of its layers; the head is trained whole.

    Args:
        model: changed in place.
        rank: of the adapters, from 1. Their scale is 1.

    Returns:
        A `peft.PeftModel` around `model`; it saves adapters and head alone.

    Raises:
        ImportError: `peft` is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("--lora_rank needs peft: pip install 'auvmae[lora]'.") from error
    return get_peft_model(model, LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS, modules_to_save=["head"]))


class MergeLora(TrainerCallback):
    """At the end of training, put the plain model with the adapters added to its weights in the place of the adapted.

    What is saved from then on loads without peft. Checkpoints on the way hold adapters, to resume from.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """`TrainerCallback.on_train_end`."""
        model: Any = self.trainer.model
        self.trainer.model = self.trainer.model_wrapped = model.merge_and_unload()
