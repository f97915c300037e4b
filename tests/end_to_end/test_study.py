"""Test the study runner on a four-line script: all combinations, resuming, summaries and failures.

Also test that the scripts accept the commands of the published studies.
"""

import importlib
import json
import sys

import pytest
import yaml

import run_finetune
import run_pretrain
from auvmae.data import load_au_dataset
from auvmae.runs.arguments_finetune import FoldArguments
from auvmae.runs.recipe import parse_arguments

from ..support.forge_disfa import forge_disfa
from ..support.paths import ROOT

STUDIES = sorted((ROOT / "recipes" / "studies").glob("*.yaml"))

SCRIPT = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
for flag in ("--output_dir", "--rate", "--seed", "--start"):
    parser.add_argument(flag)
found = parser.parse_args()
score = float(found.rate) + int(found.seed) + (1 if found.start == f"encoder-{found.seed}" else 0)
part = pathlib.Path(found.output_dir, "metrics.part")
part.write_text(json.dumps({"metrics": {"f1": score}}))
part.replace(part.with_suffix(".json"))
"""


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("study")


@pytest.fixture
def study(runner, monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "ROOT", tmp_path)
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
    return runner


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
    with pytest.raises(
        RuntimeError, match=r"script\.py .*--seed 0.* failed with exit code 1\. See .*none-low-0/log\.txt"
    ):
        study.main()
    assert "no such disk" in (tmp_path / "outputs/studies/tiny/none-low-0/log.txt").read_text()


def test_parts_share_their_runs_and_differences_are_paired(study, tmp_path, capsys):
    path = tmp_path / "tiny.yaml"
    fields = yaml.safe_load(path.read_text())
    fields["parts"] = {
        "first": {"axes": fields.pop("axes")},
        "again": {"axes": {"rate": {"low": {"rate": 0.5}, "mid": {"rate": 1}}}},
    }
    path.write_text(yaml.safe_dump(fields, sort_keys=False))
    study.main()
    found = json.loads((tmp_path / "tiny.json").read_text())
    assert found["finished"] == len(found["commands"]) == 10  # not 12, as low equals none-low
    assert found["tables"]["again"] == [
        {"rate": "low", "scores": [0.5, 1.5], "mean": 1.0, "sd": 0.7071},
        {"rate": "mid", "scores": [1.0, 2.0], "mean": 1.5, "sd": 0.7071, "difference": {"mean": 0.5, "sd": 0.0}},
    ]
    differences = {(row["start"], row["rate"]): row.get("difference") for row in found["tables"]["first"]}
    assert differences["none", "high"] is None
    assert differences["own", "high"] == {"mean": 1.0, "sd": 0.0}
    assert "| mid | 100.0, 200.0 | 150.0 | 70.7 | 50.0 | 0.0 |" in capsys.readouterr().out


def test_a_study_that_is_stopped_leaves_what_it_has(study, tmp_path):
    script = tmp_path / "script.py"
    broken = "if found.start == 'encoder-1': raise SystemExit('power cut')\nscore ="
    script.write_text(script.read_text().replace("score =", broken))
    with pytest.raises(RuntimeError, match="own-low-1"):
        study.main()
    found = json.loads((tmp_path / "tiny.json").read_text())
    assert [(row["start"], row["rate"], len(row["scores"])) for row in found["table"]] == [
        *[("none", "low", 2), ("none", "high", 2)],
        *[("own", "low", 1), ("own", "high", 1)],
    ]
    assert [row["sd"] is None for row in found["table"]] == [False, False, True, True]


def test_a_command_after_each_run_adds_scores(study, tmp_path, monkeypatch):
    fields = yaml.safe_load((tmp_path / "tiny.yaml").read_text())
    fields["score"] = {"F1": "metrics.f1", "twice": "more.json:deep.score"}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    (tmp_path / "more.py").write_text(
        "import json, pathlib, sys\nrun = pathlib.Path(sys.argv[1])\n"
        "score = json.loads((run / 'metrics.json').read_text())['metrics']['f1']\n"
        "with (run / 'count').open('a') as file: file.write('x')\n"
        "(run / 'more.json').write_text(json.dumps({'deep': {'score': 2 * score}}))\n"
    )
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--then", "more.py {run}"])
    study.main()
    study.main()
    found = json.loads((tmp_path / "tiny.json").read_text())
    assert found["then"] == "python more.py outputs/studies/tiny/none-low-0"
    assert [row["scores"] for row in found["tables"]["F1"]][:2] == [[0.5, 1.5], [2.0, 3.0]]
    assert [row["scores"] for row in found["tables"]["twice"]][:2] == [[1.0, 3.0], [4.0, 6.0]]
    counts = [path.read_text() for path in tmp_path.glob("outputs/studies/tiny/*/count")]
    assert counts == ["x"] * 8

    (tmp_path / "more.py").write_text("raise SystemExit('no clips')")
    (tmp_path / "outputs/studies/tiny/none-low-0/then_done.txt").unlink()
    with pytest.raises(RuntimeError, match=r"more.py .* failed with exit code 1\. See .*then.txt"):
        study.main()


def test_a_score_that_only_some_runs_have_is_a_dash_elsewhere(runner, tmp_path):
    study = {"score": "metrics.icc", "axes": {"target": {"plain": {}, "both": {}}}}
    runs = [runner.Run([("", (name,))], 0, tmp_path / name, []) for name in ("plain", "both")]
    for run, metrics in zip(runs, ({"f1": 0.5}, {"f1": 0.5, "icc": 0.25}), strict=True):
        run.folder.mkdir()
        (run.folder / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    rows = runner.summarise(study, runs, "metrics.icc")[""]
    lines = runner.format_table(study["axes"], "ICC", rows).splitlines()
    assert lines[2:] == ["| plain | - | - | - | - | - |", "| both | 25.0 | 25.0 |  |  |  |"]


def test_flags_after_the_dashes_win_and_are_other_runs(study, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--jobs", "2", "--", "--rate", "7"])
    study.main()
    found = json.loads((tmp_path / "tiny.json").read_text())
    assert [row["scores"] for row in found["table"]] == [[7, 8], [7, 8], [8, 9], [8, 9]]
    assert all(command.endswith(" --rate 7") for command in found["commands"])

    monkeypatch.setattr(sys, "argv", sys.argv[:3])
    with pytest.raises(RuntimeError, match=r"none-low-0 contains a run of another command .*choose another JSON file"):
        study.main()
    monkeypatch.setattr(sys, "argv", [*sys.argv[:2], str(tmp_path / "other.json")])
    study.main()
    assert json.loads((tmp_path / "other.json").read_text())["table"][0]["scores"] == [0.5, 1.5]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_command_of_every_study_parses(runner, path, monkeypatch):
    monkeypatch.chdir(ROOT)
    scripts = {"run_finetune.py": run_finetune, "run_pretrain.py": run_pretrain}
    classes = {"run_finetune.py": FoldArguments.CLASSES, "run_pretrain.py": run_pretrain.ARGUMENTS}
    runs = runner.runs_of(yaml.safe_load(path.read_text()), path.stem, ["--use_cpu"])
    assert len({run.folder for run in runs}) == len(runs)
    for run in runs:
        name, *arguments = run.command
        args = parse_arguments(classes[name], arguments, scripts[name].DEFAULT_RECIPE)[-1]
        assert ROOT / args.output_dir == run.folder


@pytest.mark.parametrize("name", ["ablation_losses", "ablation_augmentation"])
def test_studies_of_real_data_open_every_fold(runner, name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    forge_disfa(tmp_path / "DISFA")
    fields = yaml.safe_load((ROOT / "recipes" / "studies" / f"{name}.yaml").read_text())
    augmented = {}
    for run in runner.runs_of(fields, name, ["--use_cpu", "--data_dir", str(tmp_path / "DISFA")]):
        data_args = FoldArguments.parse(run.command[1:]).data
        if (key := (data_args.fold, data_args.rare_au_clips)) not in augmented:
            rows = load_au_dataset(**data_args.load_options(), rare_au_clips=data_args.rare_au_clips)
            augmented[key] = sum(rows["train"]["augmented"])
    assert {fold for fold, _ in augmented} == {"1", "2", "3"}
    assert all((count > 0) == added for (_, added), count in augmented.items())
