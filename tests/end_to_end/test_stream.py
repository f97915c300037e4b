"""Pre-train from shards as a user does, in one process and in two."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from huggingface_hub import ModelCard

import run_pretrain
from auvmae.runs.arguments import PretrainArguments

from ..support.forge_shards import forge_shards
from ..support.paths import ROOT
from ..support.processes import LAUNCH
from ..support.tiny_run import MODEL
from ..support.tiny_training import losses_of


@pytest.fixture
def flags(tmp_path):
    forge_shards(tmp_path / "shards", [3, 2, 2])
    recipe = tmp_path / "recipe.yaml"
    fields = {
        "model_config": MODEL,
        "clip_length": 4,
        "stream": str(tmp_path / "shards"),
        "max_steps": 4,
        "save_steps": 2,
        "logging_steps": 1,
        "per_device_train_batch_size": 2,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    recipe.write_text(yaml.safe_dump(fields))
    return [str(recipe)]


def test_a_run_from_shards_and_its_card(flags, tmp_path):
    output = tmp_path / "run"
    trainer = run_pretrain.main([*flags, "--output_dir", str(output)])
    run = json.loads((output / "metrics.json").read_text())
    assert (run["dataset"], run["train_clips"], run["steps"], run["batch_size"]) == ("shards", None, 4, 2)
    assert "- Data: shards, a stream of clips of 4 frames" in ModelCard.load(output / "README.md").text
    again = run_pretrain.main(
        [*flags, "--output_dir", str(output), "--resume_from_checkpoint", f"{output}/checkpoint-2"]
    )
    assert losses_of(again) == pytest.approx(losses_of(trainer), rel=1e-6)


@pytest.mark.slow
def test_two_processes_share_the_shards(flags, tmp_path):
    output = tmp_path / "run"
    command = [sys.executable, *LAUNCH, "run_pretrain.py", *flags, "--output_dir", str(output), "--ddp_backend", "gloo"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    run = json.loads((output / "metrics.json").read_text())
    assert (run["dataset"], run["steps"], run["batch_size"]) == ("shards", 4, 4)


def test_a_stream_needs_an_end_and_a_buffer(flags, tmp_path):
    for wrong, message in (("--max_steps=-1", "--stream has no end"), ("--stream_buffer=0", "at least 1, found 0")):
        with pytest.raises(ValueError, match=message):
            run_pretrain.main([*flags, "--output_dir", str(tmp_path / "run"), wrong])


@pytest.mark.parametrize(
    ("stream", "name"),
    [(None, None), ("owner/faces", "owner/faces"), ("/data/faces", "faces"), ("data/a-*.tar", "a-*.tar")],
)
def test_the_name_of_a_stream_has_no_local_folder(stream, name):
    assert PretrainArguments(stream=stream).stream_name == name
