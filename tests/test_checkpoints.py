"""Test that loading and saving in any order loses no tensor, and that every Auto class opens a checkpoint."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForPreTraining,
    AutoModelForVideoClassification,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    VideoMAEModel,
)

from auvmae.cli.main import main
from auvmae.configuration import AUVMAEConfig
from auvmae.inference.detector import AUDetector
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel
from auvmae.processors import AUVMAEImageProcessor
from auvmae.weights import check_folder

from .support.paths import ROOT
from .support.tiny import AUS, randomise, stock_config, tiny_clip, tiny_config, tiny_mask

FIELDS = {"clip_length": 8, "id2label": AUS, "label2id": {name: index for index, name in AUS.items()}}


def assert_same_tensors(found, expected, prefix=""):
    expected = {prefix + name: tensor for name, tensor in expected.items()}
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.fixture
def stock_folder(tmp_path):
    model = randomise(VideoMAEForPreTraining(stock_config()))
    model.save_pretrained(tmp_path / "stock")
    return tmp_path / "stock", model


@pytest.mark.parametrize("explicit_config", [False, True])
def test_stock_to_ours_to_disk_to_ours(stock_folder, tmp_path, explicit_config):
    folder, stock = stock_folder
    fields = {"config": tiny_config()} if explicit_config else FIELDS
    model, info = AUVMAEForFrameAUClassification.from_pretrained(folder, output_loading_info=True, **fields)
    assert all(key.startswith("head.") for key in info["missing_keys"])
    assert not info["unexpected_keys"]
    assert model.config.model_type == "auvmae"
    assert_same_tensors(model.videomae.state_dict(), stock.videomae.state_dict())
    model.save_pretrained(tmp_path / "ours")
    again = AUVMAEForFrameAUClassification.from_pretrained(tmp_path / "ours")
    assert_same_tensors(again.state_dict(), model.state_dict())
    clip = tiny_clip(num_frames=8)
    assert torch.equal(again(clip).logits, model.eval()(clip).logits)


def test_a_kinetics_classifier_fills_the_encoder(tmp_path):
    stock = randomise(VideoMAEForVideoClassification(stock_config(num_labels=5)))
    stock.save_pretrained(tmp_path)
    model, info = AUVMAEForFrameAUClassification.from_pretrained(tmp_path, output_loading_info=True, **FIELDS)
    assert all(key.startswith("head.") for key in info["missing_keys"])
    assert_same_tensors(model.videomae.state_dict(), stock.videomae.state_dict())


def test_pretraining_to_classifier_to_backbone(tmp_path):
    pretrained = randomise(AUVMAEForVideoPretraining(tiny_config()))
    pretrained.save_pretrained(tmp_path / "pretrained")
    classifier = AUVMAEForFrameAUClassification.from_pretrained(tmp_path / "pretrained")
    assert_same_tensors(classifier.videomae.state_dict(), pretrained.videomae.state_dict())
    classifier.save_pretrained(tmp_path / "classifier")
    backbone = AUVMAEModel.from_pretrained(tmp_path / "classifier")
    assert_same_tensors(backbone.state_dict(), pretrained.videomae.state_dict())
    backbone.save_pretrained(tmp_path / "backbone")
    last = AUVMAEForFrameAUClassification.from_pretrained(tmp_path / "backbone")
    assert_same_tensors(last.videomae.state_dict(), pretrained.videomae.state_dict())


def test_an_encoder_alone_leaves_nothing_uninitialised(tmp_path):
    stock = randomise(VideoMAEModel(stock_config()))
    stock.save_pretrained(tmp_path)
    loaded = AUVMAEForVideoPretraining.from_pretrained(tmp_path, **FIELDS)
    direct = AUVMAEForVideoPretraining(tiny_config())
    assert all(torch.isfinite(tensor).all() for tensor in loaded.state_dict().values())
    assert torch.equal(loaded.mask_token, torch.zeros_like(loaded.mask_token))
    buffers = dict(direct.named_buffers())
    assert buffers
    assert_same_tensors(dict(loaded.named_buffers()), buffers)
    assert loaded.decoder.head.weight.std().item() == pytest.approx(0.02, abs=0.005)
    assert torch.isfinite(loaded(tiny_clip(), tiny_mask()).loss)


@pytest.mark.parametrize("key", ["query.bias", "layernorm_after.weight"])
def test_a_lost_encoder_weight_is_an_error_that_names_it(tmp_path, key):
    AUVMAEForFrameAUClassification(tiny_config()).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    lost = [name for name in tensors if name.endswith(("q_bias", key) if key == "query.bias" else key)]
    assert lost
    save_file({name: tensor for name, tensor in tensors.items() if name not in lost}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"does not fill the encoder.*layer\.0\.\S*" + key.replace(".", r"\.")):
        AUVMAEForFrameAUClassification.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="does not fill the encoder"):
        AUVMAEModel.from_pretrained(tmp_path)


def test_a_missing_head_is_no_error(tmp_path):
    AUVMAEModel(tiny_config()).save_pretrained(tmp_path)
    _, info = AUVMAEForFrameAUClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert {key.split(".")[0] for key in info["missing_keys"]} == {"head"}


def test_installed_auto_classes(tmp_path):
    model = randomise(AUVMAEForFrameAUClassification(tiny_config()))
    model.save_pretrained(tmp_path)
    AUVMAEImageProcessor(size=20).save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is AUVMAEConfig
    assert type(AutoModel.from_pretrained(tmp_path)) is AUVMAEModel
    assert type(AutoModelForPreTraining.from_pretrained(tmp_path)) is AUVMAEForVideoPretraining
    assert type(AutoModelForVideoClassification.from_pretrained(tmp_path)) is AUVMAEForFrameAUClassification
    assert type(AutoImageProcessor.from_pretrained(tmp_path)) is AUVMAEImageProcessor


REMOTE = """
import importlib.util, sys, torch
sys.path[:] = [entry for entry in sys.path if entry not in ("", {root!r})]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
assert importlib.util.find_spec("auvmae") is None
from transformers import AutoImageProcessor, AutoModel, AutoModelForPreTraining, AutoModelForVideoClassification
kwargs = dict(trust_remote_code=True)
inputs = torch.load("inputs.pt", weights_only=True)
model = AutoModelForVideoClassification.from_pretrained("checkpoint", **kwargs)
torch.save({{
    "logits": model(inputs["clip"]).logits,
    "features": AutoModel.from_pretrained("checkpoint", **kwargs)(inputs["clip"]).last_hidden_state,
    "pixel_values": AutoImageProcessor.from_pretrained("checkpoint", **kwargs)(inputs["frames"])["pixel_values"],
    "pretraining": torch.tensor(type(AutoModelForPreTraining.from_pretrained("checkpoint", **kwargs)).__name__
                                == "AUVMAEForVideoPretraining"),
}}, "outputs.pt")
model.save_pretrained("again")
"""


@pytest.mark.slow
def test_remote_code_where_the_package_is_not_installed(tmp_path):
    model = randomise(AUVMAEForFrameAUClassification(tiny_config()))
    processor = AUVMAEImageProcessor(size=20)
    model.save_pretrained(tmp_path / "checkpoint")
    processor.save_pretrained(tmp_path / "checkpoint")
    assert set(json.loads((tmp_path / "checkpoint" / "config.json").read_text())["auto_map"]) >= {
        *("AutoConfig", "AutoModel", "AutoModelForPreTraining", "AutoModelForVideoClassification"),
        "AutoImageProcessor",
    }
    frames = torch.randint(0, 256, (8, 24, 24, 3), dtype=torch.uint8)
    clip = processor(frames)["pixel_values"]
    torch.save({"clip": clip, "frames": frames}, tmp_path / "inputs.pt")
    root = str(ROOT)
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "PATH": "", "PYTHONSAFEPATH": "1"}
    subprocess.run(
        [sys.executable, "-c", REMOTE.format(root=root)], cwd=tmp_path, env=environment, check=True, timeout=300
    )
    outputs = torch.load(tmp_path / "outputs.pt", weights_only=True)
    assert torch.equal(outputs["logits"], model(clip).logits)
    assert torch.equal(outputs["features"], model.videomae(clip).last_hidden_state)
    assert torch.equal(outputs["pixel_values"], clip)
    assert outputs["pretraining"]
    again = AUVMAEForFrameAUClassification.from_pretrained(tmp_path / "again")
    assert_same_tensors(again.state_dict(), model.state_dict())


def test_fields_that_override_a_checkpoint_are_checked(tmp_path):
    AUVMAEModel(tiny_config()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"clip_length \(8\) must be a multiple of sampling_rate x num_frames"):
        AUVMAEForFrameAUClassification.from_pretrained(tmp_path, sampling_rate=4)


@pytest.mark.parametrize("name", ["outputs/modl", "./modl", "modl", "outputs/model/", "/nowhere/model", "~/model"])
def test_a_misspelt_path_is_no_name_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/models").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=f"there is no folder {name}. "):
        check_folder(name)
    with pytest.raises(FileNotFoundError, match=f"there is no folder {name}. "):
        AUDetector.from_pretrained(name)


def test_a_similar_name_is_suggested(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/model").mkdir(parents=True)
    check_folder("someone/model")
    assert main(["predict", "a.mp4", "-o", "out", "-m", "outputs/modl"]) == 2
    assert "there is no folder outputs/modl. Did you mean outputs/model?" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="Did you mean portraits"):
        check_folder("portrait")
    with pytest.raises(FileNotFoundError, match="A model of the Hub is named `owner/model`"):
        check_folder("xyz")
