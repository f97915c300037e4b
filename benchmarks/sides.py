r"""Check the left and the right side of a checkpoint.

    python benchmarks/sides.py FOLDER --channels channels.npz [--tree data/portraits] [--json sides.json]

FOLDER holds recordings of real people, and `channels.npz` their channels, see `real_faces.py`. The script prints:

* how well left minus right follows the difference of MediaPipe's channels inside each recording, also for a given yaw;
* how far the left side of a recording lies from the right side of the mirrored recording, and the other way round;
* with `--tree`, how well left minus right follows the labels inside each video of the rendered portraits of the test
  fold, and the mean absolute error of a side, in grades. This is no score on faces.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from hardware import describe_machine
from held_out import held_out_labels
from real_faces import mean_of, show, without_nan
from real_faces_scores import check_frames, compare_with_channels, load_differences
from tqdm import tqdm

from auvmae import AUDetector, AUPrediction, AUVMAEForFrameAUClassification, AUVMAEImageProcessor
from auvmae.data.portraits.action_units import NUMBERS
from auvmae.data.portraits.dataset import read_sides
from auvmae.system.files import save_json
from auvmae.video.finding import find_videos
from auvmae.video.reading import iter_frames
from auvmae.weights import DEFAULT_MODEL, packaged_path

MIN_STD = 0.03
"""A difference of channels that varies less inside a recording shows noise."""

MIN_GRADES = 0.1
"""A difference of labels that varies less inside a video, in grades, does not count."""


def table_of(prediction: AUPrediction, values: np.ndarray) -> pandas.DataFrame:
    """Name the columns of values (R, N) by action unit, and their rows by frame."""
    return pandas.DataFrame(values, pandas.Index(prediction.rows["frame"], name="frame"), prediction.au_names)


def yaw_of(prediction: AUPrediction) -> pandas.Series:
    """Return the yaw of the head by frame."""
    return pandas.Series(prediction.rows["pose"][:, 4], prediction.rows["frame"])


def difference(prediction: AUPrediction) -> pandas.DataFrame:
    """Subtract the right side from the left, by frame and action unit."""
    return table_of(prediction, prediction.rows["left"] - prediction.rows["right"])


def by_clip(tables: dict[str, pandas.DataFrame]) -> pandas.DataFrame:
    """Join tables with the index frame to one with the index (clip, frame)."""
    return pandas.concat(tables, names=["clip"])


def partial_correlation(score: pandas.Series, channel: pandas.Series, given: pandas.Series) -> float:
    """Compute Spearman's partial correlation for a given third variable."""
    ranks = pandas.DataFrame({"score": score, "channel": channel, "given": given}).dropna().rank()
    inverse = np.linalg.inv(ranks.corr())
    return float(-inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]))


def check_recordings(found: dict[str, AUPrediction], channels: pandas.DataFrame) -> dict[str, Any]:
    """Compare left minus right with MediaPipe's channels, and print the table."""
    scores = by_clip({clip: difference(one) for clip, one in found.items()})
    check_frames(scores, channels)
    channels = channels.loc[scores.index]
    table = compare_with_channels(scores, channels, MIN_STD)
    for row in table:
        parts = [
            partial_correlation(scores[row["au"]].loc[clip], channels[row["au"]].loc[clip], yaw_of(found[clip]))
            for clip in row["spearman_by_clip"]
        ]
        row["partial"] = float(np.mean(parts)) if parts else np.nan
    show(
        f"{len(found)} recordings, left minus right: mean Spearman correlation with the difference of MediaPipe's "
        f"channels inside the recordings in which it has a standard deviation above {MIN_STD}. A face that turns may "
        "change both, so the last column is the partial correlation for a given yaw.",
        table,
        {"videos": "videos", "spearman": "Spearman", "partial": "given the yaw"},
        table,
    )
    return {"channels": table}


def check_mirrored(detector: AUDetector, videos: dict[str, Path], found: dict[str, AUPrediction]) -> dict[str, Any]:
    """Compare each recording with its mirror image, and print the table."""
    apart = []
    for clip, video in tqdm(videos.items(), desc="mirrored"):
        frames = (np.ascontiguousarray(image[:, ::-1]) for _, _, image in iter_frames(video))
        rows, mirrored = found[clip].rows, detector(frames).rows
        apart += [np.abs(rows[side] - mirrored[other]) for side, other in (("left", "right"), ("right", "left"))]
    medians = np.nanmedian(np.concatenate(apart), axis=0)
    table = [{"au": au, "median": float(value)} for au, value in zip(detector.au_names, medians, strict=True)]
    show(
        "Mirrored recordings: median distance of a side from the same side, in grades.",
        table,
        {"median": "grades"},
        table,
    )
    return {"mirrored": table, "mirrored_median": float(np.nanmedian(np.concatenate(apart)))}


def check_portraits(detector: AUDetector, tree: Path, num_folds: int, fold: int) -> dict[str, Any]:
    """Compare the sides with the labels of rendered portraits, and print the table."""
    paths = held_out_labels(tree, num_folds, fold)
    columns = [NUMBERS.index(int(name[2:])) for name in detector.au_names]
    scores, labels, errors = {}, {}, []
    for path in tqdm(paths, desc="portraits"):
        video = tree / "videos" / path.parent.name / f"{path.stem}.mp4"
        prediction, coded = detector(video), read_sides(path)[:, columns]
        scores[str(path)] = difference(prediction)
        labels[str(path)] = table_of(prediction, coded[..., 1] - coded[..., 0])
        errors += [np.abs(prediction.rows[side] - coded[..., index]) for index, side in enumerate(("right", "left"))]
    table = compare_with_channels(by_clip(scores), by_clip(labels), MIN_GRADES)
    for row, error in zip(table, np.nanmean(np.concatenate(errors), axis=0), strict=True):
        row["mae"] = float(error)
    table = [row for row in table if row["videos"]]
    people = len({path.parent for path in paths})
    title = (
        f"{len(paths)} videos of {people} rendered portraits: left minus right against the labels, inside the "
        f"videos in which their difference has a standard deviation above {MIN_GRADES}."
    )
    columns_shown = {"videos": "videos", "spearman": "Spearman", "mae": "mean error of a side, grades"}
    show(title, table, columns_shown, table)
    return {"portraits": table, "portraits_mean": {name: mean_of(table, name) for name in ("spearman", "mae")}}


def load_detector(checkpoint: str, **options: Any) -> AUDetector:
    """Load a detector of all sides, whatever their last check said."""
    path = packaged_path(checkpoint)
    model = AUVMAEForFrameAUClassification.from_pretrained(path, dtype=torch.float32, side_checks=None)
    return AUDetector(model, AUVMAEImageProcessor.from_pretrained(path), sides=True, all_aus=True, **options)


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Run all checks that the options ask for, and return the scores."""
    detector = load_detector(options.checkpoint)
    videos = {video.stem: video for video, _ in find_videos(options.folder, Path("nowhere"))}
    found = {clip: detector(video) for clip, video in tqdm(videos.items(), desc="clips")}
    result = {"checkpoint": options.checkpoint, "clips": [*videos]}
    result |= check_recordings(found, load_differences(options.channels))
    result |= check_mirrored(detector, videos, found)
    if options.tree:
        result |= check_portraits(
            load_detector(options.checkpoint, cropped=True), options.tree, options.num_folds, options.fold
        )
    return result


def main() -> None:
    """Parse the arguments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of recordings")
    parser.add_argument("--checkpoint", default=DEFAULT_MODEL, help="checkpoint (default: the packaged model)")
    parser.add_argument("--channels", type=Path, required=True, help="file of mediapipe_channels.py")
    parser.add_argument("--tree", type=Path, help="folder of rendered portraits")
    parser.add_argument("--num_folds", type=int, default=10, help="folds of the portraits (default: 10)")
    parser.add_argument("--fold", type=int, default=1, help="fold that the checkpoint was not trained on (default: 1)")
    parser.add_argument("--json", type=Path, help="file to save all scores in")
    options = parser.parse_args()
    print(describe_machine())
    result = check(options)
    if options.json:
        save_json(without_nan(result), options.json)


if __name__ == "__main__":
    main()
