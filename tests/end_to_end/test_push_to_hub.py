"""Push from both scripts with `--push_to_hub`, and load the models without our package installed."""

import json
import subprocess
import sys

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from auvmae.inference.detector import AUDetector
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.runs.model_card import card_digest

from ..support.loopback_hub import LoopbackHub
from ..support.paths import ROOT
from ..support.tiny_run import MODEL, PUSHED, assert_card_of_weights, sha256

TRAIN = """
import sys
import run_finetune, run_pretrain
run_pretrain.main([sys.argv[1], "--output_dir", "pre", "--mask_ratio", "0.75", "--hub_model_id", "tester/pre"])
run_finetune.main([sys.argv[1], "--output_dir", sys.argv[2], "--model_name_or_path", "tester/pre",
                   "--hub_private_repo", "true", "--inner_val", "0.3", "--tune_thresholds", "true"])
"""

LOAD = """
import importlib.util, sys, torch
sys.path[:] = [entry for entry in sys.path if entry not in ("", {root!r})]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
assert importlib.util.find_spec("auvmae") is None
from transformers import AutoConfig, AutoImageProcessor
from transformers import AutoModel, AutoModelForPreTraining, AutoModelForVideoClassification
kwargs = dict(trust_remote_code=True)
frames = torch.load("frames.pt", weights_only=True)
clip = AutoImageProcessor.from_pretrained("tester/au", **kwargs)(frames)["pixel_values"]
pretrained, info = AutoModelForPreTraining.from_pretrained("tester/pre", output_loading_info=True, **kwargs)
torch.save({{
    "logits": AutoModelForVideoClassification.from_pretrained("tester/au", **kwargs)(clip).logits,
    "features": AutoModel.from_pretrained("tester/au", **kwargs)(clip).last_hidden_state,
    "pretrained": AutoModel.from_pretrained("tester/pre", **kwargs)(clip).last_hidden_state,
    "missing": torch.tensor(len(info["missing_keys"])),
    "thresholds": torch.tensor(AutoConfig.from_pretrained("tester/au", **kwargs).thresholds, dtype=torch.float64),
}}, "outputs.pt")
"""

DETECT = """
import auvmae, torch, transformers
detect = transformers.pipeline("video-au-detection", model="tester/au", device="cpu", cropped=True)
detect(torch.load("frames.pt", weights_only=True).numpy()).to_dataframe().to_csv("detected.csv", index=False)
"""


@pytest.fixture
def hub():
    with LoopbackHub() as server:
        yield server


@pytest.mark.slow
def test_trained_with_push_to_hub_and_loaded_where_nothing_of_ours_is_installed(hub, tmp_path):
    fields = {
        "dataset": "synthetic",
        "dataset_options": {"frames_per_subject": 240, "image_size": 32},
        "clip_length": 120,
        "model_config": MODEL,
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
    folder = tmp_path / "au"  # an absolute path, which must not be pushed
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
    assert json.loads(files["metrics.json"])["base_model"] == "tester/pre"
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
    assert outputs["thresholds"].tolist() == json.loads(files["metrics.json"])["thresholds"]

    subprocess.run(
        [sys.executable, "-c", DETECT],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "other")},
        check=True,
        timeout=300,
    )
    # a pipeline has the dtype of the checkpoint, a detector that of the processor
    expected = AUDetector.from_pretrained(folder, device="cpu", dtype="float32", cropped=True)(
        frames.numpy()
    ).to_dataframe()
    assert (tmp_path / "detected.csv").read_text() == expected.to_csv(index=False)
