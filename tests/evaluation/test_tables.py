"""Test tables in three formats by parsing them with independent readers."""

import io
import os
import re

import pandas as pd
import pytest

from auvmae.evaluation.tables import Row, Table, markdown_table

NAN = float("nan")
TABLE = Table(
    "disfa_f1",
    "F1 on disfa & more, percent",
    ["AU1", "AU_2", "Avg."],
    [
        Row("theirs", "published", [0.5, 0.25, 0.375]),
        Row("ours, 100%", "computed", [0.123456, NAN, NAN], (0.1, 0.2)),
    ],
    ["A note."],
)


def test_csv_is_read_back_by_pandas():
    frame = pd.read_csv(io.StringIO(TABLE.csv()))
    assert frame.columns.tolist() == ["method", "source", "AU1", "AU_2", "Avg.", "low", "high"]
    assert frame["method"].tolist() == ["theirs", "ours, 100%"]
    assert frame["AU1"].tolist() == [50, 12.3456]
    assert frame.loc[1, ["AU_2", "Avg."]].isna().all()
    assert frame[["low", "high"]].to_numpy()[1].tolist() == [10, 20]
    assert frame[["low", "high"]].isna().to_numpy()[0].all()


def test_markdown_has_a_line_per_row_of_one_width():
    text = TABLE.markdown()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["method", "source", "AU1", "AU_2", "Avg.", "95 % interval"]
    assert cells[2] == ["theirs", "published", "50.0", "25.0", "37.5", ""]
    assert cells[3] == ["ours, 100%", "computed", "12.3", "nan", "nan", "[10.0, 20.0]"]
    assert text.startswith("**F1 on disfa & more, percent**\n")
    assert text.endswith("\nA note.\n")


def test_alignment():
    assert markdown_table([["a", "b"], ["x", "1"]], text_columns=1).splitlines()[1] == "|:--|--:|"


def test_latex_is_balanced_escaped_and_parted():
    text = TABLE.latex()
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns)}
    assert rows[0].startswith(r"method & source & AU1 & AU\_2 &")
    assert rows[2].startswith(r"ours, 100\% & computed & 12.3 & nan")
    assert r"\caption{F1 on disfa \& more, percent. A note.}" in text
    assert body.count(r"\midrule") == 2
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("a_b\\c", r"a\_b\textbackslash{}c"), ("{~^}", r"\{\textasciitilde{}\textasciicircum{}\}")],
)
def test_every_special_character_is_escaped_once(text, escaped):
    assert escaped in Table("t", text, ["AU1"], [Row("m", "computed", [0.0])]).latex()


def test_files_are_written_whole(tmp_path):
    paths = TABLE.save(tmp_path / "new")
    assert sorted(os.listdir(tmp_path / "new")) == ["disfa_f1.csv", "disfa_f1.md", "disfa_f1.tex"]
    assert [path.read_text() for path in paths] == [TABLE.markdown(), TABLE.csv(), TABLE.latex()]
