"""Describe a run: what `metrics.json` says besides scores."""

import csv
import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import datasets
from transformers import Trainer

from ..configuration import AUVMAEConfig
from ..training.seen_subjects import has_seen
from .arguments import RUN, DataArguments, ModelArguments
from .arguments_finetune import FoldArguments
from .report import METRICS_FILE, WEIGHTS_FILE

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


def describe_run(trainer: Trainer, arguments: FoldArguments, rows: datasets.DatasetDict) -> dict[str, Any]:
    """What a reader must know to repeat a fine-tuning run, as it stands in `metrics.json` and on the card."""
    config = cast(AUVMAEConfig, cast(Any, trainer.model).config)
    data_args, level_args = arguments.data, arguments.levels
    protocol = data_args.describe()
    return {
        "level": level_args.eval_level,
        "train_levels": level_args.levels,
        "au_names": config.au_names,
        "thresholds": config.thresholds,
        "loss": asdict(arguments.loss),
        "options": arguments.training.chosen_options,
        "rare_au_clips": data_args.rare_au_clips,
        "clip_stride": data_args.clip_stride,
        "train_share": data_args.train_share,
        "load_best_model_at_end": trainer.args.load_best_model_at_end,
        # FinetuneArguments lets nothing be chosen by a score without `inner_val`: what is left is where it started
        "tuned_on_test": _tuned(trainer, arguments.model.model_name_or_path, protocol["dataset"], rows),
        **describe_training(trainer, arguments.model, data_args),
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
