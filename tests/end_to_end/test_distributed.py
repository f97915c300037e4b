"""Test that two processes with half the batch each equal one process with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from auvmae.modeling_auvmae import AUVMAEPreTrainedModel
from tests.support.processes import LAUNCH

from ..support.paths import ROOT
from ..support.tiny_training import weighted

FSDP_LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", "recipes/accelerate_fsdp.yaml"]
FSDP_LAUNCH += ["--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]


def run(world_size: int, folder: Path, job: str, launch: list[str] = LAUNCH) -> dict[str, Any]:
    output = folder / f"{world_size}.pt"
    launch = [*launch, "--module"] if world_size > 1 else ["-m"]
    command = [sys.executable, *launch, "tests.support.distributed_step", str(world_size), str(output), job]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    return torch.load(output, weights_only=True)


def assert_equal(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert (one["world_size"], two["world_size"]) == (1, 2)
    assert len(one["losses"]) == 5
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
    torch.testing.assert_close(two["terms"], one["terms"], atol=1e-5, rtol=0)
    # after plain SGD steps, equal weights imply equal gradients
    torch.testing.assert_close(two["weights"], one["weights"], atol=1e-5, rtol=0)
    assert two["scores"] == one["scores"]
    torch.testing.assert_close(two["counts"], one["counts"], rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("job", ["finetune", "pretrain"])
def test_two_processes_equal_one(tmp_path, job):
    one, two = run(1, tmp_path, job), run(2, tmp_path, job)
    assert_equal(one, two)
    if job == "finetune":
        for found in (one["evaluated"], two["evaluated"]):  # with seven clips, the last batch is not full
            assert found["eval_loss"] == pytest.approx(weighted(found), rel=1e-6)
        assert one["counts"].sum(0).tolist() == [7 * 8 - 2] * 3  # every coded frame of seven clips, once


@pytest.mark.slow
@pytest.mark.parametrize("job", ["finetune", "pretrain"])
def test_two_processes_with_sharded_weights_equal_one(tmp_path, job):
    one, two = run(1, tmp_path, job), run(2, tmp_path, job, FSDP_LAUNCH)
    assert {"", "videomae.encoder.layer.0", "videomae.encoder.layer.1"} <= set(two["sharded"])
    assert_equal(one, two)


@pytest.mark.parametrize(("name", "processes"), [("8gpu", 8), ("fsdp", 8), ("multinode", 16)])
def test_accelerate_reads_its_recipes(name, processes):
    path = ROOT / "recipes" / f"accelerate_{name}.yaml"
    config = load_config_from_file(str(path))  # an unknown key is an error
    assert config.num_processes == processes
    args = launch_command_parser().parse_args(["--config_file", str(path), "run_finetune.py", "recipe.yaml"])
    args, _, _ = _validate_launch_command(args)
    assert (args.num_processes, args.num_machines) == (processes, config.num_machines)
    assert args.use_fsdp == (name == "fsdp")
    assert args.multi_gpu == (name != "fsdp")
    if args.use_fsdp:
        assert args.fsdp_transformer_layer_cls_to_wrap in AUVMAEPreTrainedModel._no_split_modules
