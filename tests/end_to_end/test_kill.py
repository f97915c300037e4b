"""Test that a run killed at any moment, even while saving, resumes with the same losses."""

import os
import subprocess
import sys

import pytest

from auvmae.training.trainer import UNFINISHED_DIR, train

from ..support.killed_run import FIELDS
from ..support.paths import ROOT
from ..support.tiny_training import losses_of, pretrainer


@pytest.mark.slow
def test_a_run_killed_before_any_change_of_a_file_resumes(tmp_path):
    whole = pretrainer(tmp_path / "whole", **FIELDS)
    train(whole)
    command = [sys.executable, "-m", "tests.support.killed_run", str(tmp_path / "killed")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=500)
    killed = sorted((tmp_path / "killed").iterdir())
    assert len(killed) > 20
    assert any((folder / UNFINISHED_DIR).exists() for folder in killed)
    for folder in killed:
        resumed = pretrainer(folder, resume_from_checkpoint="true", **FIELDS)
        train(resumed)
        assert losses_of(resumed) == pytest.approx(losses_of(whole), rel=1e-6), folder.name
