"""Describe a run, as saved in `metrics.json` next to the scores."""

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
from transformers.trainer_utils import has_length

from ..configuration import AUVMAEConfig
from ..training.seen_subjects import has_seen
from .arguments import RUN, DataArguments, ModelArguments, PretrainArguments
from .arguments_finetune import FoldArguments
from .report import METRICS_FILE, WEIGHTS_FILE

EMISSIONS_FILE = "emissions.csv"  # codecarbon's

TRAINING_ARGUMENTS = (
    *("optim", "optim_args", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"),
    *("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "neftune_noise_alpha", "data_seed"),
    *("dataloader_drop_last", "bf16", "fp16", "bf16_full_eval", "fp16_full_eval"),
)
"""Fields of `transformers.TrainingArguments` that change the result and are described by no field of ours."""

CHOICE_ARGUMENTS = ("metric_for_best_model", "greater_is_better", "eval_strategy", "eval_steps", "eval_delay")
"""Further fields that change the result if the best checkpoint is kept."""

PACKAGES = ("auvmae", "torch", "transformers", "datasets", "accelerate")


def describe_run(trainer: Trainer, arguments: FoldArguments, rows: datasets.DatasetDict) -> dict[str, Any]:
    """Describe a fine-tuning run so that readers can repeat it.

    The description is saved in `metrics.json` and shown on the model card.
    """
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
        # FinetuneArguments allows selection by a score only on `inner_val`, so only the start needs checking
        "tuned_on_test": _tuned(trainer, arguments.model.model_name_or_path, protocol["dataset"], rows),
        **describe_training(trainer, arguments.model, data_args),
        **protocol,
    }


def _tuned(trainer: Trainer, base_model: str | None, dataset: str, rows: datasets.DatasetDict) -> list[str]:
    """List what was tuned on the test subjects.

    The list has "weights" if they have seen a test subject, and the entries in `metrics.json` of the base model.
    """
    path = Path(str(base_model), METRICS_FILE)
    base = json.loads(path.read_text()) if path.is_file() else {}
    seen = has_seen(cast(Any, trainer).processing_class.trained_on, dataset, rows["test"]["subject"])
    return sorted({*base.get("tuned_on_test", []), *(["weights"] if seen else [])})


def describe_pretraining(
    trainer: Trainer, model_args: ModelArguments, data_args: DataArguments, pretrain_args: PretrainArguments
) -> dict[str, Any]:
    """Describe a pre-training run.

    Its only score is the training loss, averaged over all steps. The clips of a stream are not counted.
    """
    run = describe_training(trainer, model_args, data_args)
    run["train_loss"] = trainer.state.log_history[-1]["train_loss"]
    return run if pretrain_args.stream is None else run | {"dataset": pretrain_args.stream_name}


def describe_training(trainer: Trainer, model_args: ModelArguments, data_args: DataArguments) -> dict[str, Any]:
    """Describe what pre-training and fine-tuning share, without local paths."""
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
        "train_clips": len(cast(Any, trainer.train_dataset)) if has_length(trainer.train_dataset) else None,
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
    """Return what a run started from, without local paths.

    This is a Hub name as given, or the name of a folder. A path with the placeholder `RUN` keeps one folder above it.
    """
    given, start = model_args.given_start, model_args.model_name_or_path
    if given is None or start is None or not Path(start).exists():
        return given
    if RUN not in given:
        return Path(start).resolve().name
    parts = Path(os.path.abspath(given)).parts
    return "/".join(parts[min(place for place, part in enumerate(parts) if RUN in part) - 1 :])


def _weights_sha256(folder: Path) -> str | None:
    """Return the hexadecimal SHA-256 of a folder's weights, or None without weights.

    It is the hash that the Hub shows.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def co2_grams(folder: Path) -> float | None:
    """Read the emissions of the last training in a folder, in grams, from codecarbon.

    Its file is in kilograms. Returns None if there is no such file.
    """
    path = folder / EMISSIONS_FILE
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        return 1000 * float([*csv.DictReader(file)][-1]["emissions"])
