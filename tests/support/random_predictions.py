"""Draw random predictions with several subjects, gaps, uncoded frames, and common to absent AUs."""

from dataclasses import replace
from typing import Any

import numpy as np

from auvmae.evaluation.saved_predictions import FoldPredictions
from auvmae.knowledge.facs import NOT_CODED

NAMES = ["AU1", "AU2", "AU4", "AU6"]
RATES = (0.5, 0.2, 0.05, 0)


def random_predictions(
    seed: int = 0, subjects: tuple[str, ...] = ("S1", "S2", "S3"), skill: float = 0.3, **run: Any
) -> FoldPredictions:
    """Draw two videos per subject, 60 frames each with a gap after the 40th.

    The labels depend on `subjects`, not on `seed`.
    """
    frames = np.tile(np.concatenate([np.arange(40), np.arange(50, 70)]), 2 * len(subjects)).astype(np.int32)
    labels = np.concatenate([_labels(subject) for subject in subjects])
    noise = np.random.default_rng(seed).random(labels.shape)
    probs = (1 - skill) * noise + skill * (labels == 1)
    return FoldPredictions(
        NAMES,
        np.repeat(np.array(subjects), 120),
        np.tile(np.repeat(np.array(["a.mp4", "b.mp4"]), 60), len(subjects)),
        frames,
        probs.astype(np.float32),
        labels,
        {"dataset": "synthetic", "fold": 1, "level": "video", "au_names": NAMES, **run},
    )


def _labels(subject: str) -> np.ndarray:
    generator = np.random.default_rng(list(subject.encode()))
    labels = np.repeat(generator.random((24, 4)) < RATES, 5, axis=0).astype(np.int8)
    labels[generator.random(labels.shape) < 0.05] = -100
    labels[70:75] = -100
    return labels


def with_intensities(predictions: FoldPredictions, **run: Any) -> FoldPredictions:
    """Add random intensities, which AU6 lacks, to predictions."""
    draw = np.random.default_rng(0)
    coded = np.where(predictions.labels == NOT_CODED, np.nan, 5 * draw.random(predictions.labels.shape))
    coded[:, 3] = np.nan
    intensities = (5 * draw.random(coded.shape)).astype(np.float32)
    changed = {"intensities": intensities, "coded_intensities": coded.astype(np.float32)}
    return replace(predictions, run=predictions.run | {"target": "both"} | run, **changed)


def without_occurrences(predictions: FoldPredictions) -> FoldPredictions:
    """Make predictions those of a run with --target intensity."""
    probs = np.full_like(predictions.probs, np.nan)
    return replace(predictions, probs=probs, run=predictions.run | {"target": "intensity"})
