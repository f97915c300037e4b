"""A run on the Hub: what goes up, what is refused, and what a reader finds whenever the push is killed."""

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, metadata_eval_result
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import save_file

from auvmae.cli import main
from auvmae.hub import push_run
from auvmae.model_card import card_digest, render_card, render_pretraining_card, save_card
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.report import FoldReport, co2_grams, save_metrics
from auvmae.trainer import ClipTrainer

from .loopback_hub import LoopbackHub
from .tiny import AUS, randomise, tiny_config

# huggingface_hub's own upload of a file
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

ROOT = Path(__file__).parents[1]
REPO = "tester/au-tiny"
CODE = {"configuration.py", "embeddings.py", "modeling_auvmae.py", "processors.py"}
PUSHED = CODE | {
    *("README.md", "config.json", "criterion.safetensors", "metrics.json", "model.safetensors"),
    "preprocessor_config.json",
}
RUN = {
    "dataset": "disfa",
    "fold": 2,
    "level": "frame",
    "au_names": list(AUS.values()),
    "clip_length": 8,
    "sampling_rate": 4,
    "mask_ratio": 0.0,
    "base_model": "MCG-NJU/videomae-base",
    "loss": {"cls_weight": 1.0},
    "train_clips": 10,
    "steps": 4,
    "batch_size": 2,
    "learning_rate": 1e-3,
    "seed": 0,
    "train_runtime": 3.0,
    "hardware": "1 process(es) on cpu, 2 CPU cores",
    "co2_grams": 12.3456,
    "versions": {"auvmae": "0.1.0"},
}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def write_run(folder, seed=0):
    """What a run leaves behind: a real checkpoint, its scores and card, and much that is nobody's business."""
    torch.manual_seed(seed)
    randomise(AUVMAEForFrameAUClassification(tiny_config())).save_pretrained(folder)
    AUVMAEImageProcessor(size=20).save_pretrained(folder)
    save_file({"label_weights": torch.ones(3)}, folder / "criterion.safetensors")
    draw = np.random.default_rng(seed)
    probs, labels = draw.random((2, 8, 3), np.float32), draw.integers(0, 2, (2, 8, 3))
    run = RUN | {"weights_sha256": sha256((folder / "model.safetensors").read_bytes())}
    report = FoldReport(probs, labels, list(AUS.values()), run).to_dict()
    save_metrics(report, folder)
    save_card(render_card(report, folder.name), folder)
    for name in ("training_args.bin", "checkpoint-4/optimizer.pt", "figures/timeline.png", "probs.npz", "notes.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"private")
    return folder


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


def assert_card_of_weights(files):
    card = ModelCard(files["README.md"].decode())
    assert card_digest(card) == sha256(files["model.safetensors"])
    assert card.data.eval_results[0].metric_value == round(json.loads(files["metrics.json"])["metrics"]["f1"], 4)


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
    assert len(hub.repos[REPO].commits) == 2  # the second push had nothing to say
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
        (lambda folder: write_run(folder.parent / "b", 1) / "model.safetensors", "metrics.json is of weights"),
        (edit("README.md", "sha256 `", "sha256 `0"), "README.md is of weights with sha256 None"),
        (lambda folder: (folder / "README.md").write_text("---\nlicense: mit\n---\n"), "README.md is of weights"),
        (edit("README.md", "type: f1\n      value: 0", "type: f1\n      value: 1"), "scores"),
        (lambda folder: (folder / "metrics.json").unlink(), "there is no metrics.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "there is no model.safetensors"),
    ],
    ids=["other weights", "other hash", "other card", "better score", "no scores", "no weights"],
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
    """The second push leaves out what is there already, such as metrics.json; by then it may be another's."""
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


def test_card_metadata(run_folder):
    text = (run_folder / "README.md").read_text()
    card, run = ModelCard(text), json.loads((run_folder / "metrics.json").read_text())
    fields = yaml.safe_load(text.split("---\n")[1])
    expected = metadata_eval_result(
        model_pretty_name="AU-vMAE disfa fold 2 frame",
        task_pretty_name="Facial action unit detection",
        task_id="video-classification",
        metrics_pretty_name="F1 (macro over AUs)",
        metrics_id="f1",
        metrics_value=round(run["metrics"]["f1"], 4),
        dataset_pretty_name="disfa (fold 2, test subjects)",
        dataset_id="disfa",
        dataset_split="test",
    )
    (result,), (entry,) = expected["model-index"][0]["results"], fields["model-index"][0]["results"]
    assert entry["metrics"][1]["value"] == round(run["metrics"]["accuracy"], 4)
    assert entry["metrics"][0] | {"verified": False} == result["metrics"][0]
    assert [entry[name] for name in ("task", "dataset")] == [result[name] for name in ("task", "dataset")]
    assert (fields["pipeline_tag"], fields["library_name"]) == ("video-classification", "transformers")
    assert (fields["base_model"], fields["license"]) == ("MCG-NJU/videomae-base", "other")
    assert fields["co2_eq_emissions"] == {"emissions": 12.346, "source": "codecarbon"}
    for words in ("consent", "no emotion", "Demographic coverage: unknown", "about 12.3 g", "licences of the"):
        assert words in card.text


def test_card_without_weights_says_so_and_names_none(tmp_path):
    run = json.loads((ROOT / "results" / "synthetic_tiny.json").read_text())
    card = render_card(run, "outputs/synthetic_tiny")
    assert card_digest(card) is None
    assert card.data.license == "apache-2.0"
    assert str(card) == (ROOT / "model_cards" / "synthetic_tiny.md").read_text()
    assert "only scored these weights" in render_card(run | {"steps": 0}, "outputs/scored").text
    pretrained = render_pretraining_card(RUN | {"train_loss": 0.5}, "encoder")
    assert pretrained.data.eval_results is None


def test_co2_is_what_codecarbon_estimated_last(tmp_path):
    assert co2_grams(tmp_path) is None
    (tmp_path / "emissions.csv").write_text("timestamp,duration,emissions\na,9,0.5\nb,1,0.0123456\n")
    assert co2_grams(tmp_path) == pytest.approx(12.3456)


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
    command = [sys.executable, "-m", "auvmae.cli", "push", str(other), REPO]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        assert hub.reached.wait(120)
        process.kill()
    assert process.returncode == -9
    assert hub.files(REPO) is before
    hub.released.set()
    assert main(["push", str(other), REPO]) == 0
    assert_card_of_weights(hub.files(REPO))
    assert hub.files(REPO)["model.safetensors"] == (other / "model.safetensors").read_bytes()


TRAIN = """
import sys
import run_finetune, run_pretrain
run_pretrain.main([sys.argv[1], "--output_dir", "pre", "--mask_ratio", "0.75", "--hub_model_id", "tester/pre"])
run_finetune.main([sys.argv[1], "--output_dir", sys.argv[2], "--model_name_or_path", "tester/pre",
                   "--hub_private_repo", "true"])
"""

LOAD = """
import importlib.util, sys, torch
sys.path[:] = [entry for entry in sys.path if entry not in ("", {root!r})]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
assert importlib.util.find_spec("auvmae") is None
from transformers import AutoImageProcessor, AutoModel, AutoModelForPreTraining, AutoModelForVideoClassification
kwargs = dict(trust_remote_code=True)
frames = torch.load("frames.pt", weights_only=True)
clip = AutoImageProcessor.from_pretrained("tester/au", **kwargs)(frames)["pixel_values"]
pretrained, info = AutoModelForPreTraining.from_pretrained("tester/pre", output_loading_info=True, **kwargs)
torch.save({{
    "logits": AutoModelForVideoClassification.from_pretrained("tester/au", **kwargs)(clip).logits,
    "features": AutoModel.from_pretrained("tester/au", **kwargs)(clip).last_hidden_state,
    "pretrained": AutoModel.from_pretrained("tester/pre", **kwargs)(clip).last_hidden_state,
    "missing": torch.tensor(len(info["missing_keys"])),
}}, "outputs.pt")
"""


@pytest.mark.slow
def test_trained_with_push_to_hub_and_loaded_where_nothing_of_ours_is_installed(hub, tmp_path):
    model = {
        "image_size": 16,
        "patch_size": 8,
        "num_frames": 4,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "decoder_hidden_size": 16,
        "decoder_num_hidden_layers": 1,
        "decoder_num_attention_heads": 2,
        "decoder_intermediate_size": 32,
    }
    fields = {
        "dataset": "synthetic",
        "dataset_options": {"frames_per_subject": 240, "image_size": 32},
        "clip_length": 120,
        "model_config": model,
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "save_steps": 1,
        "report_to": "none",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "push_to_hub": True,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(fields))
    environment = hub.environment | {"HF_HOME": str(tmp_path / "hf"), "PATH": "", "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "au"  # an absolute path: none may go up
    subprocess.run(
        [sys.executable, "-c", TRAIN, "recipe.yaml", str(folder)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=400,
    )
    files = hub.files("tester/au")
    assert set(files) - {".gitattributes"} == PUSHED
    assert set(hub.files("tester/pre")) - {".gitattributes"} == PUSHED - {"criterion.safetensors"}
    assert (hub.repos["tester/au"].private, hub.repos["tester/pre"].private) == (True, False)
    assert_card_of_weights(files)
    for pushed in (files, hub.files("tester/pre")):
        assert not [name for name, content in pushed.items() if str(tmp_path).encode() in content]
        card = ModelCard(pushed["README.md"].decode())
        assert card_digest(card) == sha256(pushed["model.safetensors"])
        assert "demonstration only" in card.text
    assert json.loads(files["metrics.json"])["base_model"] == card.data.get("base_model", "tester/pre")
    assert [len(repo.commits) for repo in hub.repos.values()] == [2, 2]
    assert (folder / "training_args.bin").is_file()

    frames = torch.randint(0, 256, (120, 40, 40, 3), dtype=torch.uint8)
    torch.save(frames, tmp_path / "frames.pt")
    subprocess.run(
        [sys.executable, "-c", LOAD.format(root=str(ROOT))],
        cwd=tmp_path,
        env=environment | {"PYTHONSAFEPATH": "1", "HF_HOME": str(tmp_path / "fresh")},
        check=True,
        timeout=300,
    )
    outputs = torch.load(tmp_path / "outputs.pt", weights_only=True)
    clip = AUVMAEImageProcessor.from_pretrained(folder)(frames)["pixel_values"]
    trained = AUVMAEForFrameAUClassification.from_pretrained(folder).eval()
    assert torch.equal(outputs["logits"], trained(clip).logits)
    assert torch.equal(outputs["features"], trained.videomae(clip).last_hidden_state)
    before = AUVMAEForFrameAUClassification.from_pretrained(tmp_path / "pre", clip_length=120).videomae.eval()
    assert torch.equal(outputs["pretrained"], before(clip).last_hidden_state)
    assert outputs["missing"] == 0
