"""Assign subjects to the published folds, to folds from a file, or to k folds."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets
import numpy as np

from ..system.names import find_path, nfc
from .tables import read_text

# identical in four public implementations; fold k of the protocol tests on part 4 - k
PARTS: dict[str, tuple[str, ...]] = {
    "bp4d": (
        "F001 M007 F018 F008 F002 M004 F010 F009 M012 M001 F016 M014 F023 M008",
        "M011 F003 M010 M002 F005 F022 M018 M017 F013 M016 F020 F011 M013 M005",
        "F007 F015 F006 F019 M006 M009 F012 M003 F004 F021 F017 M015 F014",
    ),
    "disfa": (
        "SN002 SN010 SN001 SN026 SN027 SN032 SN030 SN009 SN016",
        "SN013 SN018 SN011 SN028 SN012 SN006 SN031 SN021 SN024",
        "SN003 SN029 SN023 SN025 SN008 SN005 SN007 SN017 SN004",
    ),
}


def protocol_subjects(dataset: str) -> set[str]:
    """Return all subjects of the BP4D or DISFA protocol."""
    return {subject for part in PARTS[dataset] for subject in part.split()}


def fold_subjects(dataset: str, fold: int, split: str) -> set[str]:
    """Return the subjects of one side of a fold of the BP4D or DISFA protocol.

    The folds are subject-exclusive.

    Args:
        dataset: "bp4d" or "disfa".
        fold: 1 (tests on part 3), 2 (tests on part 2) or 3 (tests on part 1).
        split: "train" or "test".

    Returns:
        Names such as "F001" or "SN001".

    Raises:
        ValueError: The dataset, the fold or the split is unknown.

    >>> len(fold_subjects("disfa", 1, "train")), len(fold_subjects("bp4d", 1, "test"))
    (18, 13)
    """
    if dataset not in PARTS:
        raise ValueError(f"{dataset!r} has no published folds; choose from {', '.join(PARTS)}.")
    return fold_side([part.split() for part in reversed(PARTS[dataset])], fold, split)


def k_fold_subjects(
    subjects: Iterable[str], fold: int, split: str, num_folds: int = 3, repetition: int = 0
) -> set[str]:
    """Split any subjects into subject-exclusive folds, and return one side of a fold.

    Subjects are assigned in sorted order, so that the folds depend only on the names.

    Args:
        subjects: Names in any order; duplicates are allowed.
        fold: 1 to `num_folds`.
        split: "train" or "test".
        num_folds: Number of folds, at least 2.
        repetition: From 1 on, assign the subjects in a random order drawn with this seed.

    Raises:
        ValueError: There are fewer subjects than folds, or the fold or the split is unknown.

    >>> sorted(k_fold_subjects("abcdefg", fold=1, split="test"))
    ['c', 'f']
    """
    names = sorted(set(subjects))
    if not 2 <= num_folds <= len(names):
        raise ValueError(f"{len(names)} subjects cannot be split into {num_folds} subject-exclusive folds.")
    if repetition:
        names = np.random.default_rng(repetition).permutation(names).tolist()
    return fold_side([names[part::num_folds] for part in reversed(range(num_folds))], fold, split)


def read_folds(path: str | Path, subjects: Iterable[str] | None = None) -> list[list[str]]:
    """Read folds from a file, for example the folds of another group.

    Args:
        path: JSON file with one list of subjects per fold, e.g. `[["SN001", "SN002"], ["SN003"], ["SN004"]]`. Fold k
            tests on the k-th list and trains on all the others.
        subjects: Subjects of the dataset. Each must be in exactly one fold, and the folds must name no one else. Not
            checked if None.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file does not hold such lists, or a subject is missing, unknown or in two folds. The message
            names the subjects.
    """
    try:
        folds = json.loads(read_text(find_path(path)))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no {path}. It should list the test subjects of each fold.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    lists = isinstance(folds, list) and all(isinstance(fold, list) and fold for fold in folds)
    if not lists or len(folds) < 2 or not all(isinstance(subject, str) for fold in folds for subject in fold):
        raise ValueError(
            f'{path} must hold one list of subjects per fold, at least two, as in [["F001", ...], ["M001"]].'
        )
    folds = [list(map(nfc, fold)) for fold in folds]
    listed = [subject for fold in folds for subject in fold]
    known = set(listed if subjects is None else map(nfc, subjects))
    problems = [
        f"{', '.join(sorted(wrong))} {problem}"
        for wrong, problem in (
            (
                {subject for subject in listed if listed.count(subject) > 1},
                "listed twice (each must be in one fold)",
            ),
            (set(listed) - known, "not in the dataset"),
            (known - set(listed), "in the dataset but in no fold"),
        )
        if wrong
    ]
    if problems:
        raise ValueError(f"{path}: {'; '.join(problems)}")
    return folds


def fold_side(tested: Sequence[Iterable[str]], fold: int, split: str) -> set[str]:
    """Return the subjects of one side of a fold.

    Args:
        tested: Test subjects of each fold, fold 1 first. A fold trains on the subjects of all the others.
        fold, split: See `fold_subjects`.

    Raises:
        ValueError: The fold or the split is unknown.
    """
    sides = [set(part) for part in tested]
    if fold not in range(1, len(sides) + 1) or split not in ("train", "test"):
        raise ValueError(
            f"there is no fold {fold!r} with split {split!r}; folds are 1 to {len(sides)}, splits are train and test."
        )
    test = sides[fold - 1]
    return test if split == "test" else set().union(*sides) - test


def inner_split(rows: datasets.Dataset, share: float, seed: int = 0) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Hold out some training subjects for validation.

    Epochs, thresholds and settings are chosen on them, never on the test side.

    Args:
        rows: Training rows of `load_au_dataset`.
        share: Share of the subjects to hold out, in (0, 1). At least one is held out, and at least one remains.
        seed: Random seed that selects the subjects.

    Returns:
        The remaining training rows, and the un-augmented rows of the subjects held out.

    Raises:
        ValueError: `share` lies outside (0, 1), or there is only one subject.
    """
    subjects = sorted(set(rows["subject"]))
    if not 0 < share < 1 or len(subjects) < 2:
        raise ValueError(
            "inner_val is the share of training subjects to hold out. It must be between 0 and 1, and there must be at "
            f"least two subjects; found {share} and {len(subjects)}."
        )
    number = min(max(round(share * len(subjects)), 1), len(subjects) - 1)
    held_out = set(np.random.default_rng(seed).permutation(subjects)[:number].tolist())
    is_held_out = np.array([subject in held_out for subject in rows["subject"]])
    is_tile = ~np.array(rows["augmented"], dtype=bool)
    return rows.select(np.flatnonzero(~is_held_out)), rows.select(np.flatnonzero(is_held_out & is_tile))
