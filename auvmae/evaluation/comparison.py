"""Compare two runs by paired bootstrap over test subjects."""

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..video.reading import VIDEO_SUFFIXES
from .bootstrap import DRAWS, bootstrap_scores, draw_subjects, percentile_interval
from .experiments import Experiment


@dataclass(frozen=True)
class Comparison:
    """Hold the F1 of two experiments on the same frames.

    Arrays have N + 1 values: one per AU, and last the macro F1, which is the mean over AUs.

    Args:
        au_names: The N AUs that both experiments have.
        num_folds: Number of folds that F1 is averaged over; 1 if it is pooled.
        num_subjects, num_frames: Number of subjects and frames that both were scored on.
        first, second: F1 of each, `(N + 1,)`, as fractions.
        interval: 95 % interval of `first - second`, `(2, N + 1)`: low, high.
        wins: Share of the draws in which the first is better, `(N + 1,)`. A tie counts as half a win.
    """

    au_names: list[str]
    num_folds: int
    num_subjects: int
    num_frames: int
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    interval: NDArray[np.float64]
    wins: NDArray[np.float64]


def compare(first: Experiment, second: Experiment, draws: int = DRAWS, seed: int = 0) -> Comparison:
    """Compare two experiments on the subjects and AUs that both were scored on.

    The same subjects are drawn for both, within each fold. If the two split the subjects into different folds, F1 is
    pooled over all subjects.

    Args:
        first, second: The experiments, each scored at the thresholds of its runs.
        draws, seed: See `draw_subjects`.

    Raises:
        ValueError: An experiment has no occurrences, the two share no subject or no AU, or the frames or labels of the
            shared subjects differ.
    """
    for experiment in (first, second):
        if not all(fold.has_occurrences for fold in experiment.folds):
            raise ValueError(f"{experiment.description} was trained with --target intensity, so there is no F1.")
    names = [name for name in first.au_names if name in second.au_names]
    counts = [_counts_of_subjects(experiment, names) for experiment in (first, second)]
    subjects = sorted(counts[0].keys() & counts[1].keys())
    if not names or not subjects:
        raise ValueError(f"the two runs share no {'AU' if subjects else 'subject'}, so they cannot be compared.")
    num_frames = _check_frames(first, second, subjects, names)

    folds = _folds(first, subjects)
    if folds != _folds(second, subjects):
        folds = [subjects]
    parts = [[np.stack([of_subject[name] for name in fold]) for fold in folds] for of_subject in counts]
    drawn = draw_subjects([len(fold) for fold in folds], draws, seed)
    once = [np.ones((1, len(fold)), dtype=np.int64) for fold in folds]
    scores = [_with_macro(bootstrap_scores(part, once))[0] for part in parts]
    draws_of_first, draws_of_second = (_with_macro(bootstrap_scores(part, drawn)) for part in parts)
    differences = draws_of_first - draws_of_second
    return Comparison(
        names,
        len(folds),
        len(subjects),
        num_frames,
        scores[0],
        scores[1],
        percentile_interval(differences),
        (differences > 0).mean(axis=0) + (differences == 0).mean(axis=0) / 2,
    )


def _with_macro(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([scores, scores.mean(axis=-1, keepdims=True)], axis=-1)


def _counts_of_subjects(experiment: Experiment, names: list[str]) -> dict[str, NDArray[np.int64]]:
    """Count the frames of each subject, `(4, AUs)`, for the given AUs."""
    columns = [experiment.au_names.index(name) for name in names]
    return {
        str(subject): part[:, columns]
        for fold, counts in zip(experiment.folds, experiment.subject_counts(), strict=True)
        for subject, part in zip(np.unique(fold.subjects), counts, strict=True)
    }


def _folds(experiment: Experiment, subjects: list[str]) -> list[list[str]]:
    """List `subjects` by fold, sorted, so that the numbers of the folds do not matter."""
    folds = [sorted(set(fold.subjects.tolist()).intersection(subjects)) for fold in experiment.folds]
    return sorted(filter(None, folds))


def _check_frames(first: Experiment, second: Experiment, subjects: list[str], names: list[str]) -> int:
    """Check that both have the same frames and labels, and count the frames."""
    labels, others = (_labels(experiment, subjects, names) for experiment in (first, second))
    different = sorted(labels.keys() ^ others.keys())
    if different:
        subject, video, frame = different[0]
        raise ValueError(
            f"the two runs were scored on different frames of the same subjects: {len(different)} frames are in only "
            f"one, e.g. frame {frame} of {subject} {video} in the {'first' if different[0] in labels else 'second'}. "
            "Score both on the same data (run_finetune.py --no_do_train)."
        )
    wrong = [key for key, label in labels.items() if label != others[key]]
    if wrong:
        subject, video, frame = wrong[0]
        raise ValueError(
            f"the labels of {len(wrong)} frames differ between the two runs, e.g. of frame {frame} of {subject} "
            f"{video}. Score both on the same labels, read with the same options."
        )
    return len(labels)


def _labels(experiment: Experiment, subjects: list[str], names: list[str]) -> dict[tuple[str, str, int], list[int]]:
    """Map (subject, video without its suffix, frame) to the labels of the frame."""
    found: dict[tuple[str, str, int], list[int]] = {}
    columns = [experiment.au_names.index(name) for name in names]
    for fold in experiment.folds:
        rows = np.isin(fold.subjects, subjects)
        videos = map(_without_suffix, fold.videos[rows].tolist())
        keys = zip(fold.subjects[rows].tolist(), videos, fold.frames[rows].tolist(), strict=True)
        found |= dict(zip(keys, fold.labels[rows][:, columns].tolist(), strict=True))
    return found


def _without_suffix(video: str) -> str:
    """Remove the suffix of a video file.

    A recording may be scored as the distributed `.avi` and as the `.mp4` of its face crop.
    """
    stem, suffix = os.path.splitext(video)
    return stem if suffix.lower() in VIDEO_SUFFIXES else video
