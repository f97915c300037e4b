"""Group the saved predictions of several runs into experiments."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import counts_by_group
from .saved_predictions import FILE_NAME, FoldPredictions

PER_FOLD = {
    *("fold", "thresholds", "tuned_on_test", "train_clips", "steps", "train_runtime", "hardware", "versions"),
    *("weights_sha256", "co2_grams", "coded_test_frames", "metrics", "metrics_at_half", "all_ones"),
}
"""Settings that may differ between the folds of one experiment. Any other difference makes two experiments."""

DESCRIBED = {"level", "dataset", "au_names", "train_datasets", "repetition", "folds_file"}
"""Settings that the description of an experiment or the table already states."""


def resplit_label(run: dict[str, Any]) -> str:
    """Describe how the folds differ from the published ones; "" if they do not."""
    if folds_file := run.get("folds_file"):
        return f" of {folds_file}"
    repetition = run.get("repetition", 0)
    return f" of repetition {repetition} (resplit, not the published folds)" if repetition else ""


def tuned_label(*runs: dict[str, Any]) -> str:
    """Label runs in which something was tuned on the scored data.

    The label accompanies every score of these runs. It is "" for all others.
    """
    tuned = sorted({name for run in runs for name in run.get("tuned_on_test", [])})
    return f"TUNED ON TEST DATA: {', '.join(tuned)}" if tuned else ""


@dataclass(frozen=True)
class Experiment:
    """Hold runs with the same settings, one per fold.

    Args:
        folds: Predictions of each fold. No subject is in two of them.

    Raises:
        ValueError: A subject is tested in two folds, or the folds have different AUs.
    """

    folds: list[FoldPredictions]

    def __post_init__(self) -> None:
        subjects = [subject for fold in self.folds for subject in np.unique(fold.subjects)]
        twice = sorted({str(subject) for subject in subjects if subjects.count(subject) > 1})
        if twice:
            raise ValueError(
                f"{self.description} is scored on {', '.join(twice[:5])} by two runs with the same settings; "
                "give one run per fold."
            )
        if any(fold.au_names != self.au_names for fold in self.folds):
            raise ValueError(f"the folds of {self.description} have different AUs.")

    @property
    def au_names(self) -> list[str]:
        """Return the N names of the AUs."""
        return self.folds[0].au_names

    @property
    def dataset(self) -> str:
        """Return the name of the scored dataset."""
        return str(self.folds[0].run.get("dataset", "unknown data"))

    @property
    def description(self) -> str:
        """Describe the level, the folds and the training data of the experiment.

        The description also names what was tuned on the scored data. Every reported number carries this description.
        """
        run, folds = self.folds[0].run, "+".join(str(fold.run.get("fold", "?")) for fold in self.folds)
        text = f"auvmae, {run.get('level', 'unknown')} level, fold{'s' * (len(self.folds) > 1)} {folds}"
        text += resplit_label(run)
        if train_datasets := run.get("train_datasets"):
            text += f", trained on {' and '.join(train_datasets)}"
        label = tuned_label(*(fold.run for fold in self.folds))
        return f"{text}, {label}" if label else text

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings that distinguish experiments, by name, as JSON.

        Nested settings are named like `loss.intra_weight`.
        """
        flat: dict[str, Any] = {}
        for name, value in self.folds[0].run.items():
            if name not in PER_FOLD:
                is_group = isinstance(value, dict)
                flat |= {f"{name}.{part}": inner for part, inner in value.items()} if is_group else {name: value}
        return {name: json.dumps(value, sort_keys=True) for name, value in flat.items()}

    def subject_counts(self) -> list[NDArray[np.int64]]:
        """Count per fold and subject, `(subjects, 4, N)`, at the thresholds of the run.

        See `auvmae.evaluation.metrics.counts_by_group`.
        """
        return [counts_by_group(fold.probs, fold.labels, fold.subjects, fold.thresholds) for fold in self.folds]


def load_runs(path: str | Path) -> list[FoldPredictions]:
    """Read the predictions of a run, or of every run in a folder.

    Args:
        path: `predictions.parquet`, the folder of a run, or a folder of such folders.

    Raises:
        FileNotFoundError: The path contains no predictions.
        ValueError: See `FoldPredictions.load`.
    """
    path = Path(path)
    inside = sorted(path.glob(f"*/{FILE_NAME}"))
    if (path / FILE_NAME).exists() or not inside:
        return [FoldPredictions.load(path)]
    return [FoldPredictions.load(file) for file in inside]


def group_folds(runs: Iterable[FoldPredictions]) -> list[Experiment]:
    """Group runs into experiments, in the order of their first runs.

    Raises:
        ValueError: See `Experiment`.
    """
    groups: dict[str, list[FoldPredictions]] = {}
    for run in runs:
        groups.setdefault(json.dumps(Experiment([run]).settings, sort_keys=True), []).append(run)
    return [Experiment(sorted(group, key=lambda run: str(run.run.get("fold")))) for group in groups.values()]


def experiment_names(experiments: Sequence[Experiment]) -> list[str]:
    """Name each experiment by its description and the settings that not all share."""
    settings = [experiment.settings for experiment in experiments]
    shown = [
        name
        for name in dict.fromkeys(name for one in settings for name in one)
        if name not in DESCRIBED and len({one.get(name) for one in settings}) > 1
    ]
    return [
        ", ".join([experiment.description, *(f"{name}={one.get(name, 'null').strip(chr(34))}" for name in shown)])
        for experiment, one in zip(experiments, settings, strict=True)
    ]
