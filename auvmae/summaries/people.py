"""Read the people and conditions of recordings from a table."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas

from ..inference.recordings import find_named

NEEDED, OPTIONAL = ("file", "person"), ("face", "condition", "group")


@dataclass(frozen=True)
class Appearance:
    """Describe a row of the table.

    Args:
        file: Recording, as the table names it.
        face: `face_id` of the person; None for a recording of one person.
        person, condition, group: Texts; "" for a column that the table lacks.
    """

    file: str
    face: int | None
    person: str
    condition: str
    group: str


def read_people(path: str | Path) -> list[Appearance]:
    """Read a table of people.

    Args:
        path: CSV file with the columns file and person, and optionally face, condition and group.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a column is missing or unknown, a person is empty, a face is no number, or a recording appears
            twice. The message names the row, counted from 2 below the header.
    """
    try:
        table = pandas.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{path} is no CSV file: {error}") from error
    table.columns = table.columns.str.strip()
    wrong = [*(set(NEEDED) - set(table)), *(set(table) - {*NEEDED, *OPTIONAL})]
    if wrong:
        raise ValueError(
            f"{path} needs the columns {' and '.join(NEEDED)}, and may have {', '.join(OPTIONAL)}; found "
            f"{', '.join(map(str, table.columns)) or 'none'}"
        )
    found: dict[tuple[str, int | None], Appearance] = {}
    for number, row in enumerate(table.to_dict("records"), start=2):
        texts = {str(name): value.strip() for name, value in row.items()}
        face = texts.pop("face", "")
        if not texts["person"] or not texts["file"]:
            raise ValueError(f"row {number} of {path} lacks a {'file' if not texts['file'] else 'person'}")
        if face and not face.isdecimal():
            raise ValueError(f"row {number} of {path}: face must be a face_id such as 0, found {face!r}")
        one = Appearance(face=int(face) if face else None, **{"condition": "", "group": ""} | texts)
        if (one.file, one.face) in found:
            raise ValueError(f"row {number} of {path} repeats {one.file}")
        found[one.file, one.face] = one
    return [*found.values()]


def match_recordings(
    appearances: Iterable[Appearance], recordings: dict[str, str]
) -> tuple[dict[str, list[Appearance]], dict[str, str]]:
    """Assign the rows of a table of people to predictions.

    Args:
        appearances: Rows of the table.
        recordings: Name of the recording (file name with suffix) by prediction. A prediction is named by its table's
            path below the folder, without suffix, such as "day1/anna".

    Returns:
        The rows by prediction, and the reason for every file and prediction that is left out. A file may be given with
        or without its suffix, and with more or fewer folders, as long as one prediction fits.
    """
    matched: dict[str, list[Appearance]] = {}
    left_out: dict[str, str] = {}
    for one in appearances:
        fits = find_named(one.file, recordings)
        if len(fits) == 1:
            matched.setdefault(fits[0], []).append(one)
        else:
            reason = f"fits {' and '.join(fits)}" if fits else "no prediction has this name"
            left_out[one.file] = f"{reason} (named in the table of people)"
    left_out |= {key: "not in the table of people" for key in recordings if key not in matched}
    return matched, left_out
