"""Format tables of scores as Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..system.files import whole_file

LATEX_ESCAPES = {ord(character): f"\\{character}" for character in "&%$#_{}"} | {
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("\\"): r"\textbackslash{}",
}


def markdown_table(rows: Sequence[Sequence[str]], text_columns: int = 0) -> str:
    """Format rows of cells as a Markdown table.

    Args:
        rows: Rows with the same number of cells; the first row is the header.
        text_columns: Number of leading columns that are left-aligned.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = [column < text_columns for column in range(len(widths))]
    lines = [
        "| " + " | ".join(f"{cell:{'<' if to_left else '>'}{width}}" for cell, to_left, width in line) + " |"
        for line in (zip(row, left, widths, strict=True) for row in rows)
    ]
    dashes = (
        f":{'-' * (width + 1)}" if to_left else f"{'-' * (width + 1)}:"
        for to_left, width in zip(left, widths, strict=True)
    )
    return "\n".join([lines[0], f"|{'|'.join(dashes)}|", *lines[1:]])


@dataclass(frozen=True)
class Row:
    """Hold the scores of one method or run.

    Args:
        method: Name of the method or run.
        source: "published", or "computed" from saved predictions.
        values: One number per column, a fraction in [0, 1] unless the table says otherwise; NaN if undefined.
        interval: Lower and upper end of the interval of the last value, as fractions.
    """

    method: str
    source: str
    values: Sequence[float]
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Table:
    """Hold a table of scores.

    Values are printed in percent with one decimal, others with three; CSV has four.

    Args:
        name: Stem of the file names.
        title: Caption of the table.
        columns: Names of the values.
        rows: Rows in order.
        notes: Sentences below the table or in its caption.
        percent: Whether the values are fractions, to be printed in percent.
    """

    name: str
    title: str
    columns: list[str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    percent: bool = True

    def markdown(self) -> str:
        """Format title, table and notes as Markdown."""
        return "\n\n".join([f"**{self.title}**", markdown_table(self._cells(), 2), *self.notes]) + "\n"

    def csv(self) -> str:
        """Format the table as CSV.

        The interval has two columns, and undefined values are `nan`.
        """
        empty = ["", ""] if self._has_intervals else []
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["method", "source", *self.columns, *(["low", "high"] if self._has_intervals else [])])
        for row in self.rows:
            interval = [self._cell(end, 4) for end in row.interval] if row.interval else empty
            writer.writerow([row.method, row.source, *(self._cell(value, 4) for value in row.values), *interval])
        return out.getvalue()

    def latex(self) -> str:
        """Format the table for LaTeX with booktabs.

        A rule separates published from computed rows.
        """
        header, *rows = (" & ".join(cell.translate(LATEX_ESCAPES) for cell in row) + r" \\" for row in self._cells())
        lines = ["% needs \\usepackage{booktabs}", r"\begin{table}", r"\centering"]
        lines += ["\\caption{" + " ".join([f"{self.title}.", *self.notes]).translate(LATEX_ESCAPES) + "}"]
        lines += [rf"\begin{{tabular}}{{ll{'r' * (header.count(' & ') - 1)}}}", r"\toprule", header]
        for before, row, line in zip([None, *self.rows[:-1]], self.rows, rows, strict=True):
            lines += [r"\midrule"] * (before is None or before.source != row.source) + [line]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])

    def save(self, folder: str | Path) -> list[Path]:
        """Write `NAME.md`, `NAME.csv` and `NAME.tex`, each atomically."""
        paths = []
        Path(folder).mkdir(parents=True, exist_ok=True)
        for suffix, text in (("md", self.markdown()), ("csv", self.csv()), ("tex", self.latex())):
            paths.append(Path(folder) / f"{self.name}.{suffix}")
            with whole_file(paths[-1]) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return paths

    @property
    def _has_intervals(self) -> bool:
        return any(row.interval for row in self.rows)

    def _cells(self) -> list[list[str]]:
        """Format header and rows, with the intervals in one column if any."""
        cells = [
            ["method", "source", *self.columns],
            *([row.method, row.source, *map(self._cell, row.values)] for row in self.rows),
        ]
        if self._has_intervals:
            intervals = [f"[{', '.join(map(self._cell, row.interval))}]" if row.interval else "" for row in self.rows]
            cells = [[*line, cell] for line, cell in zip(cells, ["95 % interval", *intervals], strict=True)]
        return cells

    def _cell(self, value: float, digits: int | None = None) -> str:
        return f"{100 * value:.{digits or 1}f}" if self.percent else f"{value:.{digits or 3}f}"
