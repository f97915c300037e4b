"""Build the tables of a paper from saved predictions, next to the published rows."""

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .bootstrap import DRAWS, bootstrap_scores, draw_subjects, percentile_interval
from .experiments import Experiment, experiment_names, group_folds, resplit_label
from .fold_metrics import COUNT_METRICS, METRICS, fold_counts, has_metric
from .intensity_metrics import INTENSITY_METRICS, mean_over_aus
from .metrics import f1_averages, f1_from_counts
from .published import PUBLISHED, published_table
from .saved_predictions import FoldPredictions
from .tables import Row, Table

UNDEFINED = (
    "nan means undefined: average precision of an AU that is never present, ROC AUC of one that is never or always "
    "present, event F1 and subject F1 of one that is neither present nor predicted. Averages that include it are "
    "undefined, too."
)


UNDEFINED_INTENSITY = (
    "nan means undefined: no frame has a coded intensity, or nothing varies. The average is over the other AUs."
)
DEFAULT_METRICS = ("f1", "accuracy", *INTENSITY_METRICS)


def summary_tables(
    runs: Iterable[FoldPredictions],
    metrics: Sequence[str] | None = None,
    by_subject: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Table]:
    """Build all tables of some runs, grouped by dataset.

    Each dataset has one table per metric, a table of averages and, optionally, a table of subjects.

    Args:
        runs: Runs in any order. Runs with the same settings are the folds of one experiment.
        metrics: Keys of `METRICS`, or ["all"]. By default F1 and accuracy, and the metrics of intensities. A table
            leaves out the runs that did not train what it scores. Without any run, it is missing.
        by_subject: Add `subjects_table`.
        draws, seed: See `draw_subjects`.

    Raises:
        ValueError: A metric is unknown, no run has a metric that is named, or runs do not fit together (see
            `Experiment`).
    """
    named = metrics is not None and list(metrics) != ["all"]
    metrics = DEFAULT_METRICS if metrics is None else metrics if named else list(METRICS)
    if unknown := sorted(set(metrics) - set(METRICS)):
        raise ValueError(f"there is no metric {', '.join(unknown)}; choose from {', '.join(METRICS)}.")
    by_dataset: dict[str, list[Experiment]] = {}
    for experiment in group_folds(runs):
        by_dataset.setdefault(experiment.dataset, []).append(experiment)
    tables = []
    for experiments in by_dataset.values():
        for metric in metrics:
            if able := _with(experiments, metric):
                tables.append(score_table(able, metric, draws, seed))
            elif named:
                kind = "intensities" if metric in INTENSITY_METRICS else "occurrences"
                raise ValueError(f"no run on {experiments[0].dataset} trained {kind}, so there is no {metric}.")
        if able := _with(experiments, "f1"):
            tables.append(averages_table(able, metrics))
            if by_subject:
                tables.append(subjects_table(able))
    return tables


def score_table(experiments: Sequence[Experiment], metric: str, draws: int = DRAWS, seed: int = 0) -> Table:
    """Tabulate one metric per AU, averaged over folds, and its mean over AUs.

    For `f1` this is Table 1 or 2 of the paper.

    Args:
        experiments: Experiments on one dataset.
        metric: Key of `METRICS`. `f1` and `accuracy` have a bootstrap interval of the mean over subjects. They also
            include the published rows of the dataset if the AUs are the published ones.
        draws, seed: See `draw_subjects`.

    Raises:
        ValueError: The experiments differ in dataset or AUs.
    """
    dataset, au_names = _common(experiments)
    title, score = METRICS[metric]
    rows, notes, graded = [], [], metric in INTENSITY_METRICS
    if published := published_table(dataset, metric, au_names):
        rows = [Row(name, "published", [value / 100 for value in row]) for name, row in published.rows.items()]
        notes.append(f"published: as printed in the paper (arXiv:2407.11468), {published.source}; three folds.")
    elif (dataset, metric) in PUBLISHED:
        notes.append("The published rows are omitted because they cover other AUs.")
    for experiment, name in zip(experiments, experiment_names(experiments), strict=True):
        values = np.mean([score(fold) for fold in experiment.folds], axis=0)
        interval = None
        if metric in COUNT_METRICS:
            counts = experiment.subject_counts()
            drawn = draw_subjects([len(part) for part in counts], draws, seed)
            means = bootstrap_scores(counts, drawn, COUNT_METRICS[metric]).mean(axis=1)
            low, high = percentile_interval(means).tolist()
            interval = low, high
        mean = mean_over_aus(values) if graded else values.mean()
        rows.append(Row(name, "computed", [*values, mean], interval))
    rows += repetition_rows(experiments, rows[-len(experiments) :])
    if metric in COUNT_METRICS:
        notes.append(
            f"95 % interval of the average: {draws} draws of the test subjects within each fold, with replacement."
        )
        if any(fold.run.get("thresholds") for experiment in experiments for fold in experiment.folds):
            notes.append(
                "Computed at the thresholds of each run, or at 0.5 if it has none. metrics.json also has the F1 at 0.5."
            )
    absent = [name for name, column in zip(au_names, _present(experiments).T, strict=True) if not column.all()]
    if metric == "f1" and absent:
        notes.append(f"Present in no coded frame of a fold: {', '.join(absent)}. By convention, its F1 there is 0.")
    if any(fold.run.get("repetition") for experiment in experiments for fold in experiment.folds):
        notes.append("Repetitions: the same subjects, resplit into folds other than the published ones.")
    if any(np.isnan(row.values).any() for row in rows):
        notes.append(UNDEFINED_INTENSITY if graded else UNDEFINED)
    unit = "intensities 0 to 5" if graded else "percent"
    return Table(f"{dataset}_{metric}", f"{title} on {dataset}, {unit}", [*au_names, "Avg."], rows, notes, not graded)


def averages_table(experiments: Sequence[Experiment], metrics: Sequence[str]) -> Table:
    """Tabulate one number per metric.

    F1 is averaged in four ways, see `f1_averages`. The other metrics are averaged over AUs, then over folds.

    Args:
        experiments: Experiments on one dataset.
        metrics: Keys of `METRICS`; `f1` is always included. Those of intensities, which are no fractions, are left out.

    Raises:
        ValueError: The experiments differ in dataset or AUs.
    """
    dataset, _ = _common(experiments)
    shown = {*metrics} - {"f1", *INTENSITY_METRICS}
    others = {title: score for metric, (title, score) in METRICS.items() if metric in shown}
    rows = []
    for experiment, name in zip(experiments, experiment_names(experiments), strict=True):
        averages = f1_averages(np.stack([fold_counts(fold) for fold in experiment.folds]))
        means = [float(np.mean([score(fold) for fold in experiment.folds])) for score in others.values()]
        rows.append(Row(name, "computed", [*averages.values(), *means]))
    rows += repetition_rows(experiments, rows)
    columns = [name.replace("_", " F1, ", 1).replace("_", " ") for name in averages]
    notes = [UNDEFINED] if any(np.isnan(row.values).any() for row in rows) else []
    return Table(f"{dataset}_averages", f"Averages on {dataset}, percent", [*columns, *others], rows, notes)


def subjects_table(experiments: Sequence[Experiment]) -> Table:
    """Tabulate the F1 of each test subject, per AU and over all AUs.

    The F1 over all AUs is computed from the summed counts.

    Args:
        experiments: Experiments on one dataset.

    Raises:
        ValueError: The experiments differ in dataset or AUs.
    """
    dataset, au_names = _common(experiments)
    rows = []
    for experiment, name in zip(experiments, experiment_names(experiments), strict=True):
        for fold, counts in zip(experiment.folds, experiment.subject_counts(), strict=True):
            with_total = np.concatenate([counts, counts.sum(axis=-1, keepdims=True)], axis=-1)
            scores = f1_from_counts(with_total, undefined=np.nan).tolist()
            rows += [
                Row(f"{subject}, {name}", "computed", values)
                for subject, values in zip(np.unique(fold.subjects), scores, strict=True)
            ]
    return Table(
        f"{dataset}_subjects", f"F1 of each subject on {dataset}, percent", [*au_names, "all AUs"], rows, [UNDEFINED]
    )


def _with(experiments: Sequence[Experiment], metric: str) -> list[Experiment]:
    """List the experiments that trained what a metric scores, in all of their folds."""
    return [one for one in experiments if all(has_metric(fold, metric) for fold in one.folds)]


def _present(experiments: Sequence[Experiment]) -> NDArray[np.bool_]:
    """Check which AUs are present in any frame, `(folds of all experiments, N)`."""
    return np.array([(fold.labels == 1).any(axis=0) for experiment in experiments for fold in experiment.folds])


def _common(experiments: Sequence[Experiment]) -> tuple[str, list[str]]:
    """Return the dataset and the AUs that all experiments share."""
    first = experiments[0]
    for experiment in experiments:
        if (experiment.dataset, experiment.au_names) != (first.dataset, first.au_names):
            raise ValueError(
                f"runs on {experiment.dataset} with {', '.join(experiment.au_names)} cannot share a table with runs "
                f"on {first.dataset} with {', '.join(first.au_names)}; summarise them separately, or score all of "
                "them on the same AUs (--aus)."
            )
    return first.dataset, first.au_names


def repetition_rows(experiments: Sequence[Experiment], rows: Sequence[Row]) -> list[Row]:
    """Average the rows of experiments that differ only in their repetition.

    Args:
        experiments: Experiments in any order.
        rows: Row of each experiment.

    Returns:
        Two rows per set of repetitions, named after the first one: mean and sample standard deviation. A single
        repetition has none.
    """
    groups: dict[str, list[int]] = {}
    for index, experiment in enumerate(experiments):
        others = {name: value for name, value in experiment.settings.items() if name != "repetition"}
        groups.setdefault(json.dumps(others), []).append(index)
    found = []
    for members in groups.values():
        if len(members) > 1:
            values = np.array([rows[index].values for index in members])
            name = rows[members[0]].method.replace(resplit_label(experiments[members[0]].folds[0].run), "")
            over = f"over {len(members)} repetitions (not the published protocol)"
            found.append(Row(f"{name}: mean {over}", "computed", values.mean(axis=0).tolist()))
            found.append(Row(f"{name}: standard deviation {over}", "computed", values.std(axis=0, ddof=1).tolist()))
    return found
