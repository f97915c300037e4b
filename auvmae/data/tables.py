"""Read tables of labels as text editors and spreadsheets save them."""

import codecs
import csv
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from .files import LabelError

BOMS = {
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, whose mark begins it
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
SEPARATORS = "\t;,"  # in a tie, a comma is the decimal one
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\t;,]*', re.IGNORECASE)
AU_NAME = re.compile(r"(?:AU)?\s*0*([1-9][0-9]{0,2})", re.IGNORECASE)
WHOLE = re.compile(r"(-?[0-9]{1,9})(?:\.0*|,0)?")  # pandas writes a column with missing integers as 12.0
NUMBER = re.compile(r"-?[0-9]+(?:[.,][0-9]*)?")


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in the encoding of its byte order mark.

    Raises:
        LabelError: The text has another encoding.
    """
    data = path.read_bytes()
    mark = next((mark for mark in BOMS if data.startswith(mark)), b"")
    try:
        text = data[len(mark) :].decode(BOMS.get(mark, "utf-8"))
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        found = f"the byte {error.object[error.start]:#x}"
        raise LabelError.at(path, line, found, "Save the table as UTF-8 (in Excel: CSV UTF-8).") from None
    if "\0" in text:
        line = 1 + text[: text.index("\0")].count("\n")
        raise LabelError.at(path, line, "a NUL byte", "Save the table as UTF-8 (in Excel: CSV UTF-8).")
    return text


def table_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not empty.

    Commas, semicolons or tabs separate the cells, as `sep=;` in the first line or the first row tells. Empty cells past
    the width of the first row are dropped: spreadsheets write trailing separators.

    Raises:
        LabelError: The text cannot be decoded, or a quote stays open at the end of its line.
    """
    lines = re.split(r"\r\n|\r|\n", read_text(path))
    skipped = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if match := SEPARATOR_LINE.fullmatch(lines[skipped].strip()):
        separator, skipped = match[1], skipped + 1
    else:
        counted = re.sub('"[^"]*"', "", lines[skipped])
        separator = max(SEPARATORS, key=counted.count) if any(map(counted.count, SEPARATORS)) else ","
    reader = csv.reader(lines[skipped:], delimiter=separator, strict=True)
    width, number = 0, skipped
    while True:
        number = skipped + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error:
            cells = []
        if cells is None:
            return
        if skipped + reader.line_num > number or (not cells and lines[number - 1].strip()):
            found = f"a quotation mark without its pair in {lines[number - 1][:80]!r}"
            raise LabelError.at(path, number, found, "Close each quoted cell in its line; a cell has no line break.")
        cells = [cell.strip() for cell in cells]
        if any(cells):
            while len(cells) > width and not cells[-1]:
                cells.pop()
            width = width or len(cells)
            yield number, cells


def whole_number(cell: str) -> int | None:
    """Return the whole number in a cell, or None.

    >>> whole_number("12"), whole_number("12.0"), whole_number("12.5"), whole_number("1_2")
    (12, 12, None, None)
    """
    match = WHOLE.fullmatch(cell)
    return int(match[1]) if match else None


def real_number(cell: str) -> float | None:
    """Return the number in a cell, with a decimal point or comma, or None.

    >>> real_number("1.5"), real_number("1,5"), real_number("nan")
    (1.5, 1.5, None)
    """
    return float(cell.replace(",", ".")) if NUMBER.fullmatch(cell) else None


def au_columns(path: Path, line: int, header: Sequence[str]) -> dict[int, int]:
    """Return the AU at each position of a header that names one.

    An AU is written `AU12`, `AU06` or `12`.

    Raises:
        LabelError: Two columns name the same AU.
    """
    columns = {place: int(match[1]) for place, name in enumerate(header) if (match := AU_NAME.fullmatch(name))}
    for au in columns.values():
        names = [header[place] for place, other in columns.items() if other == au]
        if len(names) > 1:
            found = f"two columns for the same AU: {' and '.join(names)}"
            raise LabelError.at(path, line, found, "Keep one column per AU.")
    return columns


def read_label_file(path: Path, header: bool = False) -> tuple[list[str], np.ndarray, list[int]]:
    """Read a table of whole numbers whose first column is the frame.

    Args:
        path: The file.
        header: Whether the first row names the columns.

    Returns:
        The cells of the header ([] without one), an int64 array (rows, columns), and the line of the header, if any,
        and of each row.

    Raises:
        LabelError: A cell is not a whole number, the rows differ in length, the frames do not increase by one, or there
            is no row.
    """
    names: list[str] = []
    rows: list[list[int]] = []
    lines: list[int] = []
    for number, cells in table_rows(path):
        lines.append(number)
        if header and not names:
            names = cells
            continue
        width = len(names or (rows[0] if rows else cells))
        values = [value for cell in cells if (value := whole_number(cell)) is not None]
        if len(values) < len(cells):
            raise LabelError.at(path, number, repr(",".join(cells)), "Every cell must be an integer.")
        if len(cells) != width or width < 2:
            raise LabelError.at(path, number, f"{len(cells)} cells", f"There must be {max(width, 2)}.")
        if rows and values[0] != rows[-1][0] + 1:
            remedy = f"Frame {rows[-1][0]} must be followed by {rows[-1][0] + 1}: list each frame once, in order."
            raise LabelError.at(path, number, f"frame {values[0]}", remedy)
        rows.append(values)
    if not rows:
        raise LabelError.at(path, None, "no label", "Add one line per coded frame.")
    return names, np.array(rows), lines


def check_values(path: Path, values: np.ndarray, allowed: Collection[int], lines: Sequence[int]) -> np.ndarray:
    """Check that all values are allowed, and return them.

    Args:
        path: The file.
        values: Integers of shape (rows,) or (rows, columns).
        allowed: Values that the file may hold.
        lines: Line of each row.

    Raises:
        LabelError: A value is not allowed. The message names the first one.
    """
    wrong = np.argwhere(~np.isin(values, list(allowed)))
    if len(wrong):
        found = f"the value {values[tuple(wrong[0])]}"
        raise LabelError.at(path, lines[wrong[0][0]], found, f"Values must be {', '.join(map(str, allowed))}.")
    return values
