r"""Check the left and the right side of a checkpoint.

    python benchmarks/sides.py FOLDER --checkpoint CHECKPOINT --channels channels.npz [--tree data/portraits] \
        [--json sides.json]

FOLDER holds recordings of real people, and `channels.npz` their channels, see `real_faces.py`. The script prints:

* how well left minus right follows the difference of MediaPipe's channels inside each recording;
* how far the left side of a recording lies from the right side of the mirrored recording, and the other way round;
* with `--tree`, how well left minus right follows the labels of the rendered portraits of the test fold, and the mean
  absolute error of a side, in grades. This is no score on faces.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from hardware import describe_machine
from held_out import held_out_labels
from real_faces import mean_of, show, without_nan
from real_faces_scores import check_frames, compare_with_channels, correlate, load_differences
from tqdm import tqdm

from auvmae import AUDetector, AUPrediction
from auvmae.data.portraits.action_units import NUMBERS
from auvmae.data.portraits.dataset import read_sides
from auvmae.system.files import save_json
from auvmae.video.finding import find_videos
from auvmae.video.reading import iter_frames

MIN_STD = 0.03
"""A difference of channels that varies less inside a recording shows noise."""


def difference(prediction: AUPrediction) -> pandas.DataFrame:
    """Subtract the right side from the left, by frame and action unit."""
    rows = prediction.rows
    return pandas.DataFrame(
        rows["left"] - rows["right"], pandas.Index(rows["frame"], name="frame"), prediction.au_names
    )


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
    labels, values = [], []
    for path in tqdm(paths, desc="portraits"):
        rows = detector(tree / "videos" / path.parent.name / f"{path.stem}.mp4").rows
        values.append(np.stack([rows["right"], rows["left"]], axis=-1))
        labels.append(read_sides(path)[:, [NUMBERS.index(int(name[2:])) for name in detector.au_names]])
    coded, graded = np.concatenate(labels), np.concatenate(values)
    seen = ~np.isnan(graded).any(axis=(1, 2))
    table = [
        {
            "au": au,
            "spearman": correlate(*(sides[seen, column, 1] - sides[seen, column, 0] for sides in (graded, coded))),
            "mae": float(np.abs(graded - coded)[seen, column].mean()),
        }
        for column, au in enumerate(detector.au_names)
        if (coded[:, column, 0] != coded[:, column, 1]).any()
    ]
    people = len({path.parent for path in paths})
    title = f"{people} rendered portraits, {seen.sum()} frames: left minus right against the labels."
    show(title, table, {"spearman": "Spearman", "mae": "mean error of a side, grades"}, table)
    return {"portraits": table, "portraits_mean": {name: mean_of(table, name) for name in ("spearman", "mae")}}


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Run all checks that the options ask for, and return the scores."""
    detector = AUDetector.from_pretrained(options.checkpoint, sides=True, all_aus=True)
    videos = {video.stem: video for video, _ in find_videos(options.folder, Path("nowhere"))}
    found = {clip: detector(video) for clip, video in tqdm(videos.items(), desc="clips")}
    scores = pandas.concat({clip: difference(one) for clip, one in found.items()}, names=["clip"])
    channels = load_differences(options.channels)
    check_frames(scores, channels)
    table = compare_with_channels(scores, channels.loc[scores.index], MIN_STD)
    show(
        f"{len(videos)} recordings, left minus right: mean Spearman correlation with the difference of MediaPipe's "
        f"channels inside the recordings in which it has a standard deviation above {MIN_STD}.",
        table,
        {"videos": "videos", "spearman": "Spearman"},
        table,
    )
    result = {"checkpoint": options.checkpoint, "clips": [*videos], "channels": table}
    result |= check_mirrored(detector, videos, found)
    if options.tree:
        cropped = AUDetector.from_pretrained(options.checkpoint, sides=True, all_aus=True, cropped=True)
        result |= check_portraits(cropped, options.tree, options.num_folds, options.fold)
    return result


def main() -> None:
    """Parse the arguments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of recordings")
    parser.add_argument("--checkpoint", required=True, help="folder or name of a checkpoint that grades sides")
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
