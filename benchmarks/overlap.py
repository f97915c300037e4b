r"""Measure what the overlap of windows is worth.

    auvmae crop recordings crops
    python benchmarks/overlap.py crops [--tree data/portraits] [--checkpoint portraits] [--level frame]

Windows overlap by 0, 1/8, 1/4 or 1/2 of their length, as far as they have enough frames. The first table compares the
recordings in `crops` with their prediction at overlap 1/2: the mean distance of probabilities, the share of occurrences
(frame and action unit) that differ, jitter (the mean absolute second difference of probabilities from frame to frame),
the number of events, how many have no overlapping event at 1/2, and how far onsets and offsets of the others lie apart,
at the median and on average. Frames per second are those of the model alone, without cropping.

With `--tree`, the second table has the scores on the rendered portraits of a test fold. They are no scores on faces.
"""

import auvmae  # noqa: F401  before torch, whose threads then wait as in `auvmae predict`

# isort: split
import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from hardware import describe_machine
from held_out import held_out_labels
from numpy.typing import NDArray

from auvmae import AUDetector, AUPrediction
from auvmae.configuration import LEVELS
from auvmae.data.portraits.action_units import NUMBERS
from auvmae.data.portraits.dataset import PortraitsConfig, read_sides
from auvmae.evaluation.metrics import au_counts, f1_from_counts
from auvmae.evaluation.ranking_metrics import roc_auc
from auvmae.evaluation.tables import markdown_table
from auvmae.video.finding import find_videos
from auvmae.video.reading import iter_frames

OVERLAPS = (0.5, 0.25, 0.125, 0.0)
"""Shares of a window, the reference first."""


def strides(length: int) -> Iterator[tuple[float, int]]:
    """Yield each overlap that windows of `length` frames can have, and its stride."""
    for overlap in OVERLAPS:
        stride = length * (1 - overlap)
        if stride.is_integer():
            yield overlap, int(stride)


def predict(detector: AUDetector, clips: dict[str, list[Any]]) -> tuple[dict[str, AUPrediction], float]:
    """Predict the clips, and return frames per second."""
    started = time.perf_counter()
    found = {name: detector(frames) for name, frames in clips.items()}
    return found, sum(map(len, clips.values())) / (time.perf_counter() - started)


def jitter(probs: NDArray[np.float64]) -> float:
    """Compute the mean absolute second difference over time."""
    return float(np.nanmean(np.abs(np.diff(probs, 2, axis=0))))


def compare_events(events: pandas.DataFrame, reference: pandas.DataFrame) -> tuple[int, list[float]]:
    """Match every event with the reference event that overlaps it most.

    Returns:
        Events without a match, and the distances of the onsets and offsets of the others in seconds.
    """
    lost, distances = 0, list[float]()
    for event in events.to_dict("records"):
        same = reference[(reference["au"] == event["au"]) & (reference["face_id"] == event["face_id"])]
        shared = np.minimum(same["offset"], event["offset"]) - np.maximum(same["onset"], event["onset"])
        if shared.empty or shared.max() <= 0:
            lost += 1
            continue
        match = same.loc[shared.idxmax()]
        distances += [abs(match[side] - event[side]) for side in ("onset", "offset")]
    return lost, distances


def check_recordings(detectors: dict[float, AUDetector], clips: dict[str, list[Any]], repeats: int) -> None:
    """Print the table of the recordings."""
    runs = [{overlap: predict(one, clips) for overlap, one in detectors.items()} for _ in range(repeats)]
    reference = runs[0][OVERLAPS[0]][0]
    rows = [["overlap", "frames/s", "distance", "occurrences", "jitter", "events", "unmatched", "boundaries"]]
    for overlap in detectors:
        found = runs[0][overlap][0]
        pairs = [(found[clip], reference[clip]) for clip in clips]
        distance = np.nanmean(np.concatenate([np.abs(a.rows["probs"] - b.rows["probs"]) for a, b in pairs]))
        differ = np.concatenate([(a.occurrence != b.occurrence)[a.success] for a, b in pairs]).mean()
        events = [(a.to_events(), b.to_events()) for a, b in pairs]
        matches = [compare_events(*pair) for pair in events]
        apart = [value for _, values in matches for value in values]
        speed = np.median([run[overlap][1] for run in runs])
        rows.append(
            [
                *(f"{overlap:g}", f"{speed:.0f}", f"{distance:.4f}", f"{100 * differ:.2f} %"),
                f"{np.mean([jitter(one.rows['probs']) for one in found.values()]):.4f}",
                str(sum(len(own) for own, _ in events)),
                str(sum(lost for lost, _ in matches)),
                f"{1000 * np.median(apart):.0f} ms, mean {1000 * np.mean(apart):.0f} ms",
            ]
        )
    print(f"\n{len(clips)} recordings, {sum(map(len, clips.values()))} frames\n\n{markdown_table(rows, 1)}")


def check_portraits(detectors: dict[float, AUDetector], tree: Path, num_folds: int, fold: int) -> None:
    """Print the table of the rendered portraits."""
    paths = held_out_labels(tree, num_folds, fold)
    rows = [["overlap", "F1", "AUC", "jitter"]]
    for overlap, detector in detectors.items():
        columns = [NUMBERS.index(int(name.removeprefix("AU"))) for name in detector.au_names]
        found = [detector(tree / "videos" / path.parent.name / f"{path.stem}.mp4") for path in paths]
        coded = [read_sides(path).max(axis=2)[:, columns] >= PortraitsConfig.intensity_threshold for path in paths]
        labels = np.concatenate(coded).astype(np.int64)
        occurrence = np.concatenate([one.occurrence for one in found])
        probs = np.nan_to_num(np.concatenate([one.rows["probs"] for one in found]))
        f1 = 100 * f1_from_counts(au_counts(np.maximum(occurrence, 0), labels)).mean()
        noise = np.mean([jitter(one.rows["probs"]) for one in found])
        rows.append([f"{overlap:g}", f"{f1:.2f}", f"{np.nanmean(roc_auc(probs, labels)):.4f}", f"{noise:.4f}"])
    people = len({path.parent for path in paths})
    print(f"\n{people} rendered portraits, {len(labels)} frames\n\n{markdown_table(rows, 1)}")


def main() -> None:
    """Parse the arguments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path, help="folder of face crops")
    parser.add_argument("--tree", type=Path, help="folder of rendered portraits")
    parser.add_argument("--checkpoint", default="portraits", help="folder or name (default: portraits)")
    parser.add_argument("--level", choices=[*LEVELS], default="video", help="input level (default: video)")
    parser.add_argument("--num_folds", type=int, default=10, help="folds of the portraits (default: 10)")
    parser.add_argument("--fold", type=int, default=1, help="fold that the checkpoint was not trained on (default: 1)")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of the speed measurement (default: 3)")
    options = parser.parse_args()
    print(describe_machine())
    load = {"cropped": True, "level": options.level}
    length = AUDetector.from_pretrained(options.checkpoint, **load).window_length
    detectors = {
        overlap: AUDetector.from_pretrained(options.checkpoint, clip_stride=stride, **load)
        for overlap, stride in strides(length)
    }
    print(f"level {options.level}, windows of {length} frames")
    videos = {video.stem: video for video, _ in find_videos(options.crops, Path("nowhere"))}
    check_recordings(detectors, {name: list(iter_frames(video)) for name, video in videos.items()}, options.repeats)
    if options.tree:
        check_portraits(detectors, options.tree, options.num_folds, options.fold)


if __name__ == "__main__":
    main()
