"""Find the recordings of a command, and assign each a unique output path."""

import csv
import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..video.finding import LeftOut, find_videos, own_outputs
from ..video.reading import VIDEO_SUFFIXES
from ..video.selection import FrameSelection, parse_time
from .calibration import Calibration, parse_neutral
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
    found = []
    first: dict[str, int] = {}
    for number, row in read_rows(path, ["file"], ["name", *_CELLS]):
        where = f"row {number} of {path}"
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
            neutral = given.pop("neutral", calibration)
            chosen = FrameSelection(**selection.to_dict() | given)
            found.append((video, Target(output, name), chosen, neutral))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    if not found:
        raise ValueError(f"{path} lists no recording")
    return found


def read_rows(path: Path, needed: Sequence[str], optional: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file whose first row names the columns.

    Returns:
        Line number in the file, and text by column, of each row.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no CSV file, a column is missing or unknown, or a row has another number of cells.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from error
    if not set(needed) <= set(columns) <= {*needed, *optional}:
        names = f"column{'s' * (len(needed) > 1)} {' and '.join(needed)}"
        raise ValueError(f"{path} needs the {names}, and may have {', '.join(optional)}; found {columns}")
    for number, row in rows:
        if None in row or None in row.values():
            raise ValueError(f"row {number} of {path} does not have {len(columns)} cells")
    return rows


def find_named(file: str, recordings: Mapping[str, str]) -> list[str]:
    """List the recordings that a table of people may mean by `file`.

    Its suffix may be left out, and it may have more or fewer folders. Recordings in the same folder come before those
    whose folder may be the same.

    Args:
        file: Name, such as "day1/anna.mp4".
        recordings: Name of the recording (file name with suffix) by its outputs' path below the output folder, without
            suffix, such as "day1/anna". "" if the provenance that names it is damaged.
    """
    *folders, name = PurePosixPath(file.replace("\\", "/")).parts
    fits = []
    for key, source in recordings.items():
        *own_folders, own = PurePosixPath(key).parts
        if name in (own, source, PurePath(source).stem) or (not source and PurePath(name).stem == own):
            shared = min(len(folders), len(own_folders))
            if folders[len(folders) - shared :] == own_folders[len(own_folders) - shared :]:
                fits.append((folders == own_folders, key))
    return [key for same, key in fits if same] or [key for _, key in fits]


_CELLS: Mapping[str, Callable[[str], Any]] = {
    "start": parse_time,
    "stop": parse_time,
    "every": int,
    "neutral": parse_neutral,
}


def _match(pattern: str) -> list[Path]:
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    return [path for path in paths if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]


def _is_ours(video: Path, output: Path) -> bool:
    """Tell whether a video is an overlay of an earlier run, matched by a pattern."""
    return video.name.endswith(".overlay.mp4") and video.resolve().is_relative_to(output.resolve())
