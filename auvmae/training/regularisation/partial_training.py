"""Train a part of a model, and freeze the rest.

The part is one or more of its modules, or LoRA adapters from `peft` in a frozen encoder. After training, the few
adapter weights are merged into it.
"""

from collections.abc import Collection
from typing import Any

from torch import nn
from transformers import Trainer, TrainerCallback

from ...modeling_auvmae import AUVMAEForFrameAUClassification

TARGETS = ["query", "value"]
"""W_q and W_v, as in Sec. 7.1 of Hu et al., "LoRA" (2021)."""


def freeze_all_but(model: nn.Module, trained: Collection[str]) -> None:
    """Freeze all parts of a model but those named.

    Args:
        model: Model whose direct parts are named, e.g. `videomae`, `head` and `intensity_head`.
        trained: Names of the parts to train.

    Raises:
        ValueError: The model has no such part.
    """
    parts = dict(model.named_children())
    if unknown := [name for name in trained if name not in parts]:
        raise ValueError(f"the model has no part {', '.join(unknown)}; its parts are {', '.join(parts)}.")
    for name, part in parts.items():
        part.requires_grad_(name in trained)


def keep_frozen(model: nn.Module) -> None:
    """Set the parts that `freeze_all_but` has frozen to evaluation mode.

    Call it after the model was set to training mode. Otherwise, their running statistics and dropout would change.
    """
    for part in model.children():
        if not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()


def add_lora(model: AUVMAEForFrameAUClassification, rank: int) -> Any:
    """Freeze the encoder and add adapters to the queries and values of its layers.

    The head is trained in full.

    Args:
        model: Model to change in place.
        rank: Rank of the adapters, at least 1. Their scale is 1.

    Returns:
        `peft.PeftModel` around `model`, which saves only adapters and head.

    Raises:
        ImportError: `peft` is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("--lora_rank requires peft. Install it with: pip install 'auvmae[lora]'.") from error
    heads = [name for name, _ in model.named_children() if name.endswith("head")]
    return get_peft_model(model, LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS, modules_to_save=heads))


class MergeLora(TrainerCallback):
    """Merge the adapters into the model's weights at the end of training.

    The merged model replaces the adapted one in the trainer and can be saved and loaded without peft. Intermediate
    checkpoints hold the adapters, to resume from.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Replace the trainer's model by the merged one."""
        model: Any = self.trainer.model
        self.trainer.model = self.trainer.model_wrapped = model.merge_and_unload()
