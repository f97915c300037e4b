"""The runner of studies on a script of four lines: every combination once, resumed, summarised, and a failure named."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import yaml

SCRIPT = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
for flag in ("--output_dir", "--rate", "--seed", "--start"):
    parser.add_argument(flag)
found = parser.parse_args()
score = float(found.rate) + int(found.seed) + (1 if found.start == f"encoder-{found.seed}" else 0)
pathlib.Path(found.output_dir, "metrics.json").write_text(json.dumps({"metrics": {"f1": score}}))
"""


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    module = importlib.import_module("study")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    fields = {
        "script": "script.py",
        "score": "metrics.f1",
        "flags": {"rate": 0.5},
        "axes": {"start": {"none": {}, "own": {"start": "encoder-{number}"}}, "rate": {"low": {}, "high": {"rate": 2}}},
        "seeds": [{"seed": 0}, {"seed": 1}],
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    monkeypatch.setattr(sys, "argv", ["study.py", str(tmp_path / "tiny.yaml"), str(tmp_path / "tiny.json")])
    return module


def test_every_combination_once(study, tmp_path, capsys):
    study.main()
    found = json.loads((tmp_path / "tiny.json").read_text())
    assert len(found["commands"]) == 8
    scores = {(row["start"], row["rate"]): (row["scores"], row["mean"]) for row in found["table"]}
    assert scores == {
        ("none", "low"): ([0.5, 1.5], 1.0),
        ("none", "high"): ([2.0, 3.0], 2.5),
        ("own", "low"): ([1.5, 2.5], 2.0),
        ("own", "high"): ([3.0, 4.0], 3.5),
    }
    assert "| own | high | 300.0, 400.0 | 350.0 | 70.7 |" in capsys.readouterr().out

    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/studies/tiny/*/metrics.json")}
    (tmp_path / "outputs/studies/tiny/none-low-1/metrics.json").unlink()
    study.main()
    again = {path: path.stat().st_mtime_ns for path in times}
    assert [path.parent.name for path in times if again[path] != times[path]] == ["none-low-1"]


def test_a_failed_run_is_named_with_its_log(study, tmp_path):
    (tmp_path / "script.py").write_text("raise SystemExit('no such disk')")
    with pytest.raises(RuntimeError, match=r"script\.py .*--seed 0.* ended with code 1: see .*none-low-0/log\.txt"):
        study.main()
    assert "no such disk" in (tmp_path / "outputs/studies/tiny/none-low-0/log.txt").read_text()
