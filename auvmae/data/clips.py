"""Videos cut into clips, and clips put together again."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def segment_clips(num_frames: int, clip_length: int = 128, tail: str = "pad") -> list[tuple[int, int]]:
    """Tile a video with clips (Sec. 4.1: "sub-videos comprising 128 frames each"), every frame in one of them.

    Args:
        num_frames: frames of the video.
        clip_length: frames of a clip.
        tail: what becomes of the frames past the last whole clip: "pad" keeps them as a shorter clip, which is padded
            and masked when it is loaded; "drop" leaves them out.

    Returns:
        (start, stop) of each clip, in frames.

    Raises:
        ValueError: an unknown `tail`, or a length that is not positive.

    >>> segment_clips(300)
    [(0, 128), (128, 256), (256, 300)]
    >>> segment_clips(300, tail="drop")
    [(0, 128), (128, 256)]
    """
    if tail not in ("pad", "drop") or clip_length < 1:
        raise ValueError(f"tail must be 'pad' or 'drop' and clip_length positive, got {tail!r} and {clip_length}")
    last = num_frames if tail == "pad" else num_frames - clip_length + 1
    return [(start, min(start + clip_length, num_frames)) for start in range(0, last, clip_length)]


def video_labels(rows: Iterable[Mapping[str, Any]]) -> list[np.ndarray]:
    """Put the labels of the un-augmented clips together per video: what the label statistics are computed from.

    Args:
        rows: rows of a data set of clips, in any order.

    Returns:
        One int64 array of shape (frames of the video, N) per video, in time order, -100 = not coded.
    """
    videos: dict[str, dict[int, np.ndarray]] = {}
    for row in rows:
        if not row["augmented"]:
            labels = np.asarray(row["labels"], dtype=np.int64)[: row["num_frames"]]
            videos.setdefault(row["video"], {})[row["start_frame"]] = labels
    return [np.concatenate([clips[start] for start in sorted(clips)]) for clips in videos.values()]
