"""Test that faulty checkpoints are reported, run no code and change nothing."""

import json
import pathlib

import pytest
import torch
from transformers import VideoMAEForPreTraining

from auvmae.cli.main import main
from auvmae.conversion.convert import convert_checkpoint
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining

from ..support.forged_checkpoints import PRETRAINING, convert, their_pretraining
from ..support.tiny import randomise, stock_config


@pytest.fixture
def theirs():
    return their_pretraining(randomise(VideoMAEForPreTraining(stock_config(use_mean_pooling=False))))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"encoder.blocks.1.attn.qkv.weight": None, "decoder.norm.bias": None},
            "missing: encoder.blocks.1.attn.qkv.weight, decoder.norm.bias.",
        ),
        ({"encoder.norm.weight": None}, "missing: encoder.norm.weight."),
        ({"encoder.blocks.0.mlp.fc1.weight": None}, "missing: encoder.blocks.0.mlp.fc1.weight."),
        ({"encoder.blocks.0.attn.q_bias": None}, "missing: encoder.blocks.0.attn.q_bias."),
        (
            {"surplus": torch.ones(1), "decoder.blocks.0.more": torch.ones(1)},
            "left over: decoder.blocks.0.more, surplus.",
        ),
        ({"mask_token": torch.ones(1, 1, 9)}, "wrong shape: mask_token (1, 1, 9) instead of (1, 1, 8)."),
        (
            {"encoder.blocks.0.attn.qkv.weight": torch.ones(32, 16)},
            "wrong shape: encoder.blocks.0.attn.qkv.weight (32, 16) instead of (48, 16).",
        ),
        ({"encoder.patch_embed.proj.weight": torch.ones(16, 3)}, "encoder.patch_embed.proj.weight (16, 3)"),
        (
            {"encoder.patch_embed.proj.weight": torch.ones(16, 3, 2, 10, 8)},
            "patches must be square, but those of the checkpoint are 10 x 8 pixels",
        ),
        (
            {"encoder.blocks.0.attn.scale": torch.ones(2, 1, 1)},
            "cosine attention (cos_attn), but the checkpoint has encoder.",
        ),
        (
            {"encoder.blocks.0.gamma_1": torch.ones(16)},
            "not support layer scale (init_values), but the checkpoint has encoder.blocks.0.gam",
        ),
        (
            {"encoder.pos_embed": torch.zeros(1, 8, 16)},
            "encoder.pos_embed differs from the fixed sine-cosine table by 1",
        ),
        (
            {"encoder.pos_embed": torch.zeros(1, 9, 16)},
            "encoder.pos_embed has the shape (1, 9, 16) instead of (1, 8, 16)",
        ),
        ({"encoder.patch_embed.proj.weight": None}, "neither patch_embed.proj.weight (VideoMAE) nor patch_embedding."),
    ],
)
def test_a_faulty_tensor_is_named(theirs, tmp_path, change, found, capsys):
    changed = {name: tensor for name, tensor in (theirs | change).items() if tensor is not None}
    torch.save(changed, tmp_path / "theirs.pth")
    command = ["convert", str(tmp_path / "theirs.pth"), str(tmp_path / "ours"), "--config", json.dumps(PRETRAINING)]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert str(tmp_path / "theirs.pth") in message
    assert found in message
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, r"the number of heads for a width of 16 is unknown\. Give num_attention_heads in --config"),
        (PRETRAINING | {"heads": 2}, "AUVMAEConfig has no field heads"),
        (PRETRAINING | {"num_frames": "four"}, "num_frames"),
        (PRETRAINING | {"hidden_size": 32}, "wrong shape: encoder.patch_embed.proj.weight"),
    ],
)
def test_a_faulty_config_is_named(theirs, tmp_path, config, found):
    torch.save(theirs, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=found):
        convert_checkpoint(tmp_path / "theirs.pth", config)


class Code:
    """Create a file when unpickled, as a malicious pickle would."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return pathlib.Path.touch, (self.victim,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_never_run(theirs, tmp_path, zipped):
    content = {"model": theirs, "args": Code(tmp_path / "harm")}
    torch.save(content, tmp_path / "theirs.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ValueError, match=r"theirs\.pth: .* more than tensors: it requires .*\. Code in a checkpoint is never run"
    ):
        convert_checkpoint(tmp_path / "theirs.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("text.pth", b"no checkpoint", "not a checkpoint, or it is damaged"),
        ("empty.pt", b"", "not a checkpoint, or it is damaged"),
        ("text.safetensors", b"no checkpoint", "not a checkpoint, or it is damaged"),
        ("list.pth", [torch.ones(1)], "found instead: list"),
        ("number.pth", {"epoch": 3, "lr": 0.1}, "found instead: epoch, lr"),
        (
            "stock.pth",
            {"videomae.embeddings.patch_embeddings.projection.weight": torch.ones(1)},
            "No conversion is nee",
        ),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, name, content, found):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: .*{found}"):
        convert_checkpoint(tmp_path / name)


def test_a_folder_that_is_there_is_replaced_only_on_demand(theirs, tmp_path, capsys):
    folder = convert(theirs, tmp_path)
    (folder / "old").touch()
    command = ["convert", str(tmp_path / "theirs.pth"), str(folder), "--config", json.dumps(PRETRAINING)]
    assert main(command) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert not (folder / "old").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "theirs.pth"]
    for source, output, reason in (
        ("theirs.pth", "", "not a model folder"),
        ("ours/model.safetensors", "ours", "is inside"),
        ("theirs.pth", "theirs.pth", "is a file"),
        ("none.pth", "new", "No such file"),
    ):
        assert main(["convert", str(tmp_path / source), str(tmp_path / output), "--overwrite"]) == 2
        assert reason in capsys.readouterr().err
    assert (folder / "model.safetensors").exists()


def test_a_folder_that_cannot_be_written_changes_nothing(theirs, tmp_path, monkeypatch, capsys):
    folder = convert(theirs, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fill_the_disk(self, path):
        (path / "config.json").touch()
        raise OSError("No space left on device")

    monkeypatch.setattr(AUVMAEForVideoPretraining, "save_pretrained", fill_the_disk)
    command = ["convert", str(tmp_path / "theirs.pth"), str(folder), "--config", json.dumps(PRETRAINING)]
    assert main([*command, "--overwrite"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("text", ['{"num_attention_heads": 1, "num_attention_heads": 2}', "{", "[]", '{"a": NaN}'])
def test_a_configuration_that_is_no_object_is_refused(tmp_path, capsys, text):
    (tmp_path / "theirs.pth").write_bytes(b"")
    assert main(["convert", str(tmp_path / "theirs.pth"), str(tmp_path / "ours"), "--config", text]) == 2
    assert "--config must be JSON" in capsys.readouterr().err
