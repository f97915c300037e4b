"""Test which files are pushed, what is refused, and what an interrupted push leaves on the Hub."""

import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError

from auvmae.cli.main import main
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.runs.hub import push_run
from auvmae.training.trainer import ClipTrainer

from ..support.loopback_hub import LoopbackHub
from ..support.paths import ROOT
from ..support.tiny import tiny_config
from ..support.tiny_run import PUSHED, assert_card_of_weights, write_run

# raised by huggingface_hub's own upload of a file
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "tester/au-tiny"


@pytest.fixture
def run_folder(tmp_path):
    return write_run(tmp_path / "run")


@pytest.fixture
def hub(monkeypatch):
    with LoopbackHub() as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", server.environment["HF_TOKEN"])
        yield server


def test_exactly_these_files_go_up_in_one_commit(hub, run_folder, capsys):
    assert main(["push", str(run_folder), REPO]) == 0
    assert REPO in capsys.readouterr().out
    files = hub.files(REPO)
    assert set(files) - {".gitattributes"} == PUSHED
    assert len(hub.repos[REPO].commits) == 2
    assert all(files[name] == (run_folder / name).read_bytes() for name in PUSHED - {"README.md"})
    assert_card_of_weights(files)
    assert not [name for name, content in files.items() if str(run_folder).encode() in content]


def test_the_card_loads_from_the_hub_and_keeps_what_its_author_added(hub, run_folder):
    card = run_folder / "README.md"
    card.write_text(card.read_text().replace("## Training", "Filmed with consent.\n\n## Training"))
    push_run(run_folder, REPO)
    push_run(run_folder, REPO)
    assert len(hub.repos[REPO].commits) == 2  # the second push changed nothing
    pushed = hub.files(REPO)["README.md"].decode()
    assert f'repository = "{REPO}"\n' in pushed
    assert "Filmed with consent." in pushed
    assert 'repository = "run"' in card.read_text()


def edit(name, old, new):
    def change(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: write_run(folder.parent / "b", 1) / "model.safetensors", "metrics.json describes weights"),
        (edit("README.md", "sha256 `", "sha256 `0"), "README.md describes weights with sha256 None"),
        (lambda folder: (folder / "README.md").write_text("---\nlicense: mit\n---\n"), "README.md describes weights"),
        (edit("README.md", "type: f1\n      value: 0", "type: f1\n      value: 1"), "scores"),
        (edit("config.json", '"thresholds": null', '"thresholds": [0.4, 0.4, 0.4]'), "config.json has the thresholds"),
        (lambda folder: (folder / "metrics.json").unlink(), "there is no metrics.json"),
        (lambda folder: (folder / "metrics.json").write_text('{"run": '), "metrics.json is damaged"),
        (lambda folder: (folder / "config.json").write_text(""), "config.json is damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "there is no model.safetensors"),
    ],
    ids=[
        "other weights",
        "other hash",
        "other card",
        "better score",
        "other thresholds",
        "no scores",
        "damaged scores",
        "damaged configuration",
        "no weights",
    ],
)
def test_what_does_not_match_is_refused_before_the_hub_is_asked(hub, run_folder, capsys, spoil, message):
    other = spoil(run_folder)
    if isinstance(other, Path):
        other.replace(run_folder / "model.safetensors")
    assert main(["push", str(run_folder), REPO]) == 2
    assert message in capsys.readouterr().err
    assert hub.requests == []


def test_private(hub, run_folder, tmp_path, capsys):
    push_run(run_folder, REPO, private=True)
    assert hub.repos[REPO].private
    push_run(write_run(tmp_path / "other", 1), REPO, private=True)
    push_run(run_folder, "tester/public")
    before = hub.files("tester/public")
    assert main(["push", str(tmp_path / "other"), "tester/public", "--private"]) == 2
    assert "is public" in capsys.readouterr().err
    assert hub.files("tester/public") is before


def test_revision_is_a_branch_of_its_own(hub, run_folder, tmp_path):
    push_run(run_folder, REPO)
    main(["push", str(write_run(tmp_path / "other", 1)), REPO, "--revision", "seed-1"])
    main_files, branch_files = hub.files(REPO), hub.files(REPO, "seed-1")
    assert main_files["model.safetensors"] != branch_files["model.safetensors"]
    assert_card_of_weights(main_files)
    assert_card_of_weights(branch_files)


def test_what_another_push_left_beside_goes_and_the_rest_stays(hub, run_folder):
    push_run(run_folder, REPO)
    left = {"training_args.bin": b"", "model-00001-of-00002.safetensors": b"", "LICENSE": b"", "figures/a.bin": b""}
    hub.repos[REPO].commit("main", hub.files(REPO) | left)
    (run_folder / "criterion.safetensors").unlink()
    push_run(run_folder, REPO)
    kept = {".gitattributes", "LICENSE", "figures/a.bin"}
    assert set(hub.files(REPO)) == PUSHED - {"criterion.safetensors"} | kept


def test_a_push_in_between_is_not_mixed_with_ours(hub, run_folder, tmp_path):
    """A push omits files that the Hub already has, such as metrics.json, but another push may have replaced them."""
    push_run(run_folder, REPO)
    hub.hold("/commit/")
    errors = []

    def push():
        try:
            push_run(write_run(tmp_path / "other", 1), REPO)
        except HfHubHTTPError as error:
            errors.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    assert hub.reached.wait(60)
    hub.repos[REPO].commit("main", hub.files(REPO) | {"metrics.json": b"{}"})
    hub.released.set()
    thread.join(60)
    assert "412" in str(errors[0])
    assert hub.files(REPO)["metrics.json"] == b"{}"


def test_only_the_end_of_a_run_is_pushed(hub, tmp_path):
    from transformers import TrainingArguments

    args = TrainingArguments(str(tmp_path), push_to_hub=True, use_cpu=True, report_to="none")
    with pytest.raises(ValueError, match=r"hub_strategy every_save .* Use --hub_strategy end"):
        ClipTrainer(AUVMAEForFrameAUClassification(tiny_config()), args)
    assert hub.requests == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["preupload", "PUT /lfs", "/commit/"])
def test_killed_at_any_point_the_repository_is_as_it_was(hub, run_folder, tmp_path, stage):
    push_run(run_folder, REPO)
    before = hub.files(REPO)
    other = write_run(tmp_path / "other", 1)
    hub.hold(stage)
    environment = hub.environment | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-m", "auvmae.cli.main", "push", str(other), REPO]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        assert hub.reached.wait(120)
        process.kill()
    assert process.returncode == -9
    assert hub.files(REPO) is before
    hub.released.set()
    assert main(["push", str(other), REPO]) == 0
    assert_card_of_weights(hub.files(REPO))
    assert hub.files(REPO)["model.safetensors"] == (other / "model.safetensors").read_bytes()
