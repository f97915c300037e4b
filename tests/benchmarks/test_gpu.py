"""Test the benchmark of a GPU with tiny models on the CPU, and its count of FLOPs."""

import json
import sys

import pytest
import torch


@pytest.fixture
def gpu(script):
    return script("gpu")


def test_every_task_is_measured_on_the_cpu(gpu, tmp_path, monkeypatch, capsys):
    flags = ["--device", "cpu", "--clips", "2", "--rounds", "1", "--dtype", "float32", "--peak", "2"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *flags, "--json", str(tmp_path / "gpu.json")])
    gpu.main()
    found = json.loads((tmp_path / "gpu.json").read_text())
    tasks = ["pre-training"]
    tasks += [
        f"{verb}, {level} level" for verb in ("fine-tuning", "prediction") for level in ("video", "frame", "patch")
    ]
    assert [(row["task"], row["attention"]) for row in found["rows"]] == [
        (task, attention) for task in tasks for attention in ("sdpa", "flash")
    ]
    for row in found["rows"]:
        assert row["share_of_peak"] == pytest.approx(row["tflops"] / 2)
        assert row["memory_gib"] is None
    labelled = {row["task"]: row["frames_per_second"] / row["clips_per_second"] for row in found["rows"]}
    assert labelled["prediction, frame level"] == pytest.approx(4 * labelled["prediction, video level"])
    printed = capsys.readouterr().out
    assert "no GPU" in printed
    assert printed.count("| sdpa | no |") == len(tasks)


def test_flops_are_those_of_the_closed_formula(gpu, script, monkeypatch):
    flops = script("flops")
    monkeypatch.setattr(flops, "NUM_LABELS", gpu.NUM_LABELS)
    for task in gpu.list_tasks("tiny")[1:]:
        config = task.config
        forward = flops.closed_formula(config)
        hidden = int(config.mask_ratio * config.patches_per_slot)
        tokens = config.num_frames // config.tubelet_size * (config.patches_per_slot - hidden)
        # a backward pass is two forward passes, but pixels need no gradient
        embedding = tokens * config.hidden_size * config.tubelet_size * 3 * config.patch_size**2
        expected = 2 * (3 * forward - embedding if task.trains else forward)
        assert gpu.count_flops(task, torch.device("cpu")) == pytest.approx(expected, rel=1e-6)


def test_what_does_not_fit_into_memory_has_no_figures(gpu, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(gpu, "prepare", fail)
    options = gpu.argparse.Namespace(device=torch.device("cpu"), dtype="float32", clips=1, rounds=1, peak=1.0)
    row = gpu.measure(gpu.list_tasks("tiny")[0], "sdpa", False, 1, options)
    assert gpu.to_line(row) == "| pre-training | sdpa | no | out of memory | - | - | - | - |"
