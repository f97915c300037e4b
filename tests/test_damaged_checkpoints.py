"""Test that damaged weights and settings are refused in one sentence that names the file and the value."""

import json
import shutil
from dataclasses import fields

import pytest
import torch
from safetensors.torch import load_file, save_file

from auvmae.configuration import AUVMAEConfig
from auvmae.inference.detector import AUDetector
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.weights import check_finite, check_weights_file

from .support.tiny import save_checkpoint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n"


@pytest.fixture
def folder(tmp_path):
    return save_checkpoint(tmp_path / "model")


def refusal(folder, load=AUDetector.from_pretrained):
    """Return the error of loading a checkpoint, which is one line."""
    with pytest.raises((ValueError, OSError)) as raised:
        load(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def change_json(file, **changes):
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in content.items() if value != "DELETED"}))


@pytest.mark.parametrize("load", [AUDetector.from_pretrained, AUVMAEForFrameAUClassification.from_pretrained])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: POINTER, "is a Git LFS pointer instead of weights. Run `git lfs pull`"),
        (lambda whole: whole[:5000], "is damaged or not whole"),
        (lambda whole: whole[:-1], "is damaged or not whole"),
        (lambda whole: whole[:4], "is damaged or not whole"),
        (lambda whole: bytes(len(whole)), "is damaged or not whole"),
        (lambda whole: b"", "is empty"),
    ],
)
def test_damaged_weights_are_named(folder, load, damage, message):
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    found = refusal(folder, load)
    assert found.startswith(f"{file} ")
    assert message in found


def test_a_truncated_pickle_is_named(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    whole = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    found = refusal(folder, AUVMAEForFrameAUClassification.from_pretrained)
    assert found.startswith(f"{folder / 'pytorch_model.bin'} is no file of weights, or damaged")


def test_a_lost_shard_and_a_damaged_index_are_named(folder):
    model = AUVMAEForFrameAUClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="8KB")
    AUDetector.from_pretrained(folder)
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    index = folder / "model.safetensors.index.json"
    assert f"{index} names {shard.name}, which is not in the folder" in refusal(folder)
    index.write_text("{")
    assert refusal(folder).startswith(f"{index} is damaged")


def test_weights_of_whole_numbers_are_named(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["head.projection.weight"] = tensors["head.projection.weight"].long()
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(OSError, match=r"model\.safetensors holds head\.projection\.weight as I64"):
        AUDetector.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["head.projection.bias", "videomae.encoder.layer.1.output.dense.weight"])
def test_a_weight_that_is_not_finite_is_named(folder, value, name):
    weights = load_file(folder / "model.safetensors")
    weights[name].view(-1)[-1] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert f"{folder}: 1 of 36 weights hold NaN or infinite numbers, the first is {name}" in refusal(folder)
    with pytest.raises(ValueError, match=name):
        check_weights_file(folder / "model.safetensors")


def test_large_finite_weights_are_accepted():
    check_finite({"half": torch.full((9,), 60000.0, dtype=torch.float16), "index": torch.arange(3)}, "file")


def test_a_model_built_in_python_is_checked(folder):
    model = AUVMAEForFrameAUClassification.from_pretrained(folder)
    with torch.no_grad():
        model.head.norm.bias[0] = torch.nan
    with pytest.raises(ValueError, match=r"the first is head\.norm\.bias"):
        AUDetector(model, AUVMAEImageProcessor.from_pretrained(folder))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["AU1", "AU01", "AU12"], "'AU1' and 'AU01' name one action unit (AU01)"),
        (["AU001", "AU2", "AU1"], "'AU001' and 'AU1' name one action unit (AU01)"),
        (["AU2", "AU2", "AU1"], "'AU2' and 'AU2' name one action unit (AU02)"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], "does not name the action units: id2label is LABEL_0"),
    ],
)
def test_two_names_for_one_column_are_refused(folder, names, message):
    labels = {"id2label": dict(enumerate(names)), "label2id": "DELETED"}
    change_json(folder / "config.json", **labels)
    change_json(folder / "config.json", label2id=None)
    found = refusal(folder)
    assert str(folder / "config.json") in found
    assert message in found


SIZES = [one.name for one in fields(AUVMAEConfig) if one.type is int and one.name != "chunk_size_feed_forward"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, value) for name in SIZES for value in ("DELETED", None, "four", -4, 0, 10**12, [4], 1.5)),
        *(("num_attention_heads", value) for value in (0, 3)),
        *(("hidden_act", value) for value in ("gelo", None, 3)),
        *(("mask_ratio", value) for value in (float("nan"), 1, -0.1, "half", None)),
        *(("layer_norm_eps", value) for value in (float("nan"), -1.0, 0.0, float("inf"), "small")),
        *(("image_mean", value) for value in ([0.5, 0.5, float("nan")], [0.5], "x", None, [10**9, 0, 0])),
        *(("image_std", value) for value in ([0.5, 0.5, 0.0], [0.5, 0.5, -1.0], [0.5, 0.5, float("inf")])),
        *(("thresholds", value) for value in ([0.5], [0.5, 0.5, float("nan")], [0.5, 0.5, 1.5], 0.5, "x", [None] * 3)),
        *(("id2label", value) for value in ({}, {"a": "AU1"}, ["AU1"], {"0": "AU1", "2": "AU2"}, {"0": None}, 5)),
        *(("num_labels", value) for value in (2, "three")),
        *(("label2id", value) for value in ({"AU1": 1, "AU2": 0, "AU12": 2}, {"AU1": 0})),
        *(("dtype", value) for value in ("float33", 5)),
        *(("qv_bias", value) for value in (None, "yes")),
    ],
)
def test_a_wrong_field_is_named_with_its_value(folder_of_json, field, value):
    change_json(folder_of_json / "config.json", **{field: value})
    found = refusal(folder_of_json, AUVMAEConfig.from_pretrained)
    assert found.startswith(str(folder_of_json / "config.json"))
    assert field in found


@pytest.fixture
def folder_of_json(tmp_path, checkpoint):
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(checkpoint / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "not valid JSON"), ("{", "not valid JSON"), ("[]", "holds a list"), ("\xff", "not val")],
)
def test_a_file_that_holds_no_fields_is_named(folder_of_json, text, message):
    (folder_of_json / "config.json").write_bytes(text.encode("latin-1"))
    found = refusal(folder_of_json, AUVMAEConfig.from_pretrained)
    assert str(folder_of_json / "config.json") in found
    assert message in found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size", value) for value in (0, -1, "x", {"height": 20}, [20, 20], None, {"height": 20, "width": 10**12})),
        *(("image_mean", value) for value in ([float("nan"), 0, 0], [0.5], "x")),
        *(("image_std", value) for value in ([0.0, 1, 1], [float("inf"), 1, 1])),
        *(("crop", value) for value in ("x", [1])),
        ("trained_on", 3),
    ],
)
def test_a_wrong_field_of_the_processor_is_named(folder_of_json, field, value):
    change_json(folder_of_json / "preprocessor_config.json", **{field: value})
    found = refusal(folder_of_json, AUVMAEImageProcessor.from_pretrained)
    assert found.startswith(str(folder_of_json / "preprocessor_config.json"))
    assert field in found


@pytest.mark.parametrize("text", ["", "[]", "3"])
def test_a_processor_file_that_holds_no_fields_is_named(folder_of_json, text):
    (folder_of_json / "preprocessor_config.json").write_text(text)
    assert "preprocessor_config.json" in refusal(folder_of_json, AUVMAEImageProcessor.from_pretrained)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 10}, "size is {'height': 10, 'width': 10} in the processor, but {'height': 20"),
        ({"image_mean": [0.5, 0.5, 0.5]}, "image_mean is [0.5, 0.5, 0.5] in the processor, but [0.485"),
        ({"crop": {"colour": 1}}, "no recipe of `auvmae crop`"),
        ({"crop": {"margin": "wide"}}, "no recipe of `auvmae crop`"),
    ],
)
def test_a_processor_that_contradicts_the_model_is_refused(folder, changes, message):
    change_json(folder / "preprocessor_config.json", **changes)
    assert message in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 1}, "Weights left over: videomae.encoder.layer.1."),
        ({"num_hidden_layers": 3}, "Missing weights: videomae.encoder.layer.2."),
        ({"qv_bias": False}, "Weights left over: videomae.encoder.layer.0.attention.attention.query.bias"),
        ({"hidden_size": 32}, "Weights of another shape: head.norm.bias (16,) instead of (32,)"),
    ],
)
def test_weights_that_contradict_the_configuration_are_named(folder, changes, message, caplog):
    change_json(folder / "config.json", **changes)
    assert message in refusal(folder)
    assert not caplog.records  # the table of Transformers is not shown


def test_what_is_no_checkpoint_is_said(folder, tmp_path):
    assert "is a file. Pass the folder of the checkpoint" in refusal(folder / "model.safetensors")
    assert "there is no folder /no/where" in refusal("/no/where")
    (tmp_path / "empty").mkdir()
    assert "is not the folder of a checkpoint: there is no config.json" in refusal(tmp_path / "empty")
    assert "nobody/nothing is no local folder" in refusal("nobody/nothing")
    (folder / "preprocessor_config.json").unlink()
    assert f"{folder / 'preprocessor_config.json'} cannot be read" in refusal(folder)
