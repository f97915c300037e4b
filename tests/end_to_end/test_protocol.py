"""Run all folds with one command: interrupted, resumed, repeated, on DISFA's layout, on two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import run_finetune
from auvmae.cli.main import main
from auvmae.data.folds import fold_subjects
from auvmae.evaluation.experiments import group_folds, load_runs
from auvmae.evaluation.saved_predictions import FoldPredictions
from auvmae.evaluation.summary import summary_tables
from auvmae.knowledge.facs import DISFA_AUS, au_label
from auvmae.runs.protocol import run_protocol
from auvmae.training.finetuning import AUVMAETrainer

from ..support.forge_disfa import SUBJECTS, forge_disfa
from ..support.paths import ROOT
from ..support.processes import LAUNCH
from ..support.tiny_run import MODEL

FOLDS = ["fold1", "fold2", "fold3"]


@pytest.fixture
def recipe(tmp_path):
    fields = {
        "dataset": "synthetic",
        "dataset_options": {"frames_per_subject": 96, "image_size": 32, "seed": 5},
        "clip_length": 16,
        "rare_au_clips": False,
        "model_config": MODEL,
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "save_steps": 1,
        "report_to": "none",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "output_dir": str(tmp_path / "out"),
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(fields))
    return str(path)


@pytest.fixture
def few_frames(tmp_path):
    forge_disfa(tmp_path / "DISFA", dict.fromkeys(SUBJECTS, 240))
    return str(tmp_path / "DISFA")


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_one_command_runs_three_folds_and_goes_on_where_it_broke_off(recipe, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    step = AUVMAETrainer.training_step

    def broken_in_fold_2(self, *args, **kwargs):
        if "fold2" in self.args.output_dir and self.state.global_step == 1:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(AUVMAETrainer, "training_step", broken_in_fold_2)
    with pytest.raises(KeyboardInterrupt):
        run_finetune.main([recipe, "--fold", "all"])
    monkeypatch.undo()
    assert sorted(path.name for path in out.iterdir()) == ["fold1", "fold2"]
    before, first_step = times(out / "fold1"), times(out / "fold2" / "checkpoint-1")
    capsys.readouterr()

    last = run_finetune.main([recipe, "--fold", "all"])
    printed = capsys.readouterr().out
    assert times(out / "fold1") == before  # not run again
    assert times(out / "fold2" / "checkpoint-1") == first_step  # resumed from it
    tables = summary_tables(load_runs(out))
    assert [table.rows[0].method for table in tables] == ["auvmae, video level, folds 1+2+3"] * 3
    for table in tables:
        assert table.markdown() in printed
        assert table.markdown() == (out / "tables" / f"{table.name}.md").read_text()
    for fold, name in enumerate(FOLDS, 1):
        saved = FoldPredictions.load(out / name)
        assert set(saved.subjects) == fold_subjects("disfa", fold, "test")
        assert (saved.run["fold"], saved.run["repetition"], saved.run["steps"]) == (fold, 0, 2)

    # no state carries over from one fold to the next
    alone = run_finetune.main([recipe, "--fold", "3", "--output_dir", str(tmp_path / "alone")])
    np.testing.assert_allclose(alone.probs, last.probs, atol=1e-6)

    # weights trained on these subjects, in another fold
    leaky = [recipe, "--output_dir", str(tmp_path / "leaky"), "--model_name_or_path", str(out / "fold1")]
    for start in (out / "fold1", out / "fold1" / "checkpoint-1"):
        assert run_finetune.main([*leaky[:-1], str(start), "--fold", "2", "--no_do_train"]).run["tuned_on_test"]
        assert "TUNED ON TEST DATA: weights" in capsys.readouterr().out
        assert "TUNED ON TEST DATA: weights" in (tmp_path / "leaky" / "README.md").read_text()
    assert run_finetune.main([*leaky, "--fold", "1", "--no_do_train"]).run["tuned_on_test"] == []

    everything = times(out)
    assert run_finetune.main([recipe, "--fold", "all", "--dataloader_num_workers", "1"]) is None
    assert tables[0].markdown() in capsys.readouterr().out
    assert {path for path, when in times(out).items() if everything[path] != when} == set((out / "tables").iterdir())
    with pytest.raises(
        ValueError, match=r"fold1 holds a run with different flags: --learning_rate \(default\)\. Choose"
    ):
        run_finetune.main([recipe, "--fold", "all", "--learning_rate", "0.5"])
    assert times(out).keys() == everything.keys()

    with pytest.raises(ValueError, match="would score one checkpoint on every fold"):
        run_finetune.main([recipe, "--fold", "all", "--no_do_train", "--model_name_or_path", str(out / "fold1")])
    scored = tmp_path / "scored"
    flags = ["--fold", "all", "--no_do_train", "--model_name_or_path", f"{out}/{{run}}", "--output_dir", str(scored)]
    run_finetune.main([recipe, *flags])
    for ours, theirs in zip(load_runs(out), load_runs(scored), strict=True):
        assert theirs.run["tuned_on_test"] == []
        np.testing.assert_allclose(ours.probs, theirs.probs, atol=1e-6)
    (row,) = summary_tables(load_runs(scored))[0].rows
    assert row.method == "auvmae, video level, folds 1+2+3"


def test_a_run_is_gone_on_with_by_other_workers_and_by_no_other_batches(recipe):
    def killed(*args):
        raise InterruptedError

    def start(*flags):
        run_protocol(killed, [recipe, "--fold", "all", *flags])

    for flags in ([], ["--dataloader_num_workers", "1", "--logging_steps", "7"]):
        with pytest.raises(InterruptedError):
            start(*flags)
    for flag, value in (("dataloader_drop_last", "true"), ("dataloader_in_order", "false")):
        with pytest.raises(ValueError, match=rf"fold1 holds a run with different flags: --{flag} \(default\)\. Choose"):
            start(f"--{flag}", value)


@pytest.mark.slow
def test_the_same_command_on_disfa_and_repeated_with_other_folds(recipe, few_frames, tmp_path, capsys):
    out = tmp_path / "out"
    command = [recipe, "--fold", "all"]
    run_finetune.main([*command, "--dataset", "disfa", "--data_dir", few_frames])
    runs = load_runs(out)
    assert [run.run["dataset"] for run in runs] == ["disfa"] * 3
    assert runs[0].au_names == [au_label(au) for au in DISFA_AUS]
    assert sorted(subject for run in runs for subject in set(run.subjects)) == sorted(SUBJECTS)
    assert "| AU-vMAE " in capsys.readouterr().out  # the published row

    before = {name: times(out / name) for name in FOLDS}
    run_finetune.main([*command, "--dataset", "disfa", "--data_dir", few_frames, "--repeats", "2"])
    printed = capsys.readouterr().out
    assert {name: times(out / name) for name in FOLDS} == before
    published, anew = group_folds(load_runs(out)[:3]), group_folds(load_runs(out)[3:])
    assert (len(published), len(anew)) == (1, 1)
    assert sorted(subject for run in anew[0].folds for subject in set(run.subjects)) == sorted(SUBJECTS)
    assert [set(run.subjects) for run in anew[0].folds] != [set(run.subjects) for run in published[0].folds]
    assert "folds 1+2+3 of repetition 1 (resplit, not the published folds)" in printed
    assert "mean over 2 repetitions (not the published protocol)" in printed
    card = (out / "repeat1_fold2" / "README.md").read_text()
    assert "fold 2 of repetition 1 (resplit, not the published folds)" in card


@pytest.mark.slow
def test_trained_on_drawn_faces_and_tested_on_another_data_set(recipe, few_frames, tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["--test_dataset", "disfa", "--test_data_dir", few_frames, "--inner_val", "0.2"]
    report = run_finetune.main([recipe, *flags])
    saved = FoldPredictions.load(out)
    assert set(saved.subjects) == fold_subjects("disfa", 1, "test") & set(SUBJECTS)
    assert set(saved.videos) == {f"LeftVideo{subject}_comp.avi" for subject in set(saved.subjects)}
    assert (saved.run["dataset"], saved.run["train_datasets"]) == ("disfa", ["synthetic"])
    assert saved.au_names == report.au_names == [au_label(au) for au in DISFA_AUS]
    assert main(["summarize", str(out)]) == 0
    assert "| auvmae, video level, fold 1, trained on synthetic " in capsys.readouterr().out
    assert "- Data: synthetic, training subjects of fold 1 (" in (out / "README.md").read_text()


@pytest.mark.slow
def test_two_processes_run_all_folds_and_a_killed_run_goes_on(recipe, tmp_path):
    """The run is killed by SIGKILL in fold 2, as soon as it has a checkpoint."""
    out = tmp_path / "out"
    subjects = sorted(fold_subjects("disfa", 1, "train") | fold_subjects("disfa", 1, "test"))
    (tmp_path / "folds.json").write_text(json.dumps([subjects[:18], subjects[18:]]))
    command = [sys.executable, *LAUNCH, str(ROOT / "run_finetune.py"), recipe, "--fold", "all", "--max_steps", "4"]
    command += ["--folds_file", str(tmp_path / "folds.json")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (out / "fold2" / "checkpoint-1").exists():
            time.sleep(0.01)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        for worker in workers:
            os.kill(int(worker), signal.SIGKILL)
    assert len(workers) == 2
    assert not (out / "fold2" / "README.md").exists()
    before = times(out / "fold1")
    assert json.loads((out / "fold1" / "metrics.json").read_text())["steps"] == 4
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert times(out / "fold1") == before
    assert finished.stdout.count("**F1 on synthetic, percent**") == 1
    assert "auvmae, video level, folds 1+2 of folds.json (sha256 " in finished.stdout
    for run in load_runs(out):
        assert run.run["batch_size"] == 8  # over two processes
        assert run.run["steps"] == 4
    tables = summary_tables(load_runs(out))
    assert tables[0].markdown() in finished.stdout
