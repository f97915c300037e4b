"""Cut videos into clips, and join clips into videos."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import torch

from ..faces.crop_files import index_path, read_index, shared_recipe
from ..faces.pose import usual_range
from ..knowledge.losses import occurrence_rates

RARE_AUS: dict[str, tuple[int, ...]] = {"bp4d": (1, 2, 4, 15, 23, 24), "disfa": (1, 2, 9)}
"""The "minority AU labels" of the appendix."""


def segment_clips(num_frames: int, clip_length: int = 128, tail: str = "pad") -> list[tuple[int, int]]:
    """Tile a video with clips that do not overlap.

    Section 4.1 of the paper: "sub-videos comprising 128 frames each".

    Args:
        num_frames: Frames in the video.
        clip_length: Frames per clip.
        tail: Treatment of the frames past the last full clip. "pad" keeps them as a shorter clip, which is padded and
            masked when it is loaded; "drop" discards them.

    Returns:
        Half-open frame range (start, stop) of each clip.

    Raises:
        ValueError: `tail` is unknown, or `clip_length` is not positive.

    >>> segment_clips(300)
    [(0, 128), (128, 256), (256, 300)]
    >>> segment_clips(300, tail="drop")
    [(0, 128), (128, 256)]
    """
    if tail not in ("pad", "drop") or clip_length < 1:
        raise ValueError(f"tail must be 'pad' or 'drop' and clip_length positive, found {tail!r} and {clip_length}.")
    last = num_frames if tail == "pad" else num_frames - clip_length + 1
    return [(start, min(start + clip_length, num_frames)) for start in range(0, last, clip_length)]


def video_labels(rows: Iterable[Mapping[str, Any]]) -> list[np.ndarray]:
    """Join the labels of the un-augmented clips of each video.

    The label statistics are computed from them.

    Args:
        rows: Rows of a dataset of clips, in any order.

    Returns:
        One int64 array of shape (frames of the video, N) per video, in time order, -100 = not coded.
    """
    videos: dict[str, dict[int, np.ndarray]] = {}
    for row in rows:
        if not row["augmented"]:
            labels = np.asarray(row["labels"], dtype=np.int64)[: row["num_frames"]]
            videos.setdefault(row["video"], {})[row["start_frame"]] = labels
    return [np.concatenate([clips[start] for start in sorted(clips)]) for clips in videos.values()]


def find_rare_aus(videos: Sequence[np.ndarray]) -> list[int]:
    """Find the columns of the AUs whose label weight (Eq. 2) is above 1.

    On the first folds of BP4D and DISFA these are `RARE_AUS`.

    Args:
        videos: One (T_v, N) integer array per video of the training side, -100 = not coded.
    """
    rates = occurrence_rates(videos)
    common = 1 / (1 / rates[rates > 0]).mean()  # the weight of an AU is this value divided by its rate
    return torch.where((rates > 0) & (rates < common))[0].tolist()


def rare_au_clips(labels: np.ndarray, rare: Sequence[int], patience: int = 15) -> list[tuple[int, int]]:
    """Find the clips around rare AUs (Sec. 2 of the paper's appendix).

    In the paper's words, a clip is "intercepted beginning from the first encountered label and stopped when 15
    majority AU labels have been identified consecutively following the minority AU label".

    Args:
        labels: (T, N) integers; 1 = active, any other value is inactive.
        rare: Columns of the rare AUs.
        patience: Number of consecutive frames without a rare AU that close a clip. The clip includes them.

    Returns:
        Half-open frame range (start, stop) of each clip. The ranges vary in length and do not overlap; `fit_clip`
        brings them to one length.

    >>> labels = np.zeros((60, 2), dtype=int)
    >>> labels[[10, 20, 50], 0] = 1
    >>> rare_au_clips(labels, rare=[0])
    [(10, 36), (50, 60)]
    """
    frames = np.flatnonzero((np.asarray(labels)[:, list(rare)] == 1).any(axis=1))
    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) > patience)
    starts = frames[np.concatenate([[0], breaks + 1])]
    stops = frames[np.concatenate([breaks, [len(frames) - 1]])] + 1 + patience
    return [(int(start), min(int(stop), len(labels))) for start, stop in zip(starts, stops, strict=True)]


def fit_clip(start: int, stop: int, num_frames: int, clip_length: int = 128) -> list[tuple[int, int]]:
    """Fit a clip to `clip_length` frames by extending or splitting it.

    A short clip is extended on both sides within its video. A long clip is split, and its last piece is extended.

    Args:
        start: First frame of the clip.
        stop: Frame after the last one.
        num_frames: Frames in the video.
        clip_length: Target length in frames. Only a shorter video gives a shorter clip, which is padded when loaded.

    Returns:
        Half-open frame range (start, stop) of each resulting clip.

    >>> fit_clip(100, 120, num_frames=300), fit_clip(0, 40, num_frames=90), fit_clip(50, 300, num_frames=300)
    ([(46, 174)], [(0, 90)], [(50, 178), (172, 300)])
    """
    clips = []
    for piece in range(start, stop, clip_length):
        length = min(clip_length, stop - piece)
        left = piece - (clip_length - length) // 2
        left = max(min(left, num_frames - clip_length), 0)
        clips.append((left, min(left + clip_length, num_frames)))
    return clips


def crop_recipe(rows: datasets.DatasetDict) -> dict[str, Any] | None:
    """Return the crop recipe that all videos share, or None if they are not crops.

    Raises:
        ValueError: The videos were cropped with different recipes.
    """
    recipe = shared_recipe(sorted({video for split in rows.values() for video in split["video"]}))
    return None if recipe is None else recipe.to_dict()


def pose_range(rows: datasets.DatasetDict) -> list[list[float]] | None:
    """Find the usual pitch and yaw of the heads in the training videos.

    See `faces.pose.usual_range`. It is None if the videos are no crops of `auvmae crop`, which stores landmarks
    and boxes.
    """
    videos = sorted(set(rows["train"]["video"])) if "train" in rows else []
    if not videos or not all(index_path(video).is_file() for video in videos):
        return None
    indexes = [read_index(video) for video in videos]
    landmarks = np.concatenate([index.landmarks for index in indexes])
    return usual_range(landmarks, np.concatenate([index.box for index in indexes]))


def au_names(dataset: datasets.DatasetDict | datasets.Dataset) -> list[str]:
    """Return the AU names ("AU1", ...) in the column order of `labels`.

    The list is empty if the dataset is not coded.
    """
    rows = next(iter(dataset.values())) if isinstance(dataset, dict) else dataset
    names = rows.features["labels"].id
    return names.split(",") if names else []
