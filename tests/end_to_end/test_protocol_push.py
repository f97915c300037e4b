"""Push three folds to a repository each, and complete a killed push with the same command."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from auvmae.runs.protocol import run_protocol

from ..support.loopback_hub import LoopbackHub
from ..support.paths import ROOT
from ..support.random_predictions import random_predictions
from ..support.tiny_run import assert_card_of_weights, write_run

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAMES = ["fold1", "fold2", "fold3"]


@pytest.fixture
def hub():
    with LoopbackHub() as server:
        yield server


def forge_fold(arguments):
    """Write the files of `run_finetune.run_fold` without running it."""
    args = arguments.training
    assert not args.push_to_hub
    fold = int(arguments.data.fold)
    folder = write_run(Path(args.output_dir), seed=fold)
    random_predictions(fold, (f"S{fold}", f"T{fold}"), fold=fold).save(folder)
    return fold


def command(folder):
    flags = ["--fold", "all", "--output_dir", str(folder), "--use_cpu", "--report_to", "none", "--push_to_hub"]
    return [*flags, "--hub_model_id", "tester/au"]


def main(folder):
    return run_protocol(forge_fold, command(folder))


@pytest.mark.medium
def test_every_fold_has_a_repository_and_a_killed_push_is_made_good(hub, tmp_path, monkeypatch):
    hub.hold("/api/models/tester/au-fold2/commit/")
    environment = hub.environment | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "hf"), "PATH": ""}
    script = "import sys; from tests.end_to_end.test_protocol_push import main; main(sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "out")], cwd=ROOT, env=environment) as process:
        assert hub.reached.wait(200)
        process.kill()
    assert process.returncode == -9
    assert set(hub.repos) == {"tester/au-fold1", "tester/au-fold2"}
    assert_card_of_weights(hub.files("tester/au-fold1"))
    assert set(hub.files("tester/au-fold2")) <= {".gitattributes"}  # neither weights nor card
    hub.released.set()

    for name, value in (("ENDPOINT", hub.url), ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True)):
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.setenv("HF_TOKEN", hub.environment["HF_TOKEN"])
    report, tables = main(tmp_path / "out")
    assert report is None  # all were finished
    assert "auvmae, video level, folds 1+2+3" in tables
    for name in NAMES:
        files = hub.files(f"tester/au-{name}")
        assert_card_of_weights(files)
        assert f'repository = "tester/au-{name}"' in files["README.md"].decode()
        assert files["model.safetensors"] == (tmp_path / "out" / name / "model.safetensors").read_bytes()
    assert len(hub.repos["tester/au-fold1"].commits) == 2  # the second push changed nothing


@pytest.mark.medium
def test_the_flags_of_a_run_stand_in_its_folder_and_must_be_the_same(tmp_path):
    def start(*flags):
        return run_protocol(forge_fold, [*command(tmp_path), "--push_to_hub", "false", *flags])

    report, _ = start("--seed", "3")
    assert report == 3
    assert json.loads((tmp_path / "fold1" / "flags.json").read_text()) == {"seed": "3", "use_cpu": "True"}
    assert start("--seed", "3", "--dataloader_num_workers", "2", "--resume_from_checkpoint", "true")[0] is None
    with pytest.raises(ValueError, match=r"fold1 holds a run with different flags: --seed 3\. Choose another"):
        start("--seed", "4")
    (tmp_path / "fold2" / "flags.json").unlink()
    with pytest.raises(ValueError, match=r"fold2 holds a run that was not started with --fold all\. Choose another"):
        start("--seed", "3")
