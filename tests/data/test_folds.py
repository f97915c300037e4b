import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from auvmae.data import load_au_dataset
from auvmae.data.folds import PARTS, fold_subjects, inner_split, k_fold_subjects, read_folds

from ..support.forge_bp4d import forge_bp4d
from ..support.forge_disfa import LENGTHS, forge_disfa, numbered_frame, write_video

SUBJECTS = {
    "bp4d": {f"F{number:03d}" for number in range(1, 24)} | {f"M{number:03d}" for number in range(1, 19)},
    "disfa": {f"SN{number:03d}" for number in (*range(1, 14), 16, 17, 18, 21, *range(23, 33))},
}


@pytest.mark.parametrize("dataset", PARTS)
def test_protocol_folds_are_subject_exclusive_and_complete(dataset: str) -> None:
    tested = []
    for fold in (1, 2, 3):
        train, test = fold_subjects(dataset, fold, "train"), fold_subjects(dataset, fold, "test")
        assert not train & test
        assert train | test == SUBJECTS[dataset]
        tested += sorted(test)
    assert sorted(tested) == sorted(SUBJECTS[dataset])


def test_fold_1_tests_on_the_third_part() -> None:
    assert {"F007", "F014", "M015"} < fold_subjects("bp4d", 1, "test")
    assert {"F001", "M008"} < fold_subjects("bp4d", 3, "test")
    assert "M011" in fold_subjects("bp4d", 2, "test")
    assert {"SN003", "SN004"} < fold_subjects("disfa", 1, "test")
    assert "SN002" in fold_subjects("disfa", 3, "test")
    assert [len(fold_subjects("bp4d", fold, "test")) for fold in (1, 2, 3)] == [13, 14, 14]


@pytest.mark.parametrize(
    "arguments", [("ck+", 1, "train"), ("bp4d", 0, "train"), ("bp4d", 4, "test"), ("disfa", 1, "x")]
)
def test_unknown(arguments: tuple[str, int, str]) -> None:
    with pytest.raises(ValueError, match=r"choose from bp4d, disfa|there is no fold"):
        fold_subjects(*arguments)


def test_k_folds() -> None:
    subjects = [f"p{number}" for number in range(11)]
    folds = [k_fold_subjects(subjects, fold, "test", num_folds=4) for fold in (1, 2, 3, 4)]
    assert sorted(subject for fold in folds for subject in fold) == sorted(subjects)
    assert {len(fold) for fold in folds} == {2, 3}
    for fold, test in enumerate(folds, 1):
        assert k_fold_subjects(reversed(subjects * 2), fold, "test", num_folds=4) == test
        assert k_fold_subjects(subjects, fold, "train", num_folds=4) == set(subjects) - test
    with pytest.raises(ValueError, match="2 subjects cannot be split into 3"):
        k_fold_subjects(["a", "b", "a"], 1, "train")


def rows_of(subjects: list[str]) -> datasets.Dataset:
    """Two tiles and an augmented clip of each subject."""
    columns = {"subject": np.repeat(subjects, 3).tolist(), "augmented": [False, False, True] * len(subjects)}
    return datasets.Dataset.from_dict(columns | {"row": list(range(3 * len(subjects)))})


@pytest.mark.parametrize(("share", "held_out"), [(0.2, 4), (0.01, 1), (0.99, 17), (0.5, 9)])
def test_inner_split_is_by_subject(share: float, held_out: int) -> None:
    subjects = sorted(fold_subjects("disfa", 1, "train"))
    train, val = inner_split(rows_of(subjects), share)
    assert set(train["subject"]) & set(val["subject"]) == set()
    assert set(train["subject"]) | set(val["subject"]) == set(subjects)
    assert len(set(val["subject"])) == held_out
    assert (set(train["subject"]) | set(val["subject"])) & fold_subjects("disfa", 1, "test") == set()
    assert not any(val["augmented"])
    assert (len(train), len(val)) == (3 * (18 - held_out), 2 * held_out)


def test_inner_split_follows_the_seed_alone() -> None:
    rows = rows_of([f"S{number:02d}" for number in range(20)])
    first = inner_split(rows, 0.2, seed=1)[1]["row"]
    assert list(inner_split(rows, 0.2, seed=1)[1]["row"]) == list(first)
    shuffled = inner_split(rows.shuffle(seed=3), 0.2, seed=1)[1]["row"]
    assert set(shuffled) == set(first)
    assert set(inner_split(rows, 0.2, seed=2)[1]["row"]) != set(first)


@pytest.mark.parametrize(("subjects", "share"), [(["A", "B"], 1.0), (["A", "B"], -0.2), (["A"], 0.5)])
def test_an_impossible_inner_split_is_an_error(subjects: list[str], share: float) -> None:
    with pytest.raises(ValueError, match="inner_val is the share of training subjects"):
        inner_split(rows_of(subjects), share)


def test_repetitions_resplit_the_same_subjects() -> None:
    subjects = sorted(SUBJECTS["disfa"])

    def resplit(repetition: int) -> list[set[str]]:
        return [k_fold_subjects(subjects, fold, "test", 3, repetition) for fold in (1, 2, 3)]

    for repetition in range(5):
        folds = resplit(repetition)
        assert sorted(subject for fold in folds for subject in fold) == subjects
        assert {len(fold) for fold in folds} == {9}
        for fold, test in enumerate(folds, 1):
            assert k_fold_subjects(subjects, fold, "train", 3, repetition) == set(subjects) - test
    assert resplit(1) == resplit(1)
    assert len({frozenset(resplit(repetition)[0]) for repetition in range(5)}) == 5


FOLDS = [["SN001", "SN013"], ["SN002"], ["SN003", "SN010"]]


def write_folds(path: Path, folds: object = FOLDS) -> str:
    path.write_text(json.dumps(folds))
    return str(path)


def subjects_of(data: datasets.DatasetDict) -> dict[str, list[str]]:
    return {split: sorted(set(rows["subject"])) for split, rows in data.items()}


def test_folds_of_another_group_are_a_file(tmp_path: Path) -> None:
    forge_disfa(tmp_path / "DISFA", dict.fromkeys(LENGTHS, 12))
    path = write_folds(tmp_path / "folds.json")

    def load(fold: int, **options: Any) -> dict[str, list[str]]:
        return subjects_of(load_au_dataset("disfa", tmp_path / "DISFA", fold, clip_length=8, **options))

    everybody = sorted(LENGTHS)
    for fold, tested in enumerate(FOLDS, 1):
        expected = {"train": sorted(set(everybody) - set(tested)), "test": tested}
        assert load(fold, folds_file=path) == expected
    with pytest.raises(ValueError, match=r"no fold 4 .* folds are 1 to 3"):
        load(4, folds_file=path)
    published = load(1)
    assert published == {"train": ["SN001", "SN002", "SN010", "SN013"], "test": ["SN003"]}
    write_folds(tmp_path / "folds.json", FOLDS[::-1])  # the same name, because the cache depends on the content
    assert load(1, folds_file=path)["test"] == FOLDS[2]
    again = load(1, repetition=1)
    assert sorted(again["train"] + again["test"]) == everybody
    assert not set(again["train"]) & set(again["test"])
    assert load(1) == published


def test_folds_of_another_group_serve_every_data_set(tmp_path: Path) -> None:
    forge_bp4d(tmp_path / "BP4D")
    path = write_folds(tmp_path / "bp4d.json", [["F001"], ["M007", "F007"], ["M011"]])
    data = load_au_dataset("bp4d", tmp_path / "BP4D", 2, folds_file=path)
    assert subjects_of(data) == {"train": ["F001", "M011"], "test": ["F007", "M007"]}
    mine = tmp_path / "mine"
    lines = ["video,frame,subject,AU1"]
    for number, subject in enumerate(("anna", "bert", "carla", "dora")):
        write_video(mine / f"{number}.mp4", map(numbered_frame, range(4)))
        lines += [f"{number}.mp4,{frame},{subject},{frame % 2}" for frame in range(4)]
    (mine / "labels.csv").write_text("\n".join(lines))
    path = write_folds(tmp_path / "mine.json", [["anna", "dora"], ["bert", "carla"]])
    data = load_au_dataset("au_video_folder", mine, 2, clip_length=4, folds_file=path)
    assert subjects_of(data) == {"train": ["anna", "dora"], "test": ["bert", "carla"]}


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([["SN001", "SN013"], ["SN002", "SN099"], ["SN003", "SN010"]], r"folds\.json: SN099 not in the dataset"),
        ([["SN001", "SN013"], ["SN002", "SN001"], ["SN003", "SN010"]], "SN001 listed twice \\(each must be in one"),
        ([["SN001"], ["SN002", "SN003"]], "SN010, SN013 in the dataset but in no fold"),
        ([["SN001", "SN001"], ["XX"]], "SN001 listed twice .*; XX not in .*; SN002, SN003, SN010, SN013 in the data"),
        ([["SN001"]], "one list of subjects per fold, at least two"),
        ({"1": ["SN001"]}, "one list of subjects per fold"),
        ([["SN001"], [2]], "one list of subjects per fold"),
        ([["SN001"], []], "one list of subjects per fold"),
    ],
)
def test_a_wrong_file_of_folds_is_one_error_that_names_the_subjects(
    tmp_path: Path, folds: object, message: str
) -> None:
    path = write_folds(tmp_path / "folds.json", folds)
    with pytest.raises(ValueError, match=message):
        read_folds(path, LENGTHS)


def test_a_file_of_folds_that_is_not_there_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no .*folds\.json"):
        read_folds(tmp_path / "folds.json")
    (tmp_path / "folds.json").write_text("[[")
    with pytest.raises(ValueError, match=r"folds\.json is not valid JSON"):
        read_folds(tmp_path / "folds.json")
