"""Which subjects train and which test: the field's three folds, those of other groups, and folds for anybody's data."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets
import numpy as np

# identical in four public implementations; fold k of the field tests on part 4 - k
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
    """All subjects of the BP4D or DISFA protocol."""
    return {subject for part in PARTS[dataset] for subject in part.split()}


def fold_subjects(dataset: str, fold: int, split: str) -> set[str]:
    """Subjects of one side of one fold of the BP4D or DISFA protocol (subject-exclusive).

    Args:
        dataset: "bp4d" or "disfa".
        fold: 1 (tests on part 3), 2 (tests on part 2) or 3 (tests on part 1).
        split: "train" or "test".

    Returns:
        Names such as "F001" or "SN001".

    Raises:
        ValueError: any of the three is unknown.

    >>> len(fold_subjects("disfa", 1, "train")), len(fold_subjects("bp4d", 1, "test"))
    (18, 13)
    """
    if dataset not in PARTS:
        raise ValueError(f"{dataset!r} has no published folds; choose from {', '.join(PARTS)}")
    return fold_side([part.split() for part in reversed(PARTS[dataset])], fold, split)


def k_fold_subjects(
    subjects: Iterable[str], fold: int, split: str, num_folds: int = 3, repetition: int = 0
) -> set[str]:
    """The same for any subjects: dealt in sorted order, so that the folds depend on the names alone.

    Args:
        subjects: names, in any order, repetition allowed.
        fold: 1 to `num_folds`.
        split: "train" or "test".
        num_folds: number of folds, at least 2.
        repetition: from 1 on, deal them in another order, drawn with this seed.

    Raises:
        ValueError: fewer subjects than folds, or an unknown fold or split.

    >>> sorted(k_fold_subjects("abcdefg", fold=1, split="test"))
    ['c', 'f']
    """
    names = sorted(set(subjects))
    if not 2 <= num_folds <= len(names):
        raise ValueError(f"{len(names)} subjects cannot be dealt into {num_folds} subject-exclusive folds")
    if repetition:
        names = np.random.default_rng(repetition).permutation(names).tolist()
    return fold_side([names[part::num_folds] for part in reversed(range(num_folds))], fold, split)


def read_folds(path: str | Path, subjects: Iterable[str] | None = None) -> list[list[str]]:
    """Read the folds of another group from a file.

    Args:
        path: JSON, one list of subjects per fold, e.g. `[["SN001", "SN002"], ["SN003"], ["SN004"]]`. Fold k tests on
            the k-th and trains on all the others.
        subjects: those of the data: each of them must be in one fold, and nobody else. Not checked if None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds anything else, somebody in two folds, an unknown subject, or not all of them; names them.
    """
    try:
        folds = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {path}: it should list the subjects that each fold tests on") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    lists = isinstance(folds, list) and all(isinstance(fold, list) and fold for fold in folds)
    if not lists or len(folds) < 2 or not all(isinstance(subject, str) for fold in folds for subject in fold):
        raise ValueError(f'{path} must hold one list of subjects per fold, at least two, as [["F001", ...], ["M001"]]')
    listed = [subject for fold in folds for subject in fold]
    known = set(listed if subjects is None else subjects)
    problems = [
        f"{', '.join(sorted(wrong))} {problem}"
        for wrong, problem in (
            ({subject for subject in listed if listed.count(subject) > 1}, "listed twice: each subject is in one fold"),
            (set(listed) - known, "not in the data"),
            (known - set(listed), "in the data and in no fold"),
        )
        if wrong
    ]
    if problems:
        raise ValueError(f"{path}: {'; '.join(problems)}")
    return folds


def fold_side(tested: Sequence[Iterable[str]], fold: int, split: str) -> set[str]:
    """One side of a fold.

    Args:
        tested: the subjects that each fold tests on, fold 1 first; it trains on all the others.
        fold, split: see `fold_subjects`.

    Raises:
        ValueError: there is no such fold or split.
    """
    sides = [set(part) for part in tested]
    if fold not in range(1, len(sides) + 1) or split not in ("train", "test"):
        raise ValueError(f"there is no fold {fold!r}, split {split!r}: folds are 1 to {len(sides)}, train and test")
    test = sides[fold - 1]
    return test if split == "test" else set().union(*sides) - test


def inner_split(rows: datasets.Dataset, share: float, seed: int = 0) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Hold some of the training subjects out, to choose epochs, thresholds or settings by: never by the test side.

    Args:
        rows: the training rows of `load_au_dataset`.
        share: of the subjects, in (0, 1), to hold out; at least one is held out and at least one left.
        seed: which ones.

    Returns:
        The rows to train on, and the un-augmented rows of the subjects held out.

    Raises:
        ValueError: `share` lies outside (0, 1), or there is one subject only.
    """
    subjects = sorted(set(rows["subject"]))
    if not 0 < share < 1 or len(subjects) < 2:
        raise ValueError(
            f"inner_val is the share of the training subjects to hold out, between 0 and 1, of at least two; found "
            f"{share} of {len(subjects)}."
        )
    number = min(max(round(share * len(subjects)), 1), len(subjects) - 1)
    held_out = set(np.random.default_rng(seed).permutation(subjects)[:number].tolist())
    is_held_out = np.array([subject in held_out for subject in rows["subject"]])
    is_tile = ~np.array(rows["augmented"], dtype=bool)
    return rows.select(np.flatnonzero(~is_held_out)), rows.select(np.flatnonzero(is_held_out & is_tile))
