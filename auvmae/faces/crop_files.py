"""Face crops as files: `X.mp4`, frame i of which is frame i of the input, and what stands beside it.

`X.faces.csv` is the index, one row per frame: its number in the input (the integer stem of an image), its timestamp,
the face in pixels of the input, and whether one was found. `X.faces.json` names the recipe and the input. It is written
last, so that a crop without it is unfinished, and one with another recipe or of another input is out of date.
"""

import csv
import glob
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm.auto import tqdm

from ..system.files import replacing
from ..video.reading import frame_rate, iter_frames, num_frames
from ..video.writing import VideoWriter
from .crop import CroppedFrame, CropRecipe, iter_crops
from .detection import FaceDetector

INDEX_COLUMNS = (
    *("frame", "timestamp", "box_x", "box_y", "box_w", "box_h"),
    *(f"{point}_{axis}" for point in ("eye_l", "eye_r", "nose", "mouth_l", "mouth_r") for axis in "xy"),
    *("confidence", "found"),
)


class NoFaceError(ValueError):
    """A video in which no frame shows a face, so that there is nothing to crop."""


@dataclass(frozen=True)
class CropIndex:
    """The index of a crop: one entry per frame of its video, in order; NaN where no face was found.

    Args:
        frame: int, shape (T,): the frame's index in the input, or the integer stem of its image there.
        timestamp: float, shape (T,), seconds in the input; NaN for images.
        box: float, shape (T, 4): x, y, width, height in pixels of the input.
        landmarks: float, shape (T, 5, 2), in pixels of the input, as in `faces.Face`.
        confidence: float, shape (T,), in [0, 1]; 0 where a short gap was bridged.
        found: bool, shape (T,). A frame without a face repeats the crop before it (the first frames, the crop after).
    """

    frame: np.ndarray
    timestamp: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    confidence: np.ndarray
    found: np.ndarray


def index_path(video: str | Path) -> Path:
    """Where the index of a crop stands: `X.faces.csv` beside `X.mp4`."""
    return Path(video).with_suffix(".faces.csv")


def read_index(video: str | Path) -> CropIndex:
    """Read the index beside a crop.

    Raises:
        FileNotFoundError: there is none, so that the video is not a finished crop.
        ValueError: the columns are not those of an index.
    """
    path = index_path(video)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}, so that {video} is no finished face crop: crop the videos with `auvmae crop`, or "
            "leave drop_lost_faces out"
        )
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    if tuple(header) != INDEX_COLUMNS:
        raise ValueError(f"{path} is not the index of a face crop: its columns are {', '.join(header)}")
    table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(len(rows), len(header))
    return CropIndex(
        frame=table[:, 0].astype(np.int64),
        timestamp=table[:, 1],
        box=table[:, 2:6],
        landmarks=table[:, 6:16].reshape(-1, 5, 2),
        confidence=table[:, 16],
        found=table[:, 17] == 1,
    )


def crop_video(
    source: str | Path,
    output: str | Path,
    recipe: CropRecipe,
    detector: FaceDetector | None = None,
    progress: bool = False,
) -> tuple[int, int]:
    """Write the face crops of one video, their index, and the mark that they are whole, in memory that does not grow.

    Args:
        source: a video file, or a folder of images named by their frame number.
        output: the video file to write, .mp4; its folder is made. It gets the source's mean frame rate (an image
            folder: 25 frames per second). A crop of ours is replaced, any other file is not.
        recipe: what the crops look like.
        detector: used in place of the recipe's.
        progress: show a bar.

    Returns:
        The number of frames, and in how many of them there is a face.

    Raises:
        VideoDecodeError: the source does not decode from beginning to end.
        NoFaceError: no frame shows a face.
        FileExistsError: `output` exists and is not a crop of ours.
    """
    source, output = Path(source), Path(output)
    if output.exists() and not index_path(output).exists():
        raise FileExistsError(f"{output} exists and is not a face crop: it is not replaced")
    remove_crop(output)
    total = num_frames(source)
    output.parent.mkdir(parents=True, exist_ok=True)
    frames = tqdm(iter_frames(source), source.name, total, unit="frame", disable=not progress)
    # the index takes its place before the video does, so that a video without one is never ours
    with (
        VideoWriter(output, frame_rate(source), recipe.size, recipe.size) as writer,
        replacing(index_path(output)) as file,
    ):
        count, found = _write(iter_crops(frames, recipe, detector), writer, file)
        if not found:
            raise NoFaceError(f"none of the {count} frames of {source} shows a face")
    with replacing(_mark_path(output)) as file:
        mark = {"recipe": recipe.to_dict(), "source": source_stamp(source), "counts": [count, found]}
        json.dump(mark, file, indent=1)
    return count, found


def finished_counts(source: Path, output: Path, recipe: CropRecipe) -> tuple[int, int] | None:
    """What `crop_video` returned, if `output` is this very source's crop by this recipe, whole; None otherwise."""
    try:
        mark = json.loads(_mark_path(output).read_text())
    except FileNotFoundError:
        return None
    whole = output.exists() and index_path(output).exists()
    if not whole or mark["recipe"] != recipe.to_dict() or mark["source"] != source_stamp(source):
        return None
    count, found = mark["counts"]
    return count, found


def shared_recipe(videos: Iterable[str | Path]) -> CropRecipe | None:
    """The recipe by which all of these videos were cropped; None if they are no crops of ours.

    Raises:
        ValueError: they were not all cropped in the same way.
    """
    users: dict[CropRecipe | None, Path] = {}
    for video in map(Path, videos):
        mark = _mark_path(video)
        users.setdefault(CropRecipe(**json.loads(mark.read_text())["recipe"]) if mark.is_file() else None, video)
    if len(users) > 1:
        first, second, *_ = users.values()
        raise ValueError(
            f"{first} and {second} were not cropped by the same recipe: crop all videos of a data set again by one "
            "(`auvmae crop`), as a model must be used on the crops that it was trained on"
        )
    return next(iter(users), None)


def source_stamp(source: Path) -> dict[str, Any]:
    """What tells one state of a video from another, ready for JSON: its name, size and time of change."""
    state = source.stat()
    return {"name": source.name, "size": state.st_size, "mtime_ns": state.st_mtime_ns}


def remove_crop(output: Path) -> None:
    """Remove a crop and what stands beside it, and the temporary files of a process that died while it wrote them."""
    for path in (output, index_path(output), _mark_path(output)):
        path.unlink(missing_ok=True)
        for leftover in output.parent.glob(f"{glob.escape(path.name)}.[0-9]*.tmp"):
            leftover.unlink(missing_ok=True)


def _write(crops: Iterator[CroppedFrame], writer: VideoWriter, file: TextIO) -> tuple[int, int]:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(INDEX_COLUMNS)
    frames = found = 0
    shown: np.ndarray | None = None
    for frames, cropped in enumerate(crops, start=1):
        table.writerow(_row(cropped))
        if cropped.crop is not None:
            found += 1
            if shown is None:  # the frames before the first face show it, too
                for _ in range(frames - 1):
                    writer.write(cropped.crop)
            shown = cropped.crop
        if shown is not None:
            writer.write(shown)
    return frames, found


def _row(cropped: CroppedFrame) -> list[str]:
    timestamp = "" if np.isnan(cropped.timestamp) else f"{cropped.timestamp:.6f}"
    if cropped.face is None:
        return [str(cropped.index), timestamp, *[""] * 15, "0"]
    places = [f"{value:.2f}" for value in (*cropped.face.box, *cropped.face.landmarks.ravel())]
    return [str(cropped.index), timestamp, *places, f"{cropped.face.confidence:.4f}", "1"]


def _mark_path(video: Path) -> Path:
    return video.with_suffix(".faces.json")
