"""What can be predicted: files, arrays and streams of frames, as one stream of face crops."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..faces.crop import CroppedFrame
from ..faces.crop_files import index_path, read_index
from ..faces.tracking import TrackedFace
from ..video.reading import Frame, iter_frames

Source = str | Path | np.ndarray | Iterable[Any]
"""A video file or folder of numbered images, an array of frames, or an iterable of frames; see `open_frames`."""


def open_frames(source: Source) -> Iterator[Frame]:
    """Stream the frames of a source, one in memory at a time.

    Args:
        source: a path as for `video.iter_frames`; a uint8 array (T, H, W, 3); or an iterable of uint8 frames (H, W, 3),
            RGB, or of (index, timestamp in seconds, frame). Frames alone have no clock: their timestamp is NaN.

    Raises:
        VideoDecodeError: the file does not open, or a frame is damaged.
        ValueError: a frame of another shape or dtype.
    """
    if isinstance(source, str | Path):
        yield from iter_frames(source)
        return
    for number, item in enumerate(source):
        index, timestamp, frame = item if isinstance(item, tuple) else (number, float("nan"), item)
        # who makes frames one by one may make them all in one array, and several are held at a time
        frame = np.asarray(frame) if isinstance(source, np.ndarray) else np.array(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"frame {index} must be uint8 of shape (H, W, 3), found {frame.dtype} of {frame.shape}")
        yield index, timestamp, frame


def iter_cropped(source: Source) -> Iterator[CroppedFrame]:
    """Stream frames that are face crops already.

    Where the index of `auvmae crop` stands beside a video, it says where no face was found, and gives frame numbers,
    timestamps, boxes and confidences of the recording. Without one, every frame is taken to show one and the same face,
    whose place and confidence nobody knows: they are NaN.

    Raises:
        ValueError: the index has another number of frames than the video; and as `open_frames`.
        VideoDecodeError: as `open_frames`.
    """
    index = None
    if isinstance(source, str | Path) and index_path(source).is_file():
        index = read_index(source)
    unknown = TrackedFace(np.full(4, np.nan), np.full((5, 2), np.nan), float("nan"), 0)
    count = 0
    for count, (number, timestamp, frame) in enumerate(open_frames(source), start=1):
        if index is None:
            yield CroppedFrame(number, timestamp, unknown, frame)
        elif count <= len(index.frame):
            row = count - 1
            face = TrackedFace(index.box[row], index.landmarks[row], float(index.confidence[row]), 0)
            found = bool(index.found[row])
            yield CroppedFrame(
                int(index.frame[row]), float(index.timestamp[row]), face if found else None, frame if found else None
            )
    if index is not None and count != len(index.frame):
        raise ValueError(
            f"{index_path(str(source))} lists {len(index.frame)} frames, but the video beside it has {count}: run "
            "`auvmae crop` again"
        )
