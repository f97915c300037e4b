"""Label files as data sets of coded video have them: integers, a line per frame, read strictly."""

import csv
from collections.abc import Collection
from pathlib import Path

import numpy as np

from .errors import LabelError


def read_label_file(path: Path, header: bool = False) -> tuple[list[str], np.ndarray]:
    """Read a comma-separated file of integers whose first column counts frames, upwards by one.

    Args:
        path: the file.
        header: whether its first line names the columns.

    Returns:
        The cells of the header ([] without one), and an int64 array (rows, columns).

    Raises:
        LabelError: text in a cell, rows of unequal length, frames that repeat, jump or go back, or no row.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = [(number, line) for number, line in enumerate(csv.reader(file), 1) if line]
    names = lines.pop(0)[1] if header and lines else []
    rows: list[list[int]] = []
    for number, line in lines:
        try:
            rows.append([int(cell) for cell in line])
        except ValueError:
            raise LabelError.at(path, number, repr(",".join(line)), "Every cell must be an integer.") from None
        if len(line) != len(names or rows[0]) or len(line) < 2:
            raise LabelError.at(path, number, f"{len(line)} cells", f"There must be {len(names or rows[0])}.")
        if len(rows) > 1 and rows[-1][0] != rows[-2][0] + 1:
            remedy = f"After frame {rows[-2][0]} comes {rows[-2][0] + 1}: each frame once, in order."
            raise LabelError.at(path, number, f"frame {rows[-1][0]}", remedy)
    if not rows:
        raise LabelError.at(path, None, "no label", "There must be one line per coded frame.")
    return names, np.array(rows)


def check_values(path: Path, values: np.ndarray, allowed: Collection[int], first_line: int = 1) -> np.ndarray:
    """Give `values`, (rows,) or (rows, columns), back if they are all allowed.

    Raises:
        LabelError: one is not; names the first.
    """
    wrong = np.argwhere(~np.isin(values, list(allowed)))
    if len(wrong):
        found = f"the value {values[tuple(wrong[0])]}"
        raise LabelError.at(path, first_line + int(wrong[0][0]), found, f"Values are {', '.join(map(str, allowed))}.")
    return values
