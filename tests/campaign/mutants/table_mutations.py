"""Change label tables as spreadsheets, scripts and people do."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from numpy.random import Generator

WRONG = (
    "7",
    "-1",
    "x",
    "nan",
    "NaN",
    "inf",
    "1e9",
    "0.5",
    "1_0",
    "\uff11",
    "0x1",
    "TRUE",
    "1;1",
    "",
    " ",
    "99999999999999",
)

Form = Callable[[str, Generator], bytes]


def _cells(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.splitlines()]


def _join(rows: list[list[str]], delimiter: str = ",", end: str = "\n") -> str:
    return "".join(delimiter.join(row) + end for row in rows)


def _encoded(encoding: str) -> Form:
    return lambda text, rng: text.encode(encoding)


def _delimited(delimiter: str, first: str = "") -> Form:
    return lambda text, rng: (first + _join(_cells(text), delimiter)).encode()


def _rows(change: Callable[[list[list[str]], Generator], None]) -> Form:
    def form(text: str, rng: Generator) -> bytes:
        rows = _cells(text)
        change(rows, rng)
        return _join(rows).encode()

    return form


def _place(rows: list[list[str]], rng: Generator) -> tuple[int, int]:
    """Draw the row and column of a cell below the first line."""
    row = int(rng.integers(1, len(rows)))
    return row, int(rng.integers(len(rows[row])))


def _wrong_value(rows: list[list[str]], rng: Generator) -> None:
    row, column = _place(rows, rng)
    rows[row][column] = WRONG[rng.integers(len(WRONG))]


def _open_quote(rows: list[list[str]], rng: Generator) -> None:
    row, column = _place(rows, rng)
    rows[row][column] = '"' + rows[row][column]


def _two_open_quotes(rows: list[list[str]], rng: Generator) -> None:
    for _ in range(2):
        _open_quote(rows, rng)


def _doubled_column(rows: list[list[str]], rng: Generator) -> None:
    column, place = (int(rng.integers(len(rows[0]))) for _ in range(2))
    for number, row in enumerate(rows):
        value = row[column]
        if number and rng.random() < 0.2 and value in ("0", "1"):
            value = "10"[int(value)]
        row.insert(place, value)


def _removed_column(rows: list[list[str]], rng: Generator) -> None:
    column = int(rng.integers(len(rows[0])))
    for row in rows:
        del row[column]


def _swapped_columns(rows: list[list[str]], rng: Generator) -> None:
    first, second = rng.integers(0, len(rows[0]), 2)
    for row in rows:
        row[first], row[second] = row[second], row[first]


def _removed_row(rows: list[list[str]], rng: Generator) -> None:
    del rows[rng.integers(len(rows))]


def _doubled_row(rows: list[list[str]], rng: Generator) -> None:
    row = int(rng.integers(len(rows)))
    rows.insert(int(rng.integers(len(rows))), [*rows[row]])


def _contradicting_row(rows: list[list[str]], rng: Generator) -> None:
    row = [*rows[int(rng.integers(1, len(rows)))]]
    row[-1] = "0" if row[-1] == "1" else "1"
    rows.append(row)


def _swapped_rows(rows: list[list[str]], rng: Generator) -> None:
    first, second = rng.integers(1, len(rows), 2)
    rows[first], rows[second] = rows[second], rows[first]


def _header_again(rows: list[list[str]], rng: Generator) -> None:
    rows.insert(int(rng.integers(1, len(rows))), [*rows[0]])


def _comment(rows: list[list[str]], rng: Generator) -> None:
    rows.insert(int(rng.integers(len(rows))), ["# coded twice"])


def _short_row(rows: list[list[str]], rng: Generator) -> None:
    rows[rng.integers(1, len(rows))].pop()


def _long_row(rows: list[list[str]], rng: Generator) -> None:
    rows[rng.integers(1, len(rows))].append("1")


FORMS: dict[str, Form] = {
    "UTF-8 with a mark": _encoded("utf-8-sig"),
    "UTF-16": _encoded("utf-16"),
    "UTF-16 without a mark": _encoded("utf-16-le"),
    "UTF-32": _encoded("utf-32"),
    "a Latin-1 column": lambda text, rng: _join([[*row, "é"] for row in _cells(text)]).encode("latin-1"),
    "semicolons": _delimited(";"),
    "semicolons after sep=;": _delimited(";", "sep=;\n"),
    "tabs": _delimited("\t"),
    "bars": _delimited("|"),
    "spaces": _delimited(" "),
    "decimal commas": lambda text, rng: _join(
        [[re.sub(r"^(\d+)$", r"\1,0", cell) for cell in row] if n else row for n, row in enumerate(_cells(text))], ";"
    ).encode(),
    "decimal points": lambda text, rng: _join(
        [[re.sub(r"^(\d+)$", r"\1.0", cell) for cell in row] if n else row for n, row in enumerate(_cells(text))]
    ).encode(),
    "Windows line ends": lambda text, rng: _join(_cells(text), end="\r\n").encode(),
    "old Mac line ends": lambda text, rng: _join(_cells(text), end="\r").encode(),
    "empty lines": lambda text, rng: _join(_cells(text), end="\n\n").encode(),
    "quoted cells": lambda text, rng: _join([[f'"{cell}"' for cell in row] for row in _cells(text)]).encode(),
    "spaces around": lambda text, rng: _join([[f" {cell} " for cell in row] for row in _cells(text)]).encode(),
    "a NUL": lambda text, rng: text.encode().replace(b"\n", b"\0\n", 1),
    "nothing": lambda text, rng: b"",
    "header only": lambda text, rng: _join(_cells(text)[:1]).encode(),
    "a wrong value": _rows(_wrong_value),
    "a wrong value ": _rows(_wrong_value),
    "an open quote": _rows(_open_quote),
    "two open quotes": _rows(_two_open_quotes),
    "a doubled column": _rows(_doubled_column),
    "a removed column": _rows(_removed_column),
    "swapped columns": _rows(_swapped_columns),
    "a removed row": _rows(_removed_row),
    "a doubled row": _rows(_doubled_row),
    "a contradicting row": _rows(_contradicting_row),
    "swapped rows": _rows(_swapped_rows),
    "the header again": _rows(_header_again),
    "a comment": _rows(_comment),
    "a short row": _rows(_short_row),
    "a long row": _rows(_long_row),
}


def _other(path: Path, rng: Generator) -> Path:
    """Choose another label file of the dataset."""
    root = path.parents[1] if path.suffix == ".txt" else path.parent
    files = sorted(file for file in root.rglob(f"*{path.suffix}") if file != path)
    return files[rng.integers(len(files))]


def _remove(root: Path, path: Path, rng: Generator) -> None:
    path.unlink()


def _folder_in_place(root: Path, path: Path, rng: Generator) -> None:
    path.unlink()
    path.mkdir()


def _misplace(root: Path, path: Path, rng: Generator) -> None:
    """Move a label file to the folder of another subject, or give it another task's name."""
    other = _other(path, rng)
    if path.suffix == ".txt":
        path.rename((other.parent if other.parent != path.parent else path.parents[1]) / path.name)
    else:
        path.replace(other)


def _second_folder(root: Path, path: Path, rng: Generator) -> None:
    """Add a second label folder, in which one file differs."""
    folder = path.parents[1] if path.suffix == ".txt" else path.parent
    second = root / ("ActionUnits" if path.suffix == ".txt" else "AUCoding")
    shutil.copytree(folder, second, dirs_exist_ok=True)
    copy = second / path.relative_to(folder)
    copy.write_text(re.sub(r"(?m)[01]$", lambda match: "10"[int(match[0])], copy.read_text()))


TREES: dict[str, Callable[[Path, Path, Generator], None]] = {
    "removed": _remove,
    "a folder in its place": _folder_in_place,
    "misplaced": _misplace,
    "a second label folder": _second_folder,
}
