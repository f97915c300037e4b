"""Measure on animated portraits when a neutral baseline helps or hurts.

    python benchmarks/portraits_as_recordings.py data/portraits recordings
    auvmae predict recordings -o predictions --cropped --all-aus
    python benchmarks/calibration.py data/portraits predictions [--rest 3]

The predictions are uncalibrated, and each way of calibration is applied to their probabilities. A baseline is that of a
person, pooled over all videos, or that of a file. It is a quantile of the logits, or the mean over the frames in which
all intensities are 0. A file or person without such a frame stays uncalibrated.

The second table breaks the assumption that the face is neutral at times. For each action unit, it takes only the videos
in which the unit is present in most frames, estimates baselines from them alone, and scores this unit.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auvmae.data.portraits.action_units import NUMBERS
from auvmae.data.portraits.dataset import PortraitsConfig, read_sides
from auvmae.evaluation.metrics import au_counts, f1_from_counts
from auvmae.evaluation.ranking_metrics import roc_auc
from auvmae.inference import calibration
from auvmae.inference.prediction import AUPrediction

QUANTILES = (0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Video:
    """Hold probabilities, labels (both (T, N)) and neutral frames (T,) of one video."""

    person: str
    probs: NDArray[np.float64]
    labels: NDArray[np.int64]
    neutral: NDArray[np.bool_]


@dataclass(frozen=True)
class Way:
    """Describe a way of calibration.

    Args:
        quantile: Quantile of the logits; None for the mean over known neutral frames.
        pooled: Pool the videos of a person.
    """

    quantile: float | None
    pooled: bool

    def __str__(self) -> str:
        kind = "known neutral frames" if self.quantile is None else f"quantile {self.quantile:g}"
        return f"{kind}, {'person' if self.pooled else 'file'}"

    def calibrate(self, videos: list[Video], thresholds: list[float]) -> list[NDArray[np.float64]]:
        """Return the calibrated probabilities of each video."""
        keys = [video.person if self.pooled else str(number) for number, video in enumerate(videos)]
        told: dict[str, list[NDArray[np.float64]]] = {}
        for key, video in zip(keys, videos, strict=True):
            told.setdefault(key, []).append(video.probs if self.quantile else video.probs[video.neutral])
        shifts = {}
        for key, parts in told.items():
            if any(map(len, parts)):
                shifts[key] = calibration.baseline_shift(np.concatenate(parts), thresholds, self.quantile)
        return [
            calibration.shift_probs(video.probs, shifts[key]) if key in shifts else video.probs
            for key, video in zip(keys, videos, strict=True)
        ]


WAYS = [None, *(Way(quantile, pooled) for quantile in (*QUANTILES, None) for pooled in (True, False))]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="folder that write_portraits rendered")
    parser.add_argument("predictions", type=Path, help="output folder of auvmae predict, one folder per portrait")
    parser.add_argument("--rest", type=float, help="logits of the neutral face below the threshold (default: shipped)")
    options = parser.parse_args()
    calibration.REST = calibration.REST if options.rest is None else options.rest
    predictions = {path: AUPrediction.load(path) for path in sorted(options.predictions.glob("*/*.csv"))}
    one = next(iter(predictions.values()))
    columns = [NUMBERS.index(int(name.removeprefix("AU"))) for name in one.au_names]
    videos = []
    for path, prediction in predictions.items():
        intensities = read_sides(options.tree / "labels" / path.parent.name / path.name).max(axis=2)
        active = intensities[:, columns] >= PortraitsConfig.intensity_threshold
        probs = prediction.uncalibrated().rows["probs"]
        videos.append(Video(path.parent.name, probs, active.astype(np.int64), (intensities == 0).all(axis=1)))
    people = sorted({video.person for video in videos})
    frames = sum(len(video.probs) for video in videos)
    known = sum(bool(video.neutral.any()) for video in videos)
    print(f"{len(people)} portraits, {len(videos)} videos, {frames} frames; {known} videos have neutral frames")
    print_scores(videos, people, one.thresholds)
    print_broken(videos, one.thresholds, one.au_names)


def print_scores(videos: list[Video], people: list[str], thresholds: list[float]) -> None:
    """Print the scores of each way on all videos."""
    labels = np.concatenate([video.labels for video in videos])
    persons = np.repeat([video.person for video in videos], [len(video.probs) for video in videos])
    unmoved = (labels == 0).all(axis=1)
    before: list[float] = []
    print("\n| baseline | F1 | AUC | detected where no AU is active | people with a higher, lower F1 |")
    print("|---|---:|---:|---:|---:|")
    for way in WAYS:
        probs = np.concatenate(way.calibrate(videos, thresholds) if way else [video.probs for video in videos])
        own = [f1(probs[persons == one], labels[persons == one], thresholds).mean() for one in people]
        before = before or own
        higher, lower = (sum(sign * (a - b) > 1e-9 for a, b in zip(own, before, strict=True)) for sign in (1, -1))
        score, auc = 100 * f1(probs, labels, thresholds).mean(), np.nanmean(roc_auc(probs, labels))
        detected = (probs >= thresholds)[unmoved].sum(axis=1).mean()
        print(f"| {way or 'none'} | {score:.1f} | {auc:.3f} | {detected:.2f} | {higher}, {lower} |")


def print_broken(videos: list[Video], thresholds: list[float], names: list[str]) -> None:
    """Print the scores on videos with an action unit in most frames."""
    print("\n| baseline, from videos in which the AU is present in most frames | F1 | present frames detected |")
    print("|---|---:|---:|")
    for way in WAYS:
        if way and way.quantile is None:
            continue
        scores, found = [], []
        for column, chosen in mostly_present(videos, len(names)):
            probs = np.concatenate(way.calibrate(chosen, thresholds) if way else [video.probs for video in chosen])
            labels = np.concatenate([video.labels for video in chosen])
            scores.append(f1(probs, labels, thresholds)[column])
            found.append((probs[:, column] >= thresholds[column])[labels[:, column] == 1].mean())
        print(f"| {way or 'none'} | {100 * np.mean(scores):.1f} | {100 * np.mean(found):.1f} % |")
    print(f"\nmean over {len(scores)} AUs with such videos")


def mostly_present(videos: list[Video], count: int) -> Iterator[tuple[int, list[Video]]]:
    """Yield action units, and the videos that show them in most frames."""
    for column in range(count):
        chosen = [video for video in videos if video.labels[:, column].mean() > 0.5]
        if chosen:
            yield column, chosen


def f1(probs: NDArray[np.float64], labels: NDArray[np.int64], thresholds: list[float]) -> NDArray[np.float64]:
    """Compute F1 per action unit.

    As in a table, a probability at its threshold counts as present.
    """
    return f1_from_counts(au_counts((probs >= thresholds).astype(float), labels))


if __name__ == "__main__":
    main()
