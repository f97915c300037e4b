"""Open files, arrays and iterables as a stream of frames or face crops."""

import operator
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ..faces.crop import CroppedFrame
from ..faces.crop_files import has_index, index_path, read_index
from ..faces.smoothing import TrackedFace
from ..processors import to_array
from ..video.damage.faults import Faults
from ..video.reading import Frame, iter_frames

Source = str | Path | np.ndarray | Iterable[Any]
"""A video file or folder of numbered images, an array of frames, or an iterable of frames; see `open_frames`."""


def open_frames(source: Source, faults: Faults | None = None) -> Iterator[Frame]:
    """Stream the frames of a source, one in memory at a time.

    Args:
        source: Path as for `video.reading.iter_frames`; uint8 array (T, H, W, 3), RGB; or iterable of such frames
            (H, W, 3), or of (index, timestamp in seconds, frame). The timestamp of frames alone is NaN.
        faults: Collects the faults of a file, see `video.reading.iter_frames`.

    Raises:
        VideoDecodeError: If the file does not open; without `faults`, also if a frame is damaged.
        ValueError: If there is no frame, a frame has another shape or dtype, or indices or timestamps are not in order.
    """
    if isinstance(source, str | Path):
        yield from iter_frames(source, faults)
        return
    last, latest = -1, float("-inf")
    for number, item in enumerate(source):
        index, timestamp, frame = _unpack(number, item)
        if index <= last:
            raise ValueError(f"frame {index} follows frame {last}: indices must rise from frame to frame")
        if timestamp < latest:
            raise ValueError(f"frame {index} is at {timestamp} s, but an earlier frame at {latest} s: timestamps fall")
        # copied, since a generator may reuse one array for all frames, and several frames are held at a time
        frame = to_array(frame) if isinstance(source, np.ndarray) else to_array(frame).copy()
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise ValueError(f"frame {index} must be uint8 of shape (H, W, 3), found {frame.dtype} of {frame.shape}")
        yield index, timestamp, frame
        last, latest = index, max(latest, timestamp)  # max keeps the first number if the second is NaN
    if last < 0:
        raise ValueError("there are no frames to predict: the source is empty")


def _unpack(number: int, item: Any) -> tuple[int, float, Any]:
    if not isinstance(item, tuple):
        return number, float("nan"), item
    try:
        index, timestamp, frame = item
        index, timestamp = operator.index(index), float(timestamp)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"item {number} must be a frame, or (whole number, timestamp in seconds, frame): {error}"
        ) from error
    if index < 0 or abs(timestamp) == float("inf"):
        raise ValueError(
            f"frame {index} at {timestamp} s: the index must be at least 0, and the timestamp finite or NaN"
        )
    return index, timestamp, frame


def iter_cropped(source: Source, faults: Faults | None = None) -> Iterator[CroppedFrame]:
    """Stream frames that are face crops.

    If the video has an index from `auvmae crop`, frames without a face, frame numbers, timestamps, boxes and
    confidences of the recording are read from it. Without an index, all frames are taken to show the same face, with
    box and confidence NaN. A damaged frame shows no face.

    Raises:
        ValueError: If the index and the video have different numbers of frames, or as for `open_frames`.
        FileNotFoundError: If the video is a crop without its index.
        VideoDecodeError: As for `open_frames`.
    """
    index = None
    if isinstance(source, str | Path) and has_index(source):
        index = read_index(source)
    unknown = TrackedFace(np.full(4, np.nan), np.full((5, 2), np.nan), float("nan"), 0)
    count = 0
    for count, (number, timestamp, frame) in enumerate(open_frames(source, faults), start=1):
        if index is None:
            yield CroppedFrame(number, timestamp, None if frame is None else unknown, frame)
        elif count <= len(index.frame):
            row = count - 1
            face = TrackedFace(index.box[row], index.landmarks[row], float(index.confidence[row]), 0)
            found = bool(index.found[row]) and frame is not None
            yield CroppedFrame(
                int(index.frame[row]), float(index.timestamp[row]), face if found else None, frame if found else None
            )
    if index is not None and count != len(index.frame):
        raise ValueError(
            f"{index_path(str(source))} lists {len(index.frame)} frames, but its video has {count}: "
            "run `auvmae crop` again"
        )


def first_timestamp(video: str | Path, cropped: bool) -> float:
    """Return the timestamp of a video's first frame, in the clock of its rows."""
    if cropped:
        return next(iter_cropped(video, Faults())).timestamp
    return next(open_frames(video, Faults()))[1]


def keep_largest(crops: Iterable[CroppedFrame], count: int) -> Iterator[CroppedFrame]:
    """Keep the largest faces of each frame."""
    for _, group in groupby(crops, operator.attrgetter("index")):
        faces = [*group]
        # a frame without a face has a single item
        areas = [0.0 if one.face is None else float(one.face.box[2] * one.face.box[3]) for one in faces]
        kept = sorted(np.argsort(areas)[::-1][:count].tolist())
        yield from (faces[number] for number in kept)
