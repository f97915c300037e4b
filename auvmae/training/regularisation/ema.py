"""Evaluate and save an exponential moving average (EMA) of the weights."""

import os
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput

EMA_FILE = "ema.safetensors"


class EMATrainer(Trainer):
    """Average the weights after every training step.

    The average is `average = decay * average + (1 - decay) * weights`, and starts from the weights after the first
    step. Evaluation during training uses the average. After training, the model holds the average, which is then saved
    and scored. Intermediate checkpoints hold the trained weights, to resume from, and the average in `ema.safetensors`.

    Args:
        args, kwargs: Arguments of `transformers.Trainer`.
        ema_decay: Decay in [0, 1), e.g. 0.999. With 0 there is no average.

    Raises:
        ValueError: The trainer uses FSDP or DeepSpeed, where no process holds all the weights.
    """

    def __init__(self, *args: Any, ema_decay: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.average: AveragedModel | None = None
        if ema_decay:
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                raise ValueError("--ema_decay needs all weights on every process. Disable FSDP or DeepSpeed.")
            model: Any = self.model
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
            self.add_callback(_UpdateAverage(self.average))

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate the average instead of the trained weights."""
        # Before training there is nothing to exchange; after training the model holds the average.
        if self.average is None or not self.is_in_train:
            return super().evaluation_loop(*args, **kwargs)
        exchange_weights(self.model, self.average)
        try:
            return super().evaluation_loop(*args, **kwargs)
        finally:
            exchange_weights(self.model, self.average)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model and, during training, its average.

        The average is not saved with the optimizer state, because the best checkpoint is reloaded without that
        state.
        """
        super().save_model(output_dir, _internal_call)
        if self.average is not None and self.is_in_train and self.args.should_save:
            save_file(self.average.state_dict(), os.path.join(output_dir or str(self.args.output_dir), EMA_FILE))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        self._load_average(checkpoint)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        self._load_average(self.state.best_model_checkpoint)

    def _load_average(self, checkpoint: str | None) -> None:
        if self.average is not None and checkpoint is not None:
            self.average.load_state_dict(load_file(os.path.join(checkpoint, EMA_FILE)))


@torch.no_grad()
def exchange_weights(model: Any, average: AveragedModel) -> None:
    """Exchange the weights of model and average in place.

    References to the parameters, e.g. in an optimizer, stay valid.
    """
    for weight, averaged in zip(model.parameters(), average.parameters(), strict=True):
        kept = weight.clone()
        weight.copy_(averaged)
        averaged.copy_(kept)


class _UpdateAverage(TrainerCallback):
    def __init__(self, average: AveragedModel) -> None:
        self.average = average

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.average.update_parameters(kwargs["model"])

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        exchange_weights(kwargs["model"], self.average)
