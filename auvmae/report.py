"""What a fine-tuning run leaves behind: the table, `metrics.json`, the figures and the model card."""

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

from .arguments import DataArguments, LevelArguments, LossArguments, ModelArguments
from .configuration import AUVMAEConfig
from .fsm import cooccurrence_matrix, straight_through, transition_tensor
from .losses import NOT_CODED, KnowledgeGuidedLoss
from .metrics import au_metrics
from .plotting import plot_cooccurrence, plot_timeline, plot_transitions, save_figure
from .tables import markdown_table

PACKAGES = ("auvmae", "torch", "transformers", "datasets", "accelerate")


def format_table(au_names: list[str], metrics: dict[str, float], all_ones: dict[str, float]) -> str:
    """Per AU and on average: F1, accuracy, and the F1 of calling everything present, in percent, as Markdown.

    Args:
        au_names: N names.
        metrics: Fractions as of `auvmae.metrics.au_metrics`.
        all_ones: The same for a prediction of ones; only its F1 is shown.
    """
    columns = (("F1", "f1", metrics), ("accuracy", "accuracy", metrics), ("F1 of all-ones", "f1", all_ones))
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
        run: What describes the run in `metrics.json` and on the card: data set, fold, level, seed, ...
    """

    probs: NDArray[np.float32]
    labels: NDArray[Any]
    au_names: list[str]
    run: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        probs, labels = (values.reshape(-1, len(self.au_names)) for values in (self.probs, self.labels))
        self.metrics = au_metrics(probs, labels, self.au_names)
        self.all_ones = au_metrics(np.ones_like(probs), labels, self.au_names)
        self.coded_frames = int((labels != NOT_CODED).any(axis=1).sum())

    def table(self) -> str:
        """The per-AU table in Markdown, in percent."""
        return format_table(self.au_names, self.metrics, self.all_ones)

    def to_dict(self) -> dict[str, Any]:
        """Everything `metrics.json` holds; scores are fractions."""
        return {
            **self.run,
            "coded_test_frames": self.coded_frames,
            "metrics": self.metrics,
            "all_ones": {key: value for key, value in self.all_ones.items() if key.startswith("f1")},
            "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
        }

    def save(self, output_dir: str | Path) -> Path:
        """Write `metrics.json` whole or not at all."""
        path = Path(output_dir) / "metrics.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".json.tmp")
        temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        os.replace(temporary, path)
        return path

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


def describe_run(
    trainer: Trainer,
    model_args: ModelArguments,
    data_args: DataArguments,
    level_args: LevelArguments,
    loss_args: LossArguments,
) -> dict[str, Any]:
    """What a reader must know to repeat a run, as it stands in `metrics.json` and on the card."""
    args, config = trainer.args, cast(AUVMAEConfig, cast(Any, trainer.model).config)
    history = trainer.state.log_history
    return {
        "dataset": data_args.dataset,
        "fold": data_args.fold,
        "level": level_args.level,
        "au_names": config.au_names,
        "clip_length": config.clip_length,
        "sampling_rate": config.sampling_rate,
        "mask_ratio": config.mask_ratio,
        "base_model": model_args.model_name_or_path and Path(model_args.model_name_or_path).name,
        "loss": asdict(loss_args),
        "rare_au_clips": data_args.rare_au_clips,
        "clip_stride": data_args.clip_stride,
        "train_share": data_args.train_share,
        "train_clips": len(cast(Any, trainer.train_dataset)),
        "steps": trainer.state.global_step,
        "num_train_epochs": args.num_train_epochs,
        "max_steps": args.max_steps,
        "batch_size": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
        "learning_rate": args.learning_rate,
        "seed": args.seed,
        # as long as the evaluation set is the test side, the best epoch on it is chosen by what it is scored on
        "tuned_on_test": ["epoch"] if args.load_best_model_at_end else [],
        "train_runtime": next((entry["train_runtime"] for entry in history if "train_runtime" in entry), 0.0),
        "hardware": f"{args.world_size} process(es) on {args.device.type}, {os.cpu_count()} CPU cores",
    }
