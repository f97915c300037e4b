"""Test training on one dataset and testing on another, over the AUs that both share."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml

from auvmae.data import au_names, load_au_dataset
from auvmae.data.transfer import over_shared_aus, select_aus
from auvmae.evaluation.saved_predictions import FoldPredictions
from auvmae.evaluation.summary import summary_tables
from auvmae.runs.arguments_protocol import ProtocolArguments
from auvmae.runs.recipe import parse_arguments

from ..support.forge_bp4d import forge_bp4d
from ..support.forge_disfa import LENGTHS, forge_disfa
from ..support.paths import ROOT

SHARED = ["AU1", "AU2", "AU4", "AU6", "AU12"]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("trees")
    forge_disfa(root / "disfa", dict.fromkeys(LENGTHS, 20))
    forge_bp4d(root / "bp4d")
    return {name: root / name for name in ("disfa", "bp4d")}


def load(trees: dict[str, Path], name: str, **options: Any) -> datasets.DatasetDict:
    return load_au_dataset(name, trees[name], clip_length=16, **options)


def columns(rows: datasets.Dataset, names: list[str]) -> list[Any]:
    """Return every row with its labels by name, which must not depend on the order or number of columns."""
    places = [au_names(rows).index(name) for name in names]
    plain = rows.with_format("numpy")
    return [{**row, "labels": row["labels"][:, places].tolist()} for row in plain]


@pytest.mark.parametrize(("train", "test"), [("bp4d", "disfa"), ("disfa", "bp4d")])
def test_the_shared_columns_are_those_of_the_data_sets(trees: dict[str, Path], train: str, test: str) -> None:
    sides = load(trees, train), load(trees, test)
    rows = over_shared_aus([sides[0]], sides[1])
    assert set(rows) == {"train", "test"}
    for split, source in (("train", sides[0]), ("test", sides[1])):
        assert au_names(rows[split]) == SHARED  # the appendix's Table 3
        assert np.array_equal(columns(rows[split], SHARED), columns(source[split], SHARED))
        assert rows[split].features["labels"].dtype == "int8"
    assert all(file["filename"] for part in rows.values() for file in part.cache_files)  # other processes open these


def test_columns_may_come_in_any_order(trees: dict[str, Path]) -> None:
    rows = load(trees, "disfa")["train"]
    chosen = select_aus(rows, ["AU26", "AU1"])
    assert au_names(chosen) == ["AU26", "AU1"]
    assert columns(chosen, ["AU1", "AU26"]) == columns(rows, ["AU1", "AU26"])


def test_one_data_set_is_left_out_of_several(trees: dict[str, Path]) -> None:
    others = [load(trees, "bp4d"), load(trees, "disfa", fold=2)]
    rows = over_shared_aus(others, load(trees, "disfa"))
    assert [len(rows["train"]), len(rows["test"])] == [sum(len(one["train"]) for one in others), 2]
    assert columns(rows["train"], SHARED) == [row for one in others for row in columns(one["train"], SHARED)]


def test_nothing_shared_is_an_error(trees: dict[str, Path]) -> None:
    rows = load(trees, "disfa")
    none = datasets.DatasetDict({split: select_aus(part, ["AU9", "AU25"]) for split, part in rows.items()})
    with pytest.raises(ValueError, match=r"share no action unit.*: AU1, AU2, .*AU24; AU9, AU25"):
        over_shared_aus([load(trees, "bp4d")], none)


def test_from_the_flags_of_a_run(trees: dict[str, Path]) -> None:
    def parse(*flags: str) -> ProtocolArguments:
        return parse_arguments((ProtocolArguments,), ["--clip_length", "16", *flags])[0]

    flags = ["--dataset", "bp4d", "--data_dir", str(trees["bp4d"]), "--fold", "2", "--test_dataset", "disfa"]
    flags += ["--test_data_dir", str(trees["disfa"]), "--rare_au_clips", "false"]
    args = parse(*flags)
    rows, expected = args.load(), load(trees, "disfa", fold=2)["test"]
    assert columns(rows["test"], SHARED) == columns(expected, SHARED)
    assert set(rows["train"]["subject"]) == {"F001", "F007", "M007"}
    described = args.describe()
    assert (described["dataset"], described["train_datasets"], described["fold"]) == ("disfa", ["bp4d"], 2)

    more = f'[{{"name": "disfa", "data_dir": "{trees["disfa"]}"}}]'
    both = parse(*flags, "--more_datasets", more)
    assert len(both.load()["train"]) == len(rows["train"]) + len(load(trees, "disfa", fold=2)["train"])
    assert both.describe()["train_datasets"] == ["bp4d", "disfa"]
    with pytest.raises(ValueError, match="--more_datasets needs --test_dataset"):
        parse("--more_datasets", more)


def test_in_domain_and_cross_domain_over_the_same_aus_go_into_one_table(trees: dict[str, Path]) -> None:
    study = yaml.safe_load((ROOT / "recipes/studies/cross_dataset.yaml").read_text())
    aus = [str(au) for au in study["flags"]["aus"]]
    flags = ["--test_dataset", "bp4d", "--test_data_dir", str(trees["bp4d"]), "--clip_length", "16"]
    runs = []
    for name in ("bp4d", "disfa"):
        given = [*flags, "--dataset", name, "--data_dir", str(trees[name])]
        args = parse_arguments((ProtocolArguments,), [*given, "--aus", *reversed(aus)])[0]
        rows = args.load()
        source = load(trees, "bp4d")["test"]
        assert columns(rows["test"], SHARED) == columns(source, SHARED)
        assert au_names(rows["train"]) == au_names(rows["test"]) == SHARED
        probs = np.full((len(rows["test"]), 16, len(SHARED)), 0.6, np.float32)
        labels = np.array(rows["test"].with_format("numpy")["labels"])
        run = {"level": "video", "au_names": SHARED, **args.describe()}
        runs.append(FoldPredictions.from_clips(probs, labels, rows, SHARED, run))
    table = summary_tables(runs, draws=2)[0]
    assert [row.method for row in table.rows if row.source == "computed"] == [
        f"auvmae, video level, fold 1, trained on {name}" for name in ("bp4d", "disfa")
    ]


def test_an_au_that_is_not_coded_cannot_be_chosen(trees: dict[str, Path]) -> None:
    args = ProtocolArguments(dataset="disfa", data_dir=str(trees["disfa"]), clip_length=16, aus=[12, 7])
    with pytest.raises(ValueError, match="the dataset has no labels of AU7; it is coded for AU1, AU2, AU4, AU6, AU9, "):
        args.load()


def test_folds_to_run(tmp_path: Path) -> None:
    def folds(**fields: Any) -> list[int]:
        return ProtocolArguments(**fields).folds

    (tmp_path / "folds.json").write_text('[["a"], ["b"], ["c"], ["d", "e"]]')
    assert folds() == [1]
    assert folds(fold="all") == [1, 2, 3]
    assert folds(fold="all", dataset_options='{"num_folds": 5}') == [1, 2, 3, 4, 5]
    assert folds(fold="all", folds_file=str(tmp_path / "folds.json")) == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"--fold must be a number from 1 .* found 'every'"):
        folds(fold="every")
    with pytest.raises(ValueError, match="Give only one of them"):
        folds(folds_file="folds.json", repeats=2)
    with pytest.raises(ValueError, match="--repeats must be at least 1, found 0"):
        folds(repeats=0)
