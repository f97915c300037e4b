"""Read a table of people that tells when their faces are neutral."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...video.selection import parse_time
from ..recordings import read_rows

ANY_FACE = -1
"""Face of a recording that shows one person."""

NEEDED, OPTIONAL = ("file", "person"), ("from", "to", "face", "condition", "group")
"""Columns of the table; condition and group are those of `auvmae describe --people`, and not used here."""


@dataclass(frozen=True)
class NeutralRow:
    """Describe a row of the table.

    Args:
        where: Row and table, for messages.
        file: Recording, as the table names it.
        person: Person in it.
        face: `face_id` of the person, or `ANY_FACE`.
        interval: Start and stop of the neutral face in seconds; None if the row only says who is there.
    """

    where: str
    file: str
    person: str
    face: int
    interval: tuple[float, float] | None


def read_neutral_table(path: Path) -> list[NeutralRow]:
    """Read a table of people and of their neutral faces.

    Args:
        path: CSV file with the columns file and person, and optionally from, to, face, condition and group.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a column is missing or unknown, or a cell is wrong. The message names the row, counted from 1 for
            the header.
    """
    found = []
    for number, row in read_rows(path, NEEDED, OPTIONAL):
        cells, where = {name: text.strip() for name, text in row.items()}, f"row {number} of {path}"
        if ("from" in cells) != ("to" in cells):
            raise ValueError(f"{path} has only one of the columns from and to: add the other one")
        face, start, stop = (cells.get(name, "") for name in ("face", "from", "to"))
        for name in NEEDED:
            if not cells[name]:
                raise ValueError(f"{where} lacks a {name}: fill in the cell, or remove the row")
        if face and not face.isdecimal():
            raise ValueError(f"{where}: face must be a face_id such as 0, found {face!r}")
        if bool(start) != bool(stop):
            raise ValueError(
                f"{where} has only one of from and to ({start or stop}): give both, or none if it is unknown when "
                f"{cells['file']} shows a neutral face"
            )
        interval = None
        if start:
            try:
                interval = parse_time(start), parse_time(stop)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            if not 0 <= interval[0] < interval[1] < np.inf:
                raise ValueError(f"{where}: from must be before to, and none below 0, found {start} and {stop}")
        found.append(NeutralRow(where, cells["file"], cells["person"], int(face) if face else ANY_FACE, interval))
    if not found:
        raise ValueError(f"{path} lists no recording")
    return found
