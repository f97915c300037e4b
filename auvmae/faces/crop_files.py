"""Read and write face crops and their index files.

Frame i of the crop `X.mp4` shows the face of frame i of the input. `X.faces.csv` is the index, with one row per frame:
the frame number in the input (the integer stem of an image), the timestamp, the face in pixels of the input, and
whether a face was found. `X.faces.json` is the completion mark, which records the recipe, the input and the checksums
of both files. It is written last, so that a crop without it is unfinished, and so is one whose files or mark are
damaged. A crop with another recipe or input is out of date.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm.auto import tqdm

from ..system.files import are_whole, checksums, read_json_object, read_sealed, replacing, save_sealed
from ..system.leftovers import remove_leftovers
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
    """Report a video without a face in any frame."""


@dataclass(frozen=True)
class CropIndex:
    """Hold the index of a crop, with one entry per frame, NaN without a face.

    Args:
        frame: Int, shape (T,): frame index in the input, or the integer file stem of the image.
        timestamp: Float, shape (T,): time in the input in seconds; NaN for images.
        box: Float, shape (T, 4): x, y, width, height in pixels of the input.
        landmarks: Float, shape (T, 5, 2), in pixels of the input, as in `faces.Face`.
        confidence: Float, shape (T,), in [0, 1]; 0 where a short gap was bridged.
        found: Bool, shape (T,). A frame without a face repeats the previous crop; frames before the first face repeat
            the first crop.
    """

    frame: np.ndarray
    timestamp: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray
    confidence: np.ndarray
    found: np.ndarray


def index_path(video: str | Path) -> Path:
    """Return the path of the index of a crop, `X.faces.csv` for `X.mp4`."""
    return Path(video).with_suffix(".faces.csv")


def has_index(video: str | Path) -> bool:
    """Tell whether a video is a crop with its index.

    Raises:
        FileNotFoundError: It is a crop by its mark, but the index is missing.
    """
    path = index_path(video)
    if _mark_path(Path(video)).is_file() and not path.is_file():
        raise FileNotFoundError(f"{video} is a face crop, but its index {path} is missing. Run `auvmae crop` again")
    return path.is_file()


def read_index(video: str | Path) -> CropIndex:
    """Read the index of a crop.

    Raises:
        FileNotFoundError: The index does not exist, so the video is not a finished crop.
        ValueError: The file does not have the columns of an index, or is damaged.
    """
    path = index_path(video)
    if not path.is_file():
        raise FileNotFoundError(
            f"{video} is not a finished face crop, because {path} does not exist. Crop the videos with `auvmae crop`, "
            "or do not set drop_lost_faces"
        )
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        table = np.array([[float(cell or "nan") for cell in row] for row in rows]).reshape(len(rows), len(header))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged or not the index of a face crop. Run `auvmae crop` again") from error
    if tuple(header) != INDEX_COLUMNS:
        raise ValueError(f"{path} is not the index of a face crop: its columns are {', '.join(header)}")
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
    """Write the face crop of one video, its index and its completion mark.

    Memory use does not depend on the length of the video.

    Args:
        source: Video file, or folder of images named by their frame number.
        output: Video file to write (.mp4). Its folder is created if it does not exist. The frame rate is the mean frame
            rate of the source, or 25 frames per second for an image folder. Only an existing face crop is replaced.
        recipe: Settings of the crops.
        detector: Detector that replaces the one named in the recipe.
        progress: Show a progress bar.

    Returns:
        The number of frames, and the number of frames with a face.

    Raises:
        VideoDecodeError: The source cannot be decoded completely.
        NoFaceError: No frame shows a face.
        FileExistsError: `output` exists and is not a face crop.
    """
    source, output = Path(source), Path(output)
    if output.exists() and not index_path(output).exists() and not _mark_path(output).exists():
        raise FileExistsError(f"{output} exists and is not a face crop, so it will not be replaced")
    remove_crop(output)
    total = num_frames(source)
    output.parent.mkdir(parents=True, exist_ok=True)
    frames = tqdm(iter_frames(source), source.name, total, unit="frame", disable=not progress)
    # the index is put in place before the video, so that a video without an index is never a face crop
    with (
        VideoWriter(output, frame_rate(source), recipe.size, recipe.size) as writer,
        replacing(index_path(output)) as file,
    ):
        count, found = _write(iter_crops(frames, recipe, detector), writer, file)
        if not found:
            raise NoFaceError(f"none of the {count} frames of {source} shows a face")
    mark = {
        "recipe": recipe.to_dict(),
        "source": source_stamp(source),
        "counts": [count, found],
        "checksums": checksums([output, index_path(output)]),
    }
    save_sealed(mark, _mark_path(output))
    return count, found


def finished_counts(source: Path, output: Path, recipe: CropRecipe) -> tuple[int, int] | None:
    """Return the result of `crop_video` if the crop is up to date, else None.

    A crop is up to date if its files are whole, and its recipe and its source have not changed. A damaged mark counts
    as none.
    """
    mark = read_sealed(_mark_path(output))
    current = {"recipe": recipe.to_dict(), "source": source_stamp(source)}
    if any(mark.get(name) != value for name, value in current.items()):
        return None
    if not are_whole([output, index_path(output)], mark.get("checksums")):
        return None
    count, found = mark["counts"]
    return count, found


def shared_recipe(videos: Iterable[str | Path]) -> CropRecipe | None:
    """Return the recipe of all given crops, or None if they are not face crops.

    Raises:
        ValueError: The videos were not all cropped with the same recipe, or a mark is damaged.
    """
    examples: dict[CropRecipe | None, Path] = {}
    for video in map(Path, videos):
        mark = _mark_path(video)
        try:
            recipe = CropRecipe(**read_json_object(mark)["recipe"]) if mark.is_file() else None
        except (KeyError, TypeError) as error:
            raise ValueError(f"{mark}, the mark of a face crop, is damaged. Run `auvmae crop` again") from error
        examples.setdefault(recipe, video)
    if len(examples) > 1:
        first, second, *_ = examples.values()
        raise ValueError(
            f"{first} and {second} were not cropped with the same recipe. Crop all videos of the dataset with one "
            "recipe (`auvmae crop`): a model must be used on the kind of crops it was trained on"
        )
    return next(iter(examples), None)


def source_stamp(source: Path) -> dict[str, Any]:
    """Return name, size and modification time of a video, ready for JSON."""
    state = source.stat()
    return {"name": source.name, "size": state.st_size, "mtime_ns": state.st_mtime_ns}


def remove_crop(output: Path) -> None:
    """Remove a crop, its index and its mark, and what dead processes left beside them."""
    for path in (output, index_path(output), _mark_path(output)):
        path.unlink(missing_ok=True)
    remove_leftovers(output.parent)


def _write(crops: Iterator[CroppedFrame], writer: VideoWriter, file: TextIO) -> tuple[int, int]:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(INDEX_COLUMNS)
    frames = found = 0
    latest: np.ndarray | None = None
    for frames, cropped in enumerate(crops, start=1):
        table.writerow(_row(cropped))
        if cropped.crop is not None:
            found += 1
            if latest is None:  # frames before the first face repeat the first crop
                for _ in range(frames - 1):
                    writer.write(cropped.crop)
            latest = cropped.crop
        if latest is not None:
            writer.write(latest)
    return frames, found


def _row(cropped: CroppedFrame) -> list[str]:
    timestamp = "" if np.isnan(cropped.timestamp) else f"{cropped.timestamp:.6f}"
    if cropped.face is None:
        return [str(cropped.index), timestamp, *[""] * 15, "0"]
    coordinates = [f"{value:.2f}" for value in (*cropped.face.box, *cropped.face.landmarks.ravel())]
    return [str(cropped.index), timestamp, *coordinates, f"{cropped.face.confidence:.4f}", "1"]


def _mark_path(video: Path) -> Path:
    return video.with_suffix(".faces.json")
