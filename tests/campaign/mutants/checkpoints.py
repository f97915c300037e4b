"""Damage checkpoints, and compare the table that they give with the intact checkpoint's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.random import Generator
from safetensors.numpy import load, save

from ..bases import copy_tree, replace_file
from ..judging import (
    DONE,
    FAILED,
    REFUSED,
    RIGHT,
    UNUSABLE,
    Fault,
    check_leftovers,
    check_sentence,
    check_unchanged,
    digests,
    run_command,
)
from ..mutations import mutate
from .json_mutations import DELETED, change_field

WEIGHTS, CONFIG, PROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"

FREE = {
    "thresholds",
    "layer_norm_eps",
    "margin",
    "smoothing",
    "min_confidence",
    "min_face",
    "max_gap",
    "crop",
    "search",
}
"""Fields that another valid value, or a default, may replace: the table is then another one."""


def prepare(rng: Generator, bases: Path, work: Path) -> tuple[str, Callable[[], str]]:
    """Damage one file of a checkpoint."""
    root = copy_tree(bases / "checkpoint", work / "in")
    name = (CONFIG, PROCESSOR, WEIGHTS)[rng.integers(3)]
    path, draw = root / name, rng.random()
    may_differ = False
    if draw < 0.08:
        what = "removed"
        path.unlink()
    elif draw < 0.16:
        what = "a folder in its place"
        path.unlink()
        path.mkdir()
    elif draw < 0.24:
        what = "of another checkpoint"
        content = (bases / "other_checkpoint" / name).read_bytes() if name == WEIGHTS else b"{}"
        replace_file(path, content)
    elif draw < 0.45:
        what, content = mutate(path.read_bytes(), rng, (bases / "other_checkpoint" / WEIGHTS).read_bytes())
        replace_file(path, content)
        may_differ = True  # a digit or the bit of a weight may have become another valid one
    elif name == WEIGHTS:
        what, content = _change_weights(path.read_bytes(), rng)
        replace_file(path, content)
    else:
        field, value, text = change_field(path.read_text(), rng)
        what = f"{'.'.join(map(str, field))} = {value!r}"
        replace_file(path, text.encode())
        sound = value == DELETED or (isinstance(value, int | float) and value >= 0)
        may_differ = bool({*map(str, field)} & FREE) and sound and value is not True
    cropped = bool(rng.random() < 0.5)
    video = bases / "crops" / "a.mp4" if cropped and name != PROCESSOR else bases / "recordings" / "a.mp4"
    flags = ["--cropped"] if video.parent.name == "crops" else []
    return f"{name}, {what}", lambda: _judge(root, bases, video, flags, may_differ, work)


def _change_weights(content: bytes, rng: Generator) -> tuple[str, bytes]:
    tensors = load(content)
    names = sorted(tensors)
    name = names[rng.integers(len(names))]
    tensor = tensors[name].copy()
    place = tuple(int(rng.integers(size)) for size in tensor.shape)
    kind = ("not a number", "infinite", "huge", "absent", "one too many", "another shape", "whole numbers")[
        rng.integers(7)
    ]
    if kind in ("not a number", "infinite", "huge"):
        tensor[place] = {"not a number": np.nan, "infinite": np.inf, "huge": 3e38}[kind]
        tensors[name] = tensor
    elif kind == "absent":
        del tensors[name]
    elif kind == "one too many":
        tensors[f"{name}.more"] = tensor
    else:
        tensors[name] = tensor[..., :-1].copy() if kind == "another shape" else tensor.astype(np.int64)
    return f"{name} {kind}", save(tensors, {"format": "pt"})


def _judge(root: Path, bases: Path, video: Path, flags: list[str], may_differ: bool, work: Path) -> str:
    expected = run_command("predict", video, "-m", bases / "checkpoint", "-o", work / "intact", *flags)
    assert expected.code == DONE, expected.text
    before = digests(root)
    ran = run_command("predict", video, "-m", root, "-o", work / "out", *flags)
    check_leftovers(work / "out")
    check_unchanged(root, before)
    table = work / "out" / "a.csv"
    if ran.code in (UNUSABLE, FAILED):
        if table.exists():
            raise Fault("exit code", f"a table, but exit code {ran.code}")
        check_sentence(ran, str(root), root.name)
        return REFUSED
    if ran.code != DONE:
        raise Fault("exit code", f"exit code {ran.code} for a sound recording: {ran.text[-200:]}")
    _compare(pandas.read_csv(table), pandas.read_csv(work / "intact" / "a.csv"), root, may_differ)
    return RIGHT


def _compare(found: pandas.DataFrame, expected: pandas.DataFrame, root: Path, may_differ: bool) -> None:
    probs = found.loc[found["success"] == 1, [name for name in found if name.endswith("_p")]].to_numpy()
    if not ((probs >= 0) & (probs <= 1)).all():
        raise Fault("silent", "a row with success 1 has no probability")
    if may_differ:
        return
    differing = [name for name in expected if name not in found or not found[name].equals(expected[name])]
    if differing or list(found) != list(expected):
        raise Fault("silent", f"another table, exit code 0: {', '.join(differing) or _names(root)}")


def _names(root: Path) -> Any:
    return json.loads((root / CONFIG).read_text()).get("id2label")
