"""Read the forged label tables strictly, independently of the product.

Each reader returns the labels of all coded frames, by video and frame, or None if anything is out of the ordinary.
"""

import csv
import re
from collections.abc import Callable
from pathlib import Path

from auvmae.knowledge.facs import BP4D_AUS, DISFA_AUS, NOT_CODED

from ...support.forge_bp4d import TASKS
from ...support.forge_folder import LENGTHS as OWN_LENGTHS
from ..bases import LENGTHS

Labels = dict[str, dict[int, tuple[int, ...]]]


def read_cells(path: Path) -> list[list[str]] | None:
    """Read the cells of a UTF-8 table without quotes in which every line has as many cells as the first."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (UnicodeDecodeError, OSError):
        return None
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
    if not lines or '"' in text or re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]", text):
        return None
    delimiter = max(",;\t", key=lines[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    return rows if all(len(row) == len(rows[0]) for row in rows) else None


def number(cell: str) -> int | None:
    """Read a whole number, such as 12 or 12.0."""
    match = re.fullmatch(r"([0-9]{1,9})(\.0*)?", cell)
    return int(match[1]) if match else None


def read_own(root: Path) -> Labels | None:
    """Read the wide table of `forge_folder`."""
    rows = read_cells(root / "labels.csv")
    if not rows or sorted(rows[0][:2]) != ["frame", "video"] or len(rows) < 2:
        return None
    header, *lines = rows
    aus = [int(match[1]) if (match := re.fullmatch("AU([0-9]+)", name)) else None for name in header[2:]]
    known = [au for au in aus if au is not None]
    if sorted(known) != [1, 4, 12] or len(set(header)) < len(header):
        return None
    labels: Labels = {}
    for line in lines:
        row = dict(zip(header, line, strict=True))
        video, frame = row["video"].replace("\\", "/"), number(row["frame"])
        cells = {au: row[name] for au, name in zip(aus, header[2:], strict=True) if au is not None}
        values = [NOT_CODED if cells[au] == "" else number(cells[au]) for au in (1, 4, 12)]
        if video not in OWN_LENGTHS or frame is None or any(value not in (0, 1, NOT_CODED) for value in values):
            return None
        name = video if video == "carla/images" else str(Path(video).with_suffix(""))
        if frame in labels.setdefault(name, {}) or frame >= OWN_LENGTHS[video]:
            return None
        labels[name][frame] = tuple(value for value in values if value is not None)
    if labels.keys() != {name if name == "carla/images" else str(Path(name).with_suffix("")) for name in OWN_LENGTHS}:
        return None
    return _coded(labels)


def read_disfa(root: Path) -> Labels | None:
    """Read the label files of the eight AUs of the protocol."""
    if [path.name for path in root.glob("ActionUnit*")] != ["ActionUnit_Labels"]:
        return None
    labels: Labels = {}
    for subject, length in LENGTHS.items():
        columns = []
        for au in DISFA_AUS:
            rows = read_cells(root / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt")
            if not rows or len(rows[0]) != 2:
                return None
            cells = [[number(cell) for cell in row] for row in rows]
            if [frame for frame, _ in cells] != [*range(1, len(cells) + 1)]:
                return None
            if any(value is None or value > 5 for _, value in cells):
                return None
            columns.append([int((value or 0) >= 2) for _, value in cells])
        if len({len(column) for column in columns}) > 1:
            return None
        lines = [tuple(line) for line in zip(*columns, strict=True)]
        labels[f"Videos_LeftCamera/LeftVideo{subject}_comp"] = dict(enumerate(lines[:length]))
    files = {path.stem.partition("_")[0] for path in root.glob("ActionUnit_Labels/*/*.txt")}
    misplaced = [path for path in root.glob("ActionUnit_Labels/*/*.txt") if path.parent.name not in path.name]
    return None if misplaced or files != LENGTHS.keys() else _coded(labels)


def read_bp4d(root: Path) -> Labels | None:
    """Read the code tables of the forged tasks."""
    labels: Labels = {}
    tables = sorted(path.stem for path in root.glob("AUCoding/**/*.csv"))
    if tables != sorted(f"{subject}_{task}" for subject, task in TASKS):
        return None
    for (subject, task), (_, _, images) in TASKS.items():
        rows = read_cells(root / "AUCoding" / "AU_OCC" / f"{subject}_{task}.csv")
        if not rows or len(rows) < 2 or len(set(rows[0])) < len(rows[0]):
            return None
        places = [rows[0].index(str(au)) if str(au) in rows[0][1:] else None for au in BP4D_AUS]
        if None in places:
            return None
        video = labels.setdefault(f"Sequences(2D+3D)/{subject}_{task}", {})
        before = None
        for row in rows[1:]:
            cells = [number(cell) for cell in row]
            if cells[0] is None or (before is not None and cells[0] != before + 1) or not 1 <= cells[0] <= images:
                return None
            before = cells[0]
            values = [cells[place] for place in places if place is not None]
            if any(value not in (0, 1, 9) for value in values):
                return None
            video[cells[0] - 1] = tuple(NOT_CODED if value == 9 else int(value or 0) for value in values)
    return _coded(labels)


def _coded(labels: Labels) -> Labels:
    """Leave out frames of which no AU is coded."""
    kept = {
        video: {frame: line for frame, line in frames.items() if any(value != NOT_CODED for value in line)}
        for video, frames in labels.items()
    }
    return kept


STRICT: dict[str, Callable[[Path], Labels | None]] = {"own": read_own, "disfa": read_disfa, "bp4d": read_bp4d}
