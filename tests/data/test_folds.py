import datasets
import numpy as np
import pytest

from auvmae.data.folds import PARTS, fold_subjects, inner_split, k_fold_subjects

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
    with pytest.raises(ValueError, match="2 subjects cannot be dealt into 3"):
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
    with pytest.raises(ValueError, match="inner_val is the share of the training subjects"):
        inner_split(rows_of(subjects), share)
