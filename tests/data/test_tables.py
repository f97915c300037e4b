"""Test that tables of labels are read as editors and spreadsheets save them, or refused with the line."""

import json
import unicodedata
from pathlib import Path

import pytest

from auvmae.data import load_au_dataset
from auvmae.data.clips import au_names
from auvmae.data.files import DatasetLayoutError, LabelError
from auvmae.data.folds import read_folds
from auvmae.data.tables import read_label_file, table_rows
from auvmae.runs.arguments_protocol import ProtocolArguments

from ..support.forge_bp4d import forge_bp4d
from ..support.forge_disfa import forge_disfa
from ..support.forge_folder import check, load, wide

TABLE = [["video", "frame", "AU1"], ["a", "0", "1"], ["b", "1", ""]]


def text(separator: str = ",", end: str = "\n") -> str:
    return end.join(separator.join(row) for row in TABLE) + end


@pytest.mark.parametrize(
    "data",
    [
        text().encode(),
        text().encode("utf-8-sig"),
        text(";", "\r\n").encode("utf-16"),
        b"\xfe\xff" + text("\t").encode("utf-16-be"),
        text().encode("utf-32"),
        ("sep=;\r\n" + text(";", "\r\n")).encode(),
        ('"sep=|"\n' + text("|")).encode(),
        text(end="\r").encode(),
        text(end=",,\r\n").encode(),
        ("\n\n" + text()).encode(),
        text().replace("video", '"video"').replace("a,", '"a",').encode(),
    ],
    ids=lambda data: repr(data[:14]),
)
def test_encodings_separators_and_line_ends(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "table.csv").write_bytes(data)
    assert [cells for _, cells in table_rows(tmp_path / "table.csv")] == TABLE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'a,b\n1,"2\n3,4\n', r"table\.csv, line 2: found a quotation mark without its pair"),
        (b'a,b\n1,2\n3,"4\n5,6"\n', r"line 3: found a quotation mark without"),
        (b'a,b\n1,2\n3,"4"4\n5,6\n', r"line 3: found a quotation mark without"),
        (b'a,b\n"1,2', r"line 2: found a quotation mark without"),
        (b"a,b\n1,2\n\xe9,4\n", r"line 3: found the byte 0xe9\. Save the table as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), r"line 1: found a NUL byte\. Save the table as UTF-8"),
    ],
)
def test_tables_that_are_refused_with_their_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "table.csv").write_bytes(data)
    with pytest.raises(LabelError, match=message):
        list(table_rows(tmp_path / "table.csv"))


def test_an_open_quote_swallows_no_label(tree: Path) -> None:
    rows = [[*row, "comment" if number == 0 else "ok"] for number, row in enumerate(wide())]
    rows[50][-1] = '"looks odd'
    (tree / "labels.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    with pytest.raises(LabelError, match="line 51: found a quotation mark"):
        load(tree)


def test_own_tables_in_utf16_with_decimal_commas(tree: Path) -> None:
    check(load(tree), tree)
    lines = [";".join(map(str, row)) for row in wide()]
    lines[1:] = [";".join([*line.split(";")[:2], *map(_half, line.split(";")[2:])]) for line in lines[1:]]
    (tree / "labels.csv").write_bytes(("sep=;\r\n" + "\r\n".join(lines)).encode("utf-16"))
    check(load(tree, intensity_threshold=1), tree)


def _half(cell: str) -> str:
    return {"1": "1,5", "0": "0,5"}.get(cell, cell)


def test_bp4d_and_disfa_share_the_reader(tmp_path: Path) -> None:
    forge_bp4d(tmp_path / "bp4d")
    path = tmp_path / "bp4d/AUCoding/AU_OCC/M007_T1.csv"
    lines = path.read_text().splitlines()
    path.write_bytes(("sep=;\n" + "\n".join(lines).replace(",", ";")).encode("utf-16"))
    assert len(load_au_dataset("bp4d", tmp_path / "bp4d")["train"])
    path.write_bytes("\n".join([lines[0], lines[1] + "é", *lines[2:]]).encode("latin-1"))
    with pytest.raises(LabelError, match=r"M007_T1\.csv, line 2: found the byte 0xe9"):
        load_au_dataset("bp4d", tmp_path / "bp4d")
    path.write_text("\n".join(["sep=,", lines[0], "1" + ",5" * 23, *lines[2:]]))
    with pytest.raises(LabelError, match=r"M007_T1\.csv, line 3: found the value 5"):
        load_au_dataset("bp4d", tmp_path / "bp4d")
    path.write_text("\n".join([lines[0].replace(",2,", ",AU01,"), *lines[1:]]))
    with pytest.raises(LabelError, match=r"line 1: found two columns for the same AU: 1 and AU01"):
        load_au_dataset("bp4d", tmp_path / "bp4d")

    forge_disfa(tmp_path / "disfa", {"SN001": 20, "SN003": 20})
    path = tmp_path / "disfa/ActionUnit_Labels/SN001/SN001_au1.txt"
    lines = path.read_text().splitlines()
    path.write_bytes("\r".join(line.replace(",", "\t") + ".0" for line in lines).encode("utf-16"))
    assert au_names(load_au_dataset("disfa", tmp_path / "disfa"))[0] == "AU1"
    path.write_text('1,0\n2,"0\n3,0\n')
    with pytest.raises(LabelError, match=r"SN001_au1\.txt, line 2: found a quotation mark"):
        load_au_dataset("disfa", tmp_path / "disfa")


@pytest.mark.parametrize("cell", ["nan", "inf", "1_0", "", "1.5", "1e0", "٣"])
def test_cells_that_are_no_whole_numbers(tmp_path: Path, cell: str) -> None:
    (tmp_path / "table.txt").write_text(f"1,0\n2,{cell}\n", encoding="utf-8")
    with pytest.raises(LabelError, match=r"line 2: found"):
        read_label_file(tmp_path / "table.txt")


def test_second_files_and_foreign_folders(tmp_path: Path, tree: Path) -> None:
    (tree / "labels.tsv").write_text("")
    with pytest.raises(DatasetLayoutError, match=r"two label tables, labels\.csv and labels\.tsv\. Keep one"):
        load(tree)

    forge_bp4d(tmp_path / "bp4d")
    forge_bp4d(tmp_path / "other", labels_folder="AUCoding", sequences="BP4D-training/")
    (tmp_path / "other/AUCoding/F001_T1.csv").rename(tmp_path / "bp4d/AUCoding/F001_T1.CSV")
    with pytest.raises(DatasetLayoutError, match=r"F001_T1\.CSV and .*F001_T1\.csv are the same recording\. Keep one"):
        load_au_dataset("bp4d", tmp_path / "bp4d")
    (tmp_path / "bp4d/AUCoding/F001_T1.CSV").unlink()
    (tmp_path / "other/BP4D-training").rename(tmp_path / "bp4d/BP4D-training")
    with pytest.raises(DatasetLayoutError, match="are the same recording"):
        load_au_dataset("bp4d", tmp_path / "bp4d")

    forge_disfa(tmp_path / "disfa", {"SN001": 20, "SN003": 20})
    labels = tmp_path / "disfa/ActionUnit_Labels"
    (labels / "SN003/SN001_au1.txt").write_text("1,0\n")
    with pytest.raises(DatasetLayoutError, match=r"SN003/SN001_au1\.txt lies in the folder of another subject\. Move"):
        load_au_dataset("disfa", tmp_path / "disfa")
    (labels / "SN003/SN001_au1.txt").rename(labels / "SN001/SN001_au01.txt")
    with pytest.raises(DatasetLayoutError, match="are the same recording"):
        load_au_dataset("disfa", tmp_path / "disfa")


def test_names_compare_in_one_normal_form(tree: Path, tmp_path: Path) -> None:
    names = ["anné/café.mp4", "berté.mkv"]
    disk, table = ([unicodedata.normalize(form, name) for name in names] for form in ("NFD", "NFC"))
    (tree / Path(disk[0]).parent).mkdir()
    (tree / "anna/monday.mp4").rename(tree / disk[0])
    (tree / "bert.mkv").rename(tree / disk[1])
    header, *rows = wide()
    rows = [[*row, row[0].split("/")[0]] for row in rows]
    renamed = dict(zip(("anna/monday.mp4", "bert.mkv"), table, strict=True))
    lines = [[*header, "subject"], *([renamed.get(name := row[0], name), *row[1:-1], name] for row in rows)]
    lines = [[*line[:-1], f"é{line[-1]}" if number else line[-1]] for number, line in enumerate(lines)]
    (tree / "labels.csv").write_text("\n".join(",".join(map(str, line)) for line in lines), encoding="utf-8")
    folds = [[f"é{name}"] for name in ("anna/monday.mp4", "anna/tuesday.avi", "bert.mkv", "carla/images")]
    file = tmp_path / unicodedata.normalize("NFD", "folds-é.json")
    file.write_text(unicodedata.normalize("NFD", json.dumps(folds, ensure_ascii=False)), encoding="utf-16")
    found = load(tree, folds_file=str(tmp_path / unicodedata.normalize("NFC", file.name)))
    assert set(found["test"]["subject"]) == {"éanna/monday.mp4"}
    assert read_folds(file, [unicodedata.normalize("NFD", subject) for (subject,) in folds]) == folds

    (tree / unicodedata.normalize("NFC", disk[1])).write_bytes((tree / disk[1]).read_bytes())
    with pytest.raises(DatasetLayoutError, match=r"are the same recording\. Keep one"):
        load(tree)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": -1}, "fold must be at least 1, found -1"),
        ({"fold": "2"}, "fold must be a whole number, found '2'"),
        ({"fold": True}, "fold must be a whole number, found True"),
        ({"fold": 4}, "folds are 1 to 3"),
        ({"clip_length": 16.0}, r"clip_length must be a whole number, found 16\.0"),
        ({"drop_lost_faces": "no"}, "drop_lost_faces must be true or false, found 'no'"),
        ({"intensity_threshold": float("nan")}, r"intensity_threshold must be a number in \(0, 5\], found nan"),
        ({"intensity_threshold": float("inf")}, "intensity_threshold must be a number in"),
        ({"rare_aus": ["AU1"]}, "rare_aus must be a list of whole numbers, found"),
        ({"num_folds": 1}, "num_folds must be at least 2"),
        ({"label_fil": "x"}, "has no option label_fil; its options are .*label_file, intensity_threshold"),
    ],
)
def test_options_of_wrong_types_and_ranges(tree: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tree, **options)
    with pytest.raises(ValueError, match=next(iter(options))[:8]):
        load_au_dataset("face_videos", tree, **options)


def test_a_test_side_without_labels_is_refused(tree: Path) -> None:
    header, *rows = wide()
    blank = [[*row[:2], "", "", ""] if row[0] == "carla/images" else row for row in rows]
    (tree / "labels.csv").write_text("\n".join(",".join(map(str, row)) for row in [header, *blank]))
    options = json.dumps({"num_folds": 4})
    fields = {"dataset": "au_video_folder", "data_dir": str(tree), "clip_length": 16, "dataset_options": options}
    assert ProtocolArguments(fold="2", **fields).load()["test"].num_rows
    with pytest.raises(ValueError, match="no frame of the test subjects of fold 1 is coded"):
        ProtocolArguments(fold="1", **fields).load()
