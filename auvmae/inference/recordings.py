"""Find the recordings of a command, and assign each a unique output path."""

import csv
import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..video.finding import LeftOut, find_videos, own_outputs
from ..video.reading import VIDEO_SUFFIXES
from ..video.selection import FrameSelection, parse_time
from .calibration import Calibration
from .formats.tables import TABLES

PROVENANCE = ".provenance.json"
FILES = {"events": (".events.csv", ".eaf"), "timeline": (".timeline.png",), "overlay": (".overlay.mp4",)}
"""Optional outputs besides the table, and the suffixes of their files."""
SUFFIXES = (*TABLES.values(), *(suffix for suffixes in FILES.values() for suffix in suffixes), PROVENANCE)


@dataclass(frozen=True)
class Target:
    """Locate the output files of one recording.

    Args:
        folder: Folder within the output folder.
        name: Stem of the file names.
    """

    folder: Path
    name: str

    def file(self, suffix: str) -> Path:
        """Return the path of the file with one of `SUFFIXES`."""
        return self.folder / f"{self.name}{suffix}"


def find_recordings(
    inputs: Sequence[str], output: Path, left_out: list[LeftOut] | None = None
) -> list[tuple[Path, Target]]:
    """Find the recordings in `inputs`, and where to write the files of each.

    The folder structure of the inputs is kept. Recordings that would write the same file are distinguished by their
    suffixes, then by numbers.

    Args:
        inputs: Video files, folders (searched recursively, see `find_videos`), or patterns (`*`, `**`).
        output: Output folder.
        left_out: List to append what is passed over in folders to.

    Raises:
        FileNotFoundError: If an input matches no recording.
        ValueError: If an input is `output`.
    """
    recordings: dict[Path, tuple[Path, Path]] = {}
    for name in inputs:
        paths = [Path(name)] if Path(name).exists() else _match(name)
        videos = [
            found for path in paths for found in find_videos(path, output, left_out) if not _is_ours(found[0], output)
        ]
        if not videos and Path(name).resolve() == output.resolve():
            raise ValueError(
                f"{name} is also the output folder, which is not searched for videos: use another output folder"
            )
        if not videos:
            raise FileNotFoundError(
                f"no video found for {name}: neither a file ({', '.join(VIDEO_SUFFIXES)}) nor numbered images"
            )
        for video, crop in videos:
            recordings.setdefault(video.resolve(), (video, crop))
    return [(video, Target(folder, name)) for video, folder, name in own_outputs(recordings.values(), SUFFIXES)]


def read_recordings(
    path: Path, output: Path, selection: FrameSelection, calibration: Calibration | None
) -> list[tuple[Path, Target, FrameSelection, Calibration | None]]:
    """Read a table of recordings with options of their own.

    Args:
        path: CSV file with the column file, and optionally name (of the outputs), start, stop, every and neutral. A
            relative file is relative to the table's folder.
        output: Output folder.
        selection, calibration: Options where a cell is empty. `neutral` replaces the calibration.

    Returns:
        Recording, target and options of each row. The target lies in `output` itself, and is called like the file
        unless the row has a name.

    Raises:
        FileNotFoundError: If the table or a recording does not exist.
        ValueError: If a column is unknown, a cell is wrong, or two rows have the same target. The message names the
            row, counted from 1 for the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = reader.fieldnames or []
            rows = [*reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from error
    if "file" not in columns or not set(columns) <= {"file", "name", *_CELLS}:
        raise ValueError(f"{path} needs the column file, and may have name, {', '.join(_CELLS)}; found {columns}")
    found = []
    first: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        where = f"row {number} of {path}"
        if None in row or None in row.values():
            raise ValueError(f"{where} does not have {len(columns)} cells")
        video = path.parent / row["file"].strip()
        if not (video.is_dir() or (video.is_file() and video.suffix.lower() in VIDEO_SUFFIXES)):
            raise FileNotFoundError(f"{where}: {video} is neither a video nor a folder of images")
        name = row.get("name", "").strip() or (video.name if video.is_dir() else video.stem)
        other = first.setdefault(name.casefold(), number)
        if other != number or Path(name).name != name:
            wrong = f"has the same name as row {other}" if other != number else "has a name with folders"
            raise ValueError(f"{where} {wrong} ({name}): give it another one in the column name")
        try:
            given = {cell: parse(row[cell]) for cell, parse in _CELLS.items() if row.get(cell, "").strip()}
            neutral = given.pop("neutral", None)
            chosen = FrameSelection(**selection.to_dict() | given)
            found.append((video, Target(output, name), chosen, Calibration(neutral) if neutral else calibration))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    if not found:
        raise ValueError(f"{path} lists no recording")
    return found


def parse_stretch(text: str) -> tuple[float, float]:
    """Parse the start and the stop of a stretch.

    Args:
        text: START:STOP in seconds.

    Raises:
        ValueError: If the text has another format.

    >>> parse_stretch("2:4.5")
    (2.0, 4.5)
    """
    try:
        start, stop = map(float, text.split(":"))
    except ValueError as error:
        raise ValueError(f"expected START:STOP in seconds, such as 2:4.5, found {text!r}") from error
    return start, stop


_CELLS: Mapping[str, Callable[[str], Any]] = {
    "start": parse_time,
    "stop": parse_time,
    "every": int,
    "neutral": parse_stretch,
}


def _match(pattern: str) -> list[Path]:
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    return [path for path in paths if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]


def _is_ours(video: Path, output: Path) -> bool:
    """Tell whether a video is an overlay of an earlier run, matched by a pattern."""
    return video.name.endswith(".overlay.mp4") and video.resolve().is_relative_to(output.resolve())
