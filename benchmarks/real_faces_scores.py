"""Score action units on real faces against MediaPipe and frames coded by eye.

All tables are pandas frames with the index (clip, frame), where a clip is the name of a video without suffix, and one
column per action unit. Frames without a face are NaN.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from auvmae.evaluation.metrics import au_counts, f1_from_counts
from auvmae.evaluation.ranking_metrics import roc_auc
from auvmae.knowledge.facs import NOT_CODED
from auvmae.training.thresholds import best_thresholds

CHANNELS: dict[str, tuple[str, ...]] = {
    "AU1": ("browInnerUp",),
    "AU2": ("browOuterUpLeft", "browOuterUpRight"),
    "AU4": ("browDownLeft", "browDownRight"),
    "AU5": ("eyeWideLeft", "eyeWideRight"),
    "AU7": ("eyeSquintLeft", "eyeSquintRight"),
    "AU10": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "AU12": ("mouthSmileLeft", "mouthSmileRight"),
    "AU14": ("mouthDimpleLeft", "mouthDimpleRight"),
    "AU15": ("mouthFrownLeft", "mouthFrownRight"),
    "AU17": ("mouthShrugLower",),
    "AU20": ("mouthStretchLeft", "mouthStretchRight"),
    "AU24": ("mouthPressLeft", "mouthPressRight"),
    "AU25": ("mouthLowerDownLeft", "mouthLowerDownRight", "jawOpen"),
    "AU26": ("jawOpen",),
    "AU43": ("eyeBlinkLeft", "eyeBlinkRight"),
}
"""MediaPipe's channels of an action unit. Their mean counts; for AU25, which each of them causes, the greatest."""

MIN_STD = 0.05
"""A channel that varies less inside a video shows noise, so the video does not count for its action unit."""

MIN_FRAMES = 30
"""A video with fewer frames with a face does not count."""


def load_channels(path: Path) -> pandas.DataFrame:
    """Load a file of `mediapipe_channels.py`, and give every action unit its channel."""
    columns = _read_channels(path)
    means = {au: columns[list(names)].mean(axis=1) for au, names in CHANNELS.items()}
    return pandas.DataFrame(means | {"AU25": columns[list(CHANNELS["AU25"])].max(axis=1)})


def load_differences(path: Path) -> pandas.DataFrame:
    """Load a file of `mediapipe_channels.py`, and subtract right from left.

    The sides are those of the subject, in MediaPipe's names and in the table.
    """
    columns = _read_channels(path)
    pairs = {au: [name for name in names if name.endswith(("Left", "Right"))] for au, names in CHANNELS.items()}
    return pandas.DataFrame({au: columns[pair[0]] - columns[pair[1]] for au, pair in pairs.items() if pair})


def _read_channels(path: Path) -> pandas.DataFrame:
    with np.load(path) as saved:
        index = pandas.MultiIndex.from_arrays([saved["clip"], saved["frame"]], names=["clip", "frame"])
        return pandas.DataFrame(saved["scores"].astype(float), index, saved["channels"])


def check_frames(scores: pandas.DataFrame, channels: pandas.DataFrame) -> None:
    """Check that every clip has the same frames in both tables.

    Raises:
        ValueError: If a clip has other frames, which would compare one frame with another.
    """
    for clip, rows in scores.groupby(level="clip"):
        found = channels[channels.index.get_level_values("clip") == clip]
        if not rows.index.equals(found.index):
            raise ValueError(
                f"{clip} has {len(rows)} frames, but {len(found)} in the channels; run mediapipe_channels.py again"
            )


def compare_with_channels(
    scores: pandas.DataFrame, channels: pandas.DataFrame, min_std: float = MIN_STD
) -> list[dict[str, Any]]:
    """Compare scores with MediaPipe's channels, on frames in which both detect a face.

    Args:
        scores: Score of every action unit, on any scale.
        channels: Result of `load_channels` or `load_differences`, with the frames of `scores`.
        min_std: Smallest standard deviation of a channel in a video that counts.

    Returns:
        For every action unit with a channel: `au`; `videos`, the number of videos in which the channel varies;
        `spearman`, the mean rank correlation in these videos, and `spearman_by_clip`; `auc`, how well the score
        separates the channel's top third from its bottom third over all clips; and `auc_median`, the same after each
        clip's median is subtracted from the score.
    """
    rows = []
    for au in scores.columns.intersection(channels.columns):
        pairs = pandas.DataFrame({"score": scores[au], "channel": channels[au]}).dropna()
        each = {
            clip: correlate(part["score"], part["channel"])
            for clip, part in pairs.groupby(level="clip")
            if len(part) >= MIN_FRAMES and part["channel"].std(ddof=0) > min_std
        }
        relative = pairs["score"] - pairs["score"].groupby(level="clip").transform("median")
        rows.append(
            {
                "au": au,
                "videos": len(each),
                "spearman": float(np.mean([*each.values()])) if each else np.nan,
                "spearman_by_clip": each,
                "auc": separate_thirds(pairs["score"], pairs["channel"]),
                "auc_median": separate_thirds(relative, pairs["channel"]),
            }
        )
    return rows


def correlate(score: Any, channel: Any) -> float:
    """Compute Spearman's rank correlation; a constant score has 0."""
    return 0.0 if np.ptp(score) == 0 else float(spearmanr(score, channel).statistic)


def separate_thirds(score: Any, channel: Any) -> float:
    """Compute the AUC of the top third of a channel against the bottom third.

    It is NaN if the channel has no two thirds, as in an empty table.
    """
    score, channel = np.asarray(score), np.asarray(channel)
    low, high = np.quantile(channel, [1 / 3, 2 / 3]) if len(channel) else (np.nan, np.nan)
    if not low < high:
        return float("nan")
    outer = (channel <= low) | (channel >= high)
    return float(roc_auc_score(channel[outer] >= high, score[outer]))


def read_codes(path: Path) -> pandas.DataFrame:
    """Read a table of frames coded by eye, in two passes.

    Args:
        path: CSV with the columns clip, frame, pass, and one column per action unit: 0, 1, or -100 where the coder
            could not tell. A column split says "develop" or "report", the same for all frames of a clip.

    Returns:
        The table, with clips named without suffix.

    Raises:
        ValueError: If a column is missing, a code is another one, a frame occurs twice in a pass, there are not two
            passes, or a clip has two splits.
    """
    table = pandas.read_csv(path)
    if missing := {"clip", "frame", "pass"} - {*table}:
        raise ValueError(f"{path} has no column {', '.join(sorted(missing))}")
    table["clip"] = [Path(clip).stem for clip in table["clip"]]
    if not table[au_columns(table)].isin([0, 1, NOT_CODED]).all(axis=None):
        raise ValueError(f"{path} has codes other than 0, 1 and {NOT_CODED}")
    if table.duplicated(["clip", "frame", "pass"]).any():
        raise ValueError(f"{path} codes a frame twice in a pass")
    if table["pass"].nunique() != 2:
        raise ValueError(f"{path} has {table['pass'].nunique()} passes, and needs 2")
    if "split" in table and (table.groupby("clip")["split"].nunique() != 1).any():
        raise ValueError(f"{path} puts a clip into two splits, or into none")
    return table


def au_columns(table: pandas.DataFrame) -> list[str]:
    """List the action units of a table of codes."""
    return [name for name in map(str, table) if name.startswith("AU")]


def split_passes(codes: pandas.DataFrame) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Give the codes of both passes, for the frames that both have."""
    passes = [part.set_index(["clip", "frame"])[au_columns(codes)] for _, part in codes.groupby("pass")]
    shared = passes[0].index.intersection(passes[1].index)
    return passes[0].loc[shared], passes[1].loc[shared]


def agreed_codes(first: pandas.DataFrame, second: pandas.DataFrame) -> pandas.DataFrame:
    """Keep the codes on which both passes agree; all others become -100."""
    return first.where(first == second, NOT_CODED)


def agreement(first: pandas.Series, second: pandas.Series) -> float:
    """Compute Cohen's kappa over the frames that both passes code.

    It is NaN if only one code occurs.
    """
    coded = (first != NOT_CODED) & (second != NOT_CODED)
    if len({*first[coded], *second[coded]}) < 2:
        return float("nan")
    return float(cohen_kappa_score(first[coded], second[coded]))


def compare_with_codes(
    scores: pandas.DataFrame, present: pandas.DataFrame, channels: pandas.DataFrame, codes: pandas.DataFrame
) -> tuple[list[dict[str, Any]], int]:
    """Compare scores with codes, on frames in which we and MediaPipe detect a face.

    Args:
        scores: Score of every action unit, on any scale.
        present: 1 where an action unit is detected at the threshold, else 0.
        channels: Result of `load_channels`.
        codes: Result of `read_codes`; clips that `scores` lacks are ignored.

    Returns:
        For every coded action unit: `au`; `kappa` between the passes; and on the frames on which they agree, `present`
        and `absent`, the numbers of frames, `auc` of the score, `auc_channel` of the channel, `f1` at the threshold,
        and `best_threshold`, the one with the highest F1. Then the number of coded frames that were left out because
        there is no face.

    Raises:
        ValueError: If a coded frame does not exist.
    """
    clips = scores.index.unique("clip")
    first, second = (table[table.index.get_level_values("clip").isin(clips)] for table in split_passes(codes))
    if len(beyond := first.index.difference(scores.index)):
        raise ValueError(f"{beyond[0][0]} has no frame {beyond[0][1]}, but the codes have it")
    faces = scores.index[scores.notna().all(axis=1)].intersection(channels.dropna().index)
    used = first.index.intersection(faces)
    aus = [au for au in first if au in scores]
    truth = agreed_codes(first, second).loc[used, aus].to_numpy()
    channel = channels.reindex(columns=aus).fillna(0).loc[used].to_numpy()
    found = scores.loc[used, aus].to_numpy()
    ours, theirs = roc_auc(found, truth), roc_auc(channel, truth)
    best = best_thresholds(found, truth)
    f1 = f1_from_counts(au_counts(present.loc[used, aus].to_numpy(), truth), undefined=np.nan)
    rows = [
        {
            "au": au,
            "kappa": agreement(first[au], second[au]),
            "present": int((truth[:, number] == 1).sum()),
            "absent": int((truth[:, number] == 0).sum()),
            "auc": float(ours[number]),
            "auc_channel": float(theirs[number]) if au in channels else np.nan,
            "f1": float(f1[number]),
            "best_threshold": float(best[number]),
        }
        for number, au in enumerate(aus)
    ]
    return rows, len(first) - len(used)
