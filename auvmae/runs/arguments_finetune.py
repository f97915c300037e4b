"""Arguments of fine-tuning where the paper is silent: all off by default."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from .arguments import LevelArguments, LossArguments, ModelArguments, RunArguments
from .arguments_protocol import ProtocolArguments
from .recipe import given_flags, parse_arguments


@dataclass
class FinetuneArguments(RunArguments):
    """`RunArguments` and what practitioners fine-tune with.

    Raises:
        ValueError: A checkpoint, a threshold or the learning rate would be chosen by scores on the test fold, or early
            stopping is to score at other times than it saves.
    """

    layer_decay: float = field(
        default=1.0, metadata={"help": "Learning rate of a layer over that of the next, e.g. 0.75; 1 for one rate."}
    )
    drop_path: float = field(
        default=0.0, metadata={"help": "Chance to skip a branch of the last layer, less before it, e.g. 0.1."}
    )
    ema_decay: float = field(
        default=0.0, metadata={"help": "Score and save an exponential moving average of the weights, e.g. 0.999."}
    )
    lora_rank: int = field(
        default=0, metadata={"help": "Train adapters of this rank (peft) and the head, not the encoder."}
    )
    balanced_sampling: bool = field(
        default=False, metadata={"help": "Draw a training clip the oftener the rarer its rarest AU is."}
    )
    inner_val: float = field(
        default=0.0,
        metadata={"help": "Share of the training subjects, e.g. 0.2, that is held out of training to evaluate on."},
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "Stop after so many evaluations on --inner_val (one per checkpoint) without a better F1, or "
            "--metric_for_best_model, and keep the best checkpoint."
        },
    )

    tune_thresholds: bool = field(
        default=False,
        metadata={
            "help": "Choose the threshold of each action unit by its F1 on --inner_val and keep it in the checkpoint's "
            "configuration, by which predictions go; 0.5 without."
        },
    )

    @property
    def chosen_options(self) -> dict[str, Any]:
        """Those of the above that are not at their default."""
        values = {name: getattr(self, name) for name in FinetuneArguments.__annotations__}
        return {name: value for name, value in values.items() if value != getattr(FinetuneArguments, name)}

    def __post_init__(self) -> None:
        if self.early_stopping_patience is not None:
            self.load_best_model_at_end = True
            self.restore_callback_states_from_checkpoint = True  # evaluations without a better score, so far
            if self.save_strategy != "best":  # which is when it is scored
                self._score_every_checkpoint()
            self.metric_for_best_model = self.metric_for_best_model or "f1"
        chosen = {
            "a checkpoint": self.load_best_model_at_end or self.save_strategy == "best",
            "the learning rate": self.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy"),
            "thresholds": self.tune_thresholds,
        }
        if any(chosen.values()) and not self.inner_val:
            raise ValueError(
                f"{' and '.join(name for name in chosen if chosen[name])} would be chosen by scores on the test fold "
                "(early stopping, --load_best_model_at_end, --save_strategy best; --lr_scheduler_type "
                "reduce_lr_on_plateau, greedy; --tune_thresholds): hold training subjects out with --inner_val 0.2."
            )
        super().__post_init__()

    def _score_every_checkpoint(self) -> None:
        saved, scored = SaveStrategy(self.save_strategy).value, IntervalStrategy(self.eval_strategy).value
        other_steps = saved == "steps" and self.eval_steps not in (None, self.save_steps)
        if other_steps or scored not in ("no", saved):
            asked = f"--eval_steps {self.eval_steps:g}" if other_steps else f"--eval_strategy {scored}"
            raise ValueError(
                f"--early_stopping_patience scores each checkpoint, and {asked} is not when they are saved: leave it "
                f"out, or give the same to --save_strategy (now {saved}) and --save_steps (now {self.save_steps:g})."
            )
        self.eval_strategy, self.eval_steps = self.save_strategy, self.save_steps


@dataclass
class FoldArguments:
    """Everything that one fold of fine-tuning is told.

    Args:
        model: Where the weights come from.
        data: Which clips train and which test.
        levels: How clips enter the encoder.
        loss: Weights of Eq. 9.
        training: `TrainingArguments`, and what practitioners fine-tune with.
    """

    model: ModelArguments
    data: ProtocolArguments
    levels: LevelArguments
    loss: LossArguments
    training: FinetuneArguments

    CLASSES = (ModelArguments, ProtocolArguments, LevelArguments, LossArguments, FinetuneArguments)

    @classmethod
    def parse(cls, argv: Sequence[str] | None = None, default_recipe: str | Path | None = None) -> "FoldArguments":
        """Parse a recipe and the flags over it, see `parse_arguments`."""
        return cls(*parse_arguments(cls.CLASSES, argv, default_recipe))

    @classmethod
    def given(cls, argv: Sequence[str] | None = None, default_recipe: str | Path | None = None) -> dict[str, str]:
        """Give the flags that differ from their defaults, see `given_flags`."""
        return given_flags(cls.CLASSES, argv, default_recipe)
