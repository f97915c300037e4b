"""Damage saved predictions, and compare the tables of scores with the intact ones."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator

from ..bases import copy_tree, replace_file
from ..judging import DONE, REFUSED, RIGHT, UNUSABLE, Fault, check_leftovers, check_sentence, digests, run_command
from ..mutations import mutate

KEY = b"auvmae"


def prepare(rng: Generator, bases: Path, work: Path) -> tuple[str, Callable[[], str]]:
    """Damage the predictions of one fold."""
    root = copy_tree(bases / "runs", work / "in")
    path = root / "fold1" / "predictions.parquet"
    if rng.random() < 0.4:
        what, content = mutate(path.read_bytes(), rng, (bases / "runs/fold2/predictions.parquet").read_bytes())
        replace_file(path, content)
    else:
        names = [*CHANGES]
        what = names[rng.integers(len(names))]
        CHANGES[what](path, rng)
    return what, lambda: _judge(root, bases / "runs", work)


def _judge(root: Path, intact: Path, work: Path) -> str:
    expected = run_command("summarize", intact, "--draws", "20", "-o", work / "intact")
    assert expected.code == DONE, expected.text
    ran = run_command("summarize", root, "--draws", "20", "-o", work / "out")
    check_leftovers(work / "out")
    other = run_command("compare", root / "fold1", intact / "fold1", "--draws", "20")
    for code in (ran.code, other.code):
        if code not in (DONE, UNUSABLE):
            raise Fault("exit code", f"exit code {code}: {ran.text[-100:]}{other.text[-100:]}")
    if ran.code == UNUSABLE:
        check_sentence(ran, str(root), "fold", "subject")
        if (work / "out").exists():
            raise Fault("leftover", ", ".join(digests(work / "out")))
    elif digests(work / "out") != digests(work / "intact"):
        raise Fault("silent", "other scores, exit code 0")
    if other.code == UNUSABLE:
        check_sentence(other, str(root), "fold", "subject")
    elif "+0.0" not in other.text or "AU" not in other.text:
        raise Fault("silent", f"compare: {other.text[-200:]!r}")
    return REFUSED if ran.code else RIGHT


def _rewrite(path: Path, table: pa.Table, metadata: dict[bytes, bytes] | None = None) -> None:
    kept = table.schema.metadata if metadata is None else metadata
    path.unlink()
    pq.write_table(table.replace_schema_metadata(kept), path)


def _run_field(name: str, value: object) -> Callable[[Path, Generator], None]:
    def change(path: Path, rng: Generator) -> None:
        table = pq.read_table(path)
        content = json.loads(table.schema.metadata[KEY])
        (content if name == "au_names" else content["run"])[name] = value
        _rewrite(path, table, {KEY: json.dumps(content).encode()})

    return change


def _cell(column: str, value: object, kind: pa.DataType | None = None) -> Callable[[Path, Generator], None]:
    def change(path: Path, rng: Generator) -> None:
        table = pq.read_table(path)
        values = table[column].to_pylist()
        values[rng.integers(len(values))] = value
        place = table.column_names.index(column)
        _rewrite(path, table.set_column(place, column, pa.array(values, kind or table[column].type)))

    return change


def _without(column: str) -> Callable[[Path, Generator], None]:
    return lambda path, rng: _rewrite(path, pq.read_table(path).drop_columns([column]))


def _twice_in_a_row(path: Path, rng: Generator) -> None:
    table = pq.read_table(path)
    _rewrite(path, pa.concat_tables([table, table]))


def _twice_in_folders(path: Path, rng: Generator) -> None:
    shutil.copytree(path.parent, path.parents[1] / "fold3")


def _no_rows(path: Path, rng: Generator) -> None:
    _rewrite(path, pq.read_table(path).slice(0, 0))


def _shuffled(path: Path, rng: Generator) -> None:
    table = pq.read_table(path)
    _rewrite(path, table.take(rng.permutation(len(table))))


def _no_metadata(path: Path, rng: Generator) -> None:
    _rewrite(path, pq.read_table(path), {})


STRINGS = pa.string()
CHANGES: dict[str, Callable[[Path, Generator], None]] = {
    "thresholds NaN": _run_field("thresholds", [math.nan] * 4),
    "thresholds as text": _run_field("thresholds", ["0.5"] * 4),
    "thresholds past 1": _run_field("thresholds", [0.5, 0.5, 7, 0.5]),
    "too few thresholds": _run_field("thresholds", [0.5]),
    "thresholds as one number": _run_field("thresholds", 0.5),
    "names doubled": _run_field("au_names", ["AU1", "AU1", "AU4", "AU6"]),
    "names unknown": _run_field("au_names", ["AU1", "AU2", "AU4", "AU99"]),
    "names as text": _run_field("au_names", "AU1"),
    "no names": _run_field("au_names", []),
    "fold as list": _run_field("fold", [1]),
    "a null subject": _cell("subject", None, STRINGS),
    "a null video": _cell("video", None, STRINGS),
    "a null frame": _cell("frame", None),
    "a negative frame": _cell("frame", -3),
    "a null probability": _cell("prob_AU2", None),
    "a probability NaN": _cell("prob_AU2", math.nan),
    "a probability of 2": _cell("prob_AU2", 2.0),
    "a null label": _cell("label_AU4", None),
    "a label of 7": _cell("label_AU4", 7),
    "no frames": _without("frame"),
    "no subjects": _without("subject"),
    "no labels of an AU": _without("label_AU1"),
    "the table twice": _twice_in_a_row,
    "the run twice": _twice_in_folders,
    "no rows": _no_rows,
    "rows shuffled": _shuffled,
    "no metadata": _no_metadata,
}
