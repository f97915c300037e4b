"""Damage the files that commands keep beside their outputs, and run the commands again."""

from collections.abc import Callable
from pathlib import Path

from numpy.random import Generator

from ..bases import copy_tree, crop_flags, replace_file
from ..judging import DONE, REFUSED, RIGHT, Fault, Ran, check_leftovers, check_sentence, digests, run_command
from ..mutations import mutate
from .json_mutations import change_field

CROPS = ("a.faces.csv", "a.faces.json", "a.mp4", "crop_recipe.json", "crop_report.json")
TABLES = ("a.csv", "a.events.csv", "a.eaf", "a.provenance.json", "predict_report.json")
REPORTS = {"crop_report.json", "predict_report.json"}
"""They say "done" or "skipped", so that they differ between a first run and the next."""


def prepare(rng: Generator, bases: Path, work: Path) -> tuple[str, Callable[[], str]]:
    """Damage one file in a folder of finished crops or tables."""
    for name in ("recordings", "crops", "tables"):
        copy_tree(bases / name, work / "in" / name)
    folder, names = (("crops", CROPS), ("tables", TABLES))[rng.integers(2)]
    path = work / "in" / folder / names[rng.integers(len(names))]
    draw = rng.random()
    if draw < 0.15:
        what, content = "empty", b""
    elif draw < 0.25:
        what, content = "removed", b""
    elif draw < 0.3:
        what, content = "zeros", bytes(len(path.read_bytes()))
    elif path.suffix == ".json" and draw < 0.7:
        field, value, text = change_field(path.read_text(), rng)
        what, content = f"{'.'.join(map(str, field))} = {value!r}", text.encode()
    else:
        what, content = mutate(path.read_bytes(), rng, (bases / "tables" / "b.csv").read_bytes())
    replace_file(path, content)
    if what == "removed":
        path.unlink()
    judge = _judge_crops if folder == "crops" else _judge_tables
    return f"{folder}/{path.name}, {what}", lambda: judge(bases, work / "in", work, path.name)


def _judge_tables(bases: Path, root: Path, work: Path, damaged: str) -> str:
    ran = run_command(
        *("predict", root / "recordings", "-m", bases / "checkpoint", "-o", root / "tables", "--events"),
    )
    check_leftovers(root / "tables")
    found, expected = _contents(root / "tables"), _contents(bases / "tables")
    lost = [name for name in expected if name.startswith("b.") and found.get(name) != expected[name]]
    if lost:
        raise Fault("silent", f"files of the other recording changed: {', '.join(lost)}")
    return _done_again(ran, found, expected, damaged)


def _judge_crops(bases: Path, root: Path, work: Path, damaged: str) -> str:
    flags = ("-m", bases / "checkpoint", "--cropped")
    assert run_command("predict", bases / "crops" / "a.mp4", "-o", work / "intact", *flags).code == DONE
    before = run_command("predict", root / "crops" / "a.mp4", "-o", work / "before", *flags)
    if before.code == DONE:
        _same_table(work / "before", work / "intact")
    elif not (root / "crops" / "a.mp4").exists():
        pass
    else:
        check_sentence(before, "a.mp4", "a.faces", most_lines=8)
    ran = run_command("crop", root / "recordings" / "a.mp4", root / "crops", *crop_flags())
    check_leftovers(root / "crops")
    outcome = _done_again(ran, _contents(root / "crops"), _contents(bases / "crops"), damaged)
    if outcome == RIGHT:
        after = run_command("predict", root / "crops" / "a.mp4", "-o", work / "after", *flags)
        if after.code:
            raise Fault("silent", f"crop accepts what predict refuses: {after.text.strip()[-300:]}")
        _same_table(work / "after", work / "intact")
    return outcome


def _same_table(found: Path, expected: Path) -> None:
    if (found / "a.csv").read_bytes() != (expected / "a.csv").read_bytes():
        raise Fault("silent", "predict --cropped gives other rows, exit code 0")


def _contents(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(folder).items() if name not in REPORTS}


def _done_again(ran: Ran, found: dict[str, str], expected: dict[str, str], damaged: str) -> str:
    if ran.code == DONE:
        differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if differing:
            raise Fault("silent", f"believed as finished: {', '.join(differing)} differ")
        return RIGHT
    check_sentence(ran, damaged, "a.mp4", most_lines=8)
    return REFUSED
