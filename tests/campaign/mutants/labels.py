"""Damage label tables, and compare the loaded labels with a small strict reading of them.

What the strict reading accepts must be loaded as it reads it, or be refused. What it does not accept must be refused,
or be loaded as the intact labels, which is right for another encoding or delimiter.
"""

from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
from numpy.random import Generator

from auvmae.data import load_au_dataset
from auvmae.knowledge.facs import NOT_CODED

from ..bases import copy_tree, replace_file
from ..judging import DONE, REFUSED, RIGHT, UNUSABLE, Fault, check_leftovers, check_sentence, run_command
from ..mutations import mutate
from .strict_labels import STRICT, Labels
from .table_mutations import FORMS, TREES

CLIP = 16
DATASETS = {"own": "au_video_folder", "disfa": "disfa", "bp4d": "bp4d"}
FILES = {
    "own": "labels.csv",
    "disfa": "ActionUnit_Labels/*/*_au[124]*.txt",
    "bp4d": "AUCoding/AU_OCC/*.csv",
}


def prepare(rng: Generator, bases: Path, work: Path) -> tuple[str, Callable[[], str]]:
    """Damage one label table, or the tree around it."""
    name = [*DATASETS][rng.integers(len(DATASETS))]
    root = copy_tree(bases / name, work / "in")
    files = sorted(root.glob(FILES[name]))
    path = files[rng.integers(len(files))]
    draw = rng.random()
    if draw < 0.25:
        other = files[rng.integers(len(files))]
        how, content = mutate(path.read_bytes(), rng, other.read_bytes())
        replace_file(path, content)
    elif draw < 0.4 and name != "own":
        trees = [*TREES]
        how = trees[rng.integers(len(trees))]
        TREES[how](root, path, rng)
    else:
        forms = [*FORMS]
        how = forms[rng.integers(len(forms))]
        replace_file(path, FORMS[how](path.read_text(encoding="utf-8-sig"), rng))
    what = f"{name}, {path.relative_to(root)}, {how}"
    return what, lambda: _judge(name, root, bases / name, work)


def _judge(name: str, root: Path, intact: Path, work: Path) -> str:
    datasets.config.HF_DATASETS_CACHE = work / "cache" / "datasets"
    expected = STRICT[name](intact)
    assert _load(name, intact) == expected, f"{name}: the intact labels are read otherwise"
    options = ["--dataset", DATASETS[name], "--data_dir", root, "--split", "all", "--clip_length", CLIP]
    ran = run_command("stats", *map(str, options), "-o", work / "out")
    check_leftovers(work / "out")
    if ran.code == UNUSABLE:
        check_sentence(ran, str(root))
        return REFUSED
    if ran.code != DONE:
        raise Fault("exit code", f"exit code {ran.code}: {ran.text[-200:]}")
    found, strict = _load(name, root), STRICT[name](root)
    if found != (expected if strict is None else strict) and found != expected:
        raise Fault("silent", _difference(found, strict or expected or {}, strict is None))
    return RIGHT


def _load(name: str, root: Path) -> Labels:
    """Load the labels of every coded frame, by video and frame."""
    splits = load_au_dataset(DATASETS[name], root, clip_length=CLIP, tail="pad", rare_au_clips=False)
    labels: Labels = {}
    for rows in splits.values():
        for row in rows:
            video = labels.setdefault(Path(row["video"]).relative_to(root).with_suffix("").as_posix(), {})
            for frame, line in enumerate(np.array(row["labels"])[: row["num_frames"]], row["start_frame"]):
                if (line != NOT_CODED).any():
                    video[frame] = tuple(line.tolist())
    return labels


def _difference(found: Labels, expected: Labels, refusal: bool) -> str:
    videos = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    mine, theirs = found.get(videos[0], {}), expected.get(videos[0], {})
    frames = sorted(frame for frame in mine.keys() | theirs.keys() if mine.get(frame) != theirs.get(frame))
    where = f"{len(frames)} frames of {', '.join(videos[:2])} differ, first {frames[0]}"
    rule = "a table that is no longer sound" if refusal else "a sound table"
    return f"{where}: {mine.get(frames[0])} for {theirs.get(frames[0])}, from {rule}"
