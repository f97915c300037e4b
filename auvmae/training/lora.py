"""Fine-tune with LoRA adapters from `peft`.

The encoder is frozen. After training, the few adapter weights are merged into it.
"""

from typing import Any

from transformers import Trainer, TrainerCallback

from ..modeling_auvmae import AUVMAEForFrameAUClassification

TARGETS = ["query", "value"]
"""W_q and W_v, as in Sec. 7.1 of Hu et al., "LoRA" (2021)."""


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
