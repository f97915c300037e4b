"""Test that a run killed by SIGKILL leaves no incomplete file under its final name, and resumes."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from transformers import TrainerState

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.training.trainer import train

from ..support.paths import ROOT
from ..support.tiny_training import finetuner, losses_of


def four_steps(folder):
    return finetuner(folder, max_steps=4, save_strategy="steps", save_steps=2, resume_from_checkpoint="true")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    trainer = four_steps(tmp_path_factory.mktemp("whole"))
    train(trainer)
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "steps"), [("training", {2}), ("saving", {2}), ("weights", {2, 4}), ("moving", {2, 4})]
)
def test_a_killed_run_goes_on_to_the_same_end(whole, tmp_path, stage, steps):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tests.support.killed_finetune", str(out), stage]
    killed = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert {int(path.name.partition("-")[2]) for path in out.glob("checkpoint-*")} == steps
    for path in [*out.glob("checkpoint-*"), *([out] if stage == "moving" else [])]:
        AUVMAEForFrameAUClassification.from_pretrained(path)
        assert (path / "criterion.safetensors").is_file()
    for step in steps:
        assert TrainerState.load_from_json(out / f"checkpoint-{step}" / "trainer_state.json").global_step == step
    assert (out / "model.safetensors").exists() == (stage == "moving")

    trainer = four_steps(out)
    train(trainer)
    assert losses_of(trainer) == pytest.approx(losses_of(whole))
    found = AUVMAEForFrameAUClassification.from_pretrained(out)
    expected = AUVMAEForFrameAUClassification.from_pretrained(whole.args.output_dir)
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), atol=1e-6, rtol=1e-5)
    assert not (out / ".unfinished").exists()
