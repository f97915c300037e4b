"""Two processes with half the batch each against one with the whole of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
# ecosystem.md, wall 4: `--cpu --num_processes 2` would run one process without a word
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def run(world_size: int, folder: Path, job: str) -> dict[str, Any]:
    output = folder / f"{world_size}.pt"
    launch = [*LAUNCH, "--module"] if world_size > 1 else ["-m"]
    command = [sys.executable, *launch, "tests.distributed_step", str(world_size), str(output), job]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    return torch.load(output, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("job", ["finetune", "pretrain"])
def test_two_processes_equal_one(tmp_path, job):
    one, two = run(1, tmp_path, job), run(2, tmp_path, job)
    assert (one["world_size"], two["world_size"]) == (1, 2)
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
    torch.testing.assert_close(two["terms"], one["terms"], atol=1e-5, rtol=0)
    # after plain SGD steps equal weights are equal gradients
    torch.testing.assert_close(two["weights"], one["weights"], atol=1e-5, rtol=0)
    assert two["scores"] == one["scores"]
