"""What a run leaves behind for its reader: the table, `metrics.json`, the figures."""

import csv
import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Trainer

from ..configuration import AUVMAEConfig
from ..evaluation.metrics import au_metrics
from ..evaluation.tables import markdown_table
from ..knowledge.fsm import cooccurrence_matrix, straight_through, transition_tensor
from ..knowledge.losses import NOT_CODED, KnowledgeGuidedLoss
from ..plotting.style import plot_cooccurrence, plot_timeline, plot_transitions, save_figure
from ..training.seen_subjects import has_seen
from .arguments import RUN, DataArguments, LevelArguments, LossArguments, ModelArguments
from .arguments_finetune import FinetuneArguments
from .arguments_protocol import ProtocolArguments

METRICS_FILE = "metrics.json"
WEIGHTS_FILE = "model.safetensors"
EMISSIONS_FILE = "emissions.csv"  # codecarbon's
TRAINING_ARGUMENTS = (
    *("optim", "optim_args", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"),
    *("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "neftune_noise_alpha", "data_seed"),
    *("dataloader_drop_last", "bf16", "fp16", "bf16_full_eval", "fp16_full_eval"),
)
"""Those of `transformers.TrainingArguments` that change what comes out, and are not described by a name of ours."""

CHOICE_ARGUMENTS = ("metric_for_best_model", "greater_is_better", "eval_strategy", "eval_steps", "eval_delay")
"""The same where the best checkpoint is kept."""

PACKAGES = ("auvmae", "torch", "transformers", "datasets", "accelerate")


def format_table(
    au_names: list[str],
    metrics: dict[str, float],
    all_ones: dict[str, float],
    at_half: dict[str, float] | None = None,
) -> str:
    """Per AU and on average: F1, accuracy, and the F1 of calling everything present, in percent, as Markdown.

    Args:
        au_names: N names.
        metrics: Fractions as of `auvmae.evaluation.metrics.au_metrics`.
        all_ones: The same for a prediction of ones; only its F1 is shown.
        at_half: The same at a threshold of 0.5, if `metrics` are at others; only its F1 is shown.
    """
    columns = [("F1", "f1", metrics), ("accuracy", "accuracy", metrics), ("F1 of all-ones", "f1", all_ones)]
    if at_half is not None:
        columns.insert(1, ("F1 at 0.5", "f1", at_half))
    rows = [["AU", *(title for title, _, _ in columns)]]
    for name, suffix in [*((name, f"_{name}") for name in au_names), ("mean", "")]:
        rows.append([name, *(f"{100 * scores[metric + suffix]:.1f}" for _, metric, scores in columns)])
    return markdown_table(rows)


@dataclass
class FoldReport:
    """Scores of one test fold beside the trivial reference that calls every AU present in every frame.

    Args:
        probs: `(clips, T, N)` in [0, 1].
        labels: `(clips, T, N)`: 0, 1, or -100.
        au_names: N names.
        run: What describes the run in `metrics.json` and on the card: data set, fold, level, seed, ... If it has
            `thresholds`, the scores are at those, and the F1 at 0.5 stands beside them.
    """

    probs: NDArray[np.float32]
    labels: NDArray[Any]
    au_names: list[str]
    run: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        probs, labels = (values.reshape(-1, len(self.au_names)) for values in (self.probs, self.labels))
        self.metrics = au_metrics(probs, labels, self.au_names)
        self.at_half: dict[str, float] | None = None
        if thresholds := self.run.get("thresholds"):
            self.at_half, self.metrics = self.metrics, au_metrics(probs, labels, self.au_names, np.array(thresholds))
        self.all_ones = au_metrics(np.ones_like(probs), labels, self.au_names)
        self.coded_frames = int((labels != NOT_CODED).any(axis=1).sum())

    def table(self) -> str:
        """The per-AU table in Markdown, in percent."""
        return format_table(self.au_names, self.metrics, self.all_ones, self.at_half)

    def to_dict(self) -> dict[str, Any]:
        """Everything `metrics.json` holds; scores are fractions."""
        return {
            **self.run,
            "coded_test_frames": self.coded_frames,
            "metrics": self.metrics,
            **({"metrics_at_half": self.at_half} if self.at_half else {}),
            "all_ones": {key: value for key, value in self.all_ones.items() if key.startswith("f1")},
        }

    def draw_knowledge(self, criterion: KnowledgeGuidedLoss, output_dir: str | Path) -> list[Path]:
        """Draw the priors beside what the model does on the test fold (the paper's Fig. 6)."""
        probs, coded = torch.as_tensor(self.probs), torch.as_tensor(self.labels) != NOT_CODED
        learned = cooccurrence_matrix(straight_through(probs), coded), transition_tensor(probs, coded)
        prior = "prior (training labels)"
        cooccurrence = {
            prior: criterion.cooccurrence_prior.cpu().numpy(),
            "learned (test predictions)": learned[0].numpy(),
        }
        # of the probabilities, as in Eq. 7: a doubtful frame counts as a share of a change
        transitions = {
            prior: criterion.transition_prior.cpu().numpy(),
            "learned (test probabilities)": learned[1].numpy(),
        }
        return [
            save_figure(plot_cooccurrence(cooccurrence, self.au_names), Path(output_dir) / "cooccurrence.png"),
            save_figure(plot_transitions(transitions, self.au_names), Path(output_dir) / "transitions.png"),
        ]

    def draw_timeline(self, rows: datasets.Dataset, output_dir: str | Path) -> Path:
        """Draw the first video of the test side; `rows` are the clips that were scored, in order."""
        video = rows[0]["video"]
        clips = [index for index, name in enumerate(rows["video"]) if name == video]
        clips.sort(key=lambda index: rows[index]["start_frame"])
        lengths = [rows[index]["num_frames"] for index in clips]
        probs, labels = (
            np.concatenate([values[index][:length] for index, length in zip(clips, lengths, strict=True)])
            for values in (self.probs, self.labels)
        )
        figure = plot_timeline(probs, labels, self.au_names, title=f"{rows[0]['subject']} {rows[0]['task']}".strip())
        return save_figure(figure, Path(output_dir) / "timeline.png")


def draw_figures(
    report: FoldReport, rows: datasets.Dataset, criterion: KnowledgeGuidedLoss, output_dir: str | Path
) -> list[Path]:
    """Draw every figure of a run into `output_dir/figures`."""
    folder = Path(output_dir) / "figures"
    return [*report.draw_knowledge(criterion, folder), report.draw_timeline(rows, folder)]


def save_metrics(run: dict[str, Any], output_dir: str | Path) -> Path:
    """Write `metrics.json`."""
    return save_json(run, Path(output_dir) / METRICS_FILE)


def save_json(content: dict[str, Any], path: Path) -> Path:
    """Write a file whole or not at all, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)
    return path


def describe_run(
    trainer: Trainer,
    model_args: ModelArguments,
    data_args: ProtocolArguments,
    level_args: LevelArguments,
    loss_args: LossArguments,
    rows: datasets.DatasetDict,
) -> dict[str, Any]:
    """What a reader must know to repeat a fine-tuning run, as it stands in `metrics.json` and on the card."""
    config = cast(AUVMAEConfig, cast(Any, trainer.model).config)
    protocol = data_args.describe()
    return {
        "level": level_args.eval_level,
        "train_levels": level_args.levels,
        "au_names": config.au_names,
        "thresholds": config.thresholds,
        "loss": asdict(loss_args),
        "options": cast(FinetuneArguments, trainer.args).chosen_options,
        "rare_au_clips": data_args.rare_au_clips,
        "clip_stride": data_args.clip_stride,
        "train_share": data_args.train_share,
        "load_best_model_at_end": trainer.args.load_best_model_at_end,
        # FinetuneArguments lets nothing be chosen by a score without `inner_val`: what is left is where it started
        "tuned_on_test": _tuned(trainer, model_args.model_name_or_path, protocol["dataset"], rows),
        **describe_training(trainer, model_args, data_args),
        **protocol,
    }


def _tuned(trainer: Trainer, base_model: str | None, dataset: str, rows: datasets.DatasetDict) -> list[str]:
    """What was tuned on the test subjects: "weights" that have seen one of them, or what the start says of itself."""
    path = Path(str(base_model), METRICS_FILE)
    base = json.loads(path.read_text()) if path.is_file() else {}
    seen = has_seen(cast(Any, trainer).processing_class.trained_on, dataset, rows["test"]["subject"])
    return sorted({*base.get("tuned_on_test", []), *(["weights"] if seen else [])})


def describe_pretraining(trainer: Trainer, model_args: ModelArguments, data_args: DataArguments) -> dict[str, Any]:
    """The same of a pre-training run; there is no score but the training loss, a mean over all steps."""
    losses = {"train_loss": trainer.state.log_history[-1]["train_loss"]}
    return describe_training(trainer, model_args, data_args) | losses


def describe_training(trainer: Trainer, model_args: ModelArguments, data_args: DataArguments) -> dict[str, Any]:
    """What pre-training and fine-tuning have in common, without the paths of this machine."""
    args, config = trainer.args, cast(AUVMAEConfig, cast(Any, trainer.model).config)
    history, start, output_dir = trainer.state.log_history, model_args.model_name_or_path, Path(str(args.output_dir))
    arguments, choice = args.to_dict(), CHOICE_ARGUMENTS if args.load_best_model_at_end else ()
    scored = output_dir if args.do_train else start
    return {
        "dataset": data_args.dataset,
        "clip_length": config.clip_length,
        "sampling_rate": config.sampling_rate,
        "mask_ratio": config.mask_ratio,
        "base_model": _base_model(model_args),
        "train_clips": len(cast(Any, trainer.train_dataset)),
        "steps": trainer.state.global_step,
        "num_train_epochs": args.num_train_epochs,
        "max_steps": args.max_steps,
        "batch_size": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
        "learning_rate": args.learning_rate,
        "training": {name: arguments[name] for name in TRAINING_ARGUMENTS + choice},
        "model_config": json.loads(model_args.model_config),
        "seed": args.seed,
        "train_runtime": next((entry["train_runtime"] for entry in history if "train_runtime" in entry), 0.0),
        "hardware": f"{args.world_size} process(es) on {args.device.type}, {os.cpu_count()} CPU cores",
        "co2_grams": co2_grams(output_dir) if "codecarbon" in (args.report_to or ()) else None,
        "weights_sha256": _weights_sha256(Path(scored)) if scored else None,
        "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
    }


def _base_model(model_args: ModelArguments) -> str | None:
    """What a run started from: a Hub name as it was given; of a folder, its name, or all from above `RUN` on."""
    given, start = model_args.given_start, model_args.model_name_or_path
    if given is None or start is None or not Path(start).exists():
        return given
    if RUN not in given:
        return Path(start).resolve().name
    parts = Path(os.path.abspath(given)).parts
    return "/".join(parts[min(place for place, part in enumerate(parts) if RUN in part) - 1 :])


def _weights_sha256(folder: Path) -> str | None:
    """Hexadecimal SHA-256 of a folder's weights, as the Hub shows it; None without such a file."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def co2_grams(folder: Path) -> float | None:
    """What codecarbon estimated for the last training in this folder (its column is in kg), if it did."""
    path = folder / EMISSIONS_FILE
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        return 1000 * float([*csv.DictReader(file)][-1]["emissions"])
