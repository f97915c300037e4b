"""Test that the numbers in the README and the cards are those in `results/`."""

import json

import pytest

from auvmae.runs.report import format_table

from ..support.paths import ROOT


@pytest.mark.parametrize("document", ["README.md", "model_cards/synthetic_tiny.md"])
def test_the_table_is_the_one_in_results(document):
    run = json.loads((ROOT / "results" / "synthetic_tiny.json").read_text())
    assert format_table(run["au_names"], run["metrics"], run["all_ones"]) in (ROOT / document).read_text()


def test_the_embedded_run_keeps_its_promise():
    run = json.loads((ROOT / "results" / "synthetic_tiny.json").read_text())
    assert run["metrics"]["f1"] >= 0.75
    assert run["metrics"]["f1"] >= 2 * run["all_ones"]["f1"]


def test_every_file_the_readme_names_is_there():
    text = (ROOT / "README.md").read_text()
    named = [part.split(")")[0] for part in text.split("](")[1:]]
    local = [name for name in named if not name.startswith("http")]
    assert local
    assert [name for name in local if not (ROOT / name).exists()] == []


def test_the_gain_of_pretraining_is_the_one_in_results():
    text = (ROOT / "docs/experiments.md").read_text()
    for row in json.loads((ROOT / "results" / "pretraining_gain.json").read_text())["table"]:
        scores = ", ".join(f"{100 * score:.1f}" for score in row["scores"])
        assert f"| {scores} | {100 * row['mean']:.1f} | {100 * row['sd']:.1f} |" in text


def test_the_ablations_are_those_in_results():
    tables = json.loads((ROOT / "results" / "ablation_synthetic.json").read_text())["tables"]
    cells: dict[str, list[str]] = {}
    for row in tables["terms of the loss"]:
        shown = row.get("difference", row)
        mean, sign = round(100 * shown["mean"], 1) + 0, "+" if "difference" in row else ""
        cells.setdefault(row["loss"], []).append(f"{mean:{sign}.1f} (sd {100 * shown['sd']:.1f})")
    text = (ROOT / "docs/experiments.md").read_text()
    for loss, row in cells.items():
        assert f"| {loss} | {' | '.join(row)} |" in text
