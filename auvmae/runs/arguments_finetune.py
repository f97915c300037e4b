"""Define the arguments of fine-tuning.

Options on which the paper is silent are off by default.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from ..evaluation.intensity_metrics import ERRORS, INTENSITY_METRICS
from .arguments import LevelArguments, LossArguments, ModelArguments, RunArguments
from .arguments_protocol import ProtocolArguments
from .recipe import given_flags, parse_arguments


@dataclass
class FinetuneArguments(RunArguments):
    """Extend `RunArguments` with common fine-tuning options.

    Raises:
        ValueError: Scores on the test fold would select a checkpoint, thresholds or the learning rate, or early
            stopping would evaluate at other times than checkpoints are saved.
    """

    layer_decay: float = field(
        default=1.0,
        metadata={"help": "Ratio of a layer's learning rate to that of the next layer, e.g. 0.75; 1 for equal rates."},
    )
    drop_path: float = field(
        default=0.0,
        metadata={"help": "Drop-path rate of the last layer, e.g. 0.1; earlier layers use linearly smaller rates."},
    )
    ema_decay: float = field(
        default=0.0,
        metadata={"help": "Decay of an exponential moving average of the weights, scored and saved, e.g. 0.999."},
    )
    lora_rank: int = field(
        default=0, metadata={"help": "Rank of LoRA adapters (peft), trained with the head in place of the encoder."}
    )
    train_only: list[str] | None = field(
        default=None,
        metadata={
            "help": "Parts of the model to train, e.g. head (a linear probe). The others keep their weights. "
            "By default, all are trained."
        },
    )
    balanced_sampling: bool = field(
        default=False, metadata={"help": "Oversample clips with rare AUs, according to the rarest AU of each clip."}
    )
    distort_clips: bool = field(
        default=False,
        metadata={
            "help": "Shift the colours of training clips and lower the resolution of half of them, at random. Use it "
            "if the recordings to predict come from other cameras."
        },
    )
    inner_val: float = field(
        default=0.0,
        metadata={"help": "Fraction of the training subjects, e.g. 0.2, held out for evaluation."},
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={
            "help": "Number of evaluations on --inner_val (one per checkpoint) without a better F1, or "
            "--metric_for_best_model, after which training stops. The best checkpoint is kept."
        },
    )
    tune_thresholds: bool = field(
        default=False,
        metadata={
            "help": "Choose the threshold of each action unit by its F1 on --inner_val, and save it for prediction in "
            "the configuration of the checkpoint. Otherwise, thresholds are 0.5."
        },
    )
    false_alarm_rate: float | None = field(
        default=None,
        metadata={
            "help": "Largest share of the neutral frames of --inner_val, e.g. 0.02, in which an action unit may be "
            "detected. The thresholds of --tune_thresholds are raised until it holds. A frame is neutral if every "
            "action unit is coded as absent."
        },
    )

    @property
    def chosen_options(self) -> dict[str, Any]:
        """Return the options of this class that differ from their defaults."""
        values = {name: getattr(self, name) for name in FinetuneArguments.__annotations__}
        return {name: value for name, value in values.items() if value != getattr(FinetuneArguments, name)}

    def __post_init__(self) -> None:
        if self.early_stopping_patience is not None:
            self.load_best_model_at_end = True
            self.restore_callback_states_from_checkpoint = True  # the evaluations without a better score
            if self.save_strategy != "best":  # "best" saves only when it evaluates
                self._score_every_checkpoint()
            self.chose_metric = self.metric_for_best_model is not None
            self.metric_for_best_model = self.metric_for_best_model or "f1"
        chosen = {
            "a checkpoint": self.load_best_model_at_end or self.save_strategy == "best",
            "the learning rate": self.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy"),
            "thresholds": self.tune_thresholds,
        }
        if any(chosen.values()) and not self.inner_val:
            raise ValueError(
                f"Scores on the test fold would select {' and '.join(name for name in chosen if chosen[name])} "
                "(early stopping, --load_best_model_at_end, --save_strategy best; --lr_scheduler_type "
                "reduce_lr_on_plateau, greedy; --tune_thresholds). Hold out training subjects with --inner_val 0.2."
            )
        if self.false_alarm_rate is not None and not self.tune_thresholds:
            raise ValueError("--false_alarm_rate limits the thresholds of --tune_thresholds. Give both.")
        if metric_name(self.metric_for_best_model) in ERRORS:
            if self.greater_is_better:
                raise ValueError(
                    f"--greater_is_better true would keep the largest {self.metric_for_best_model}, but that is an "
                    "error. Omit this flag."
                )
            self.greater_is_better = False
        super().__post_init__()

    def _score_every_checkpoint(self) -> None:
        saved, scored = SaveStrategy(self.save_strategy).value, IntervalStrategy(self.eval_strategy).value
        other_steps = saved == "steps" and self.eval_steps not in (None, self.save_steps)
        if other_steps or scored not in ("no", saved):
            asked = f"--eval_steps {self.eval_steps:g}" if other_steps else f"--eval_strategy {scored}"
            raise ValueError(
                f"--early_stopping_patience evaluates every checkpoint, but {asked} evaluates at other times. Omit it, "
                f"or set --save_strategy (now {saved}) and --save_steps (now {self.save_steps:g}) to match it."
            )
        self.eval_strategy, self.eval_steps = self.save_strategy, self.save_steps


def metric_name(metric: str | None) -> str:
    """Return the metric of a score, without its split and action unit.

    >>> metric_name("eval_mae_AU12")
    'mae'
    """
    return (metric or "").removeprefix("eval_").split("_")[0]


@dataclass
class FoldArguments:
    """Hold all arguments of one fine-tuning fold.

    Args:
        model: Weights to start from.
        data: Clips to train and to test on.
        levels: Input levels of the encoder.
        loss: Weights of Eq. 9.
        training: `TrainingArguments`, and common fine-tuning options.
    """

    model: ModelArguments
    data: ProtocolArguments
    levels: LevelArguments
    loss: LossArguments
    training: FinetuneArguments

    def __post_init__(self) -> None:
        """Start from the default, and check that what selects a checkpoint is trained.

        Raises:
            ValueError: Thresholds or a checkpoint would be selected by what `--target` leaves out.
        """
        self.model.start_from_default()
        args, target = self.training, self.data.target
        if target == "intensity" and args.tune_thresholds:
            raise ValueError(
                "--tune_thresholds chooses thresholds of occurrences, which --target intensity does not train. Omit "
                "it, or use --target both."
            )
        if target == "intensity" and args.early_stopping_patience is not None and not args.chose_metric:
            args.metric_for_best_model = "icc"
        metric = metric_name(args.metric_for_best_model)
        lacking = {"intensity": ("f1", "accuracy"), "occurrence": (*INTENSITY_METRICS,)}
        if metric in lacking.get(str(target), ()):
            raise ValueError(
                f"--metric_for_best_model {args.metric_for_best_model} is not scored with --target {target}. Choose "
                f"{'icc' if target == 'intensity' else 'f1'}, or --target both."
            )

    CLASSES = (ModelArguments, ProtocolArguments, LevelArguments, LossArguments, FinetuneArguments)

    @classmethod
    def parse(cls, argv: Sequence[str] | None = None, default_recipe: str | Path | None = None) -> "FoldArguments":
        """Parse a recipe and the flags that override it; see `parse_arguments`."""
        return cls(*parse_arguments(cls.CLASSES, argv, default_recipe))

    @classmethod
    def given(cls, argv: Sequence[str] | None = None, default_recipe: str | Path | None = None) -> dict[str, str]:
        """Return the flags that differ from their defaults; see `given_flags`."""
        return given_flags(cls.CLASSES, argv, default_recipe)
