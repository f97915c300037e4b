"""Others' checkpoints, forged from stock models, give the stock models' numbers; every fault is named.

Two tests need the public code, and are skipped without it. MARLIN's, in an environment of its own (torchvision, which
only its video reader uses, must import beside the torch that is there; 0.16.2 does with any):

    pip install marlin-pytorch einops ffmpeg-python torchvision==0.16.2 --no-deps
    python -m pytest -W ignore tests/test_convert.py -k marlin_pytorch

VideoMAE's and VideoMAE V2's, with `pip install timm --no-deps` and the path of a clone:

    PYTHONPATH=path/to/VideoMAE:path/to/VideoMAEv2 python -m pytest -W ignore tests/test_convert.py -k original_code
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import VideoMAEForPreTraining, VideoMAEForVideoClassification

from auvmae.arguments import ModelArguments
from auvmae.checkpoint_layouts import recognise
from auvmae.cli import main
from auvmae.convert import convert_checkpoint, read_config
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel

from .tiny import randomise, stock_config, tiny_clip, tiny_mask

# what no tensor of a tiny model tells
CONFIG = {"num_frames": 4, "image_size": 20, "clip_length": 8, "num_attention_heads": 2, "layer_norm_eps": 1e-12}
PRETRAINING = CONFIG | {"decoder_num_attention_heads": 2}
CLOSE = {"atol": 1e-5, "rtol": 0}


def their_blocks(state, ours, theirs, middle=("mlp.fc1", "mlp.fc2")):
    """Blocks as VideoMAE's code has them: one matrix for query, key and value, and no bias of the keys."""
    pairs = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.output.dense",
        middle[0]: "intermediate.dense",
        middle[1]: "output.dense",
    }
    tensors = {}
    for index in range(sum(name.startswith(ours) and name.endswith("layernorm_before.bias") for name in state)):
        attention = f"{ours}{index}.attention.attention."
        parts = [state[f"{attention}{part}.weight"] for part in ("query", "key", "value")]
        tensors[f"{theirs}{index}.attn.qkv.weight"] = torch.cat(parts)
        tensors[f"{theirs}{index}.attn.q_bias"] = state[f"{attention}query.bias"]
        tensors[f"{theirs}{index}.attn.v_bias"] = state[f"{attention}value.bias"]
        for new, old in pairs.items():
            for end in ("weight", "bias"):
                tensors[f"{theirs}{index}.{new}.{end}"] = state[f"{ours}{index}.{old}.{end}"]
    return tensors


def copied(state, names):
    return {f"{new}.{end}": state[f"{old}.{end}"] for new, old in names.items() for end in ("weight", "bias")}


def their_pretraining(stock):
    state = stock.state_dict()
    return {
        "mask_token": state["mask_token"],
        "encoder_to_decoder.weight": state["encoder_to_decoder.weight"],
        **their_blocks(state, "videomae.encoder.layer.", "encoder.blocks."),
        **their_blocks(state, "decoder.decoder_layers.", "decoder.blocks."),
        **copied(
            state,
            {
                "encoder.patch_embed.proj": "videomae.embeddings.patch_embeddings.projection",
                "encoder.norm": "videomae.layernorm",
                "decoder.norm": "decoder.norm",
                "decoder.head": "decoder.head",
            },
        ),
    }


def marlin_table(positions, width):
    angles = np.arange(positions)[:, None] / 10000 ** (2 * (np.arange(width) // 2) / width)
    table = np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles))
    return torch.from_numpy(table).float()[None]


def marlin_pretraining(stock):
    state, middle = stock.state_dict(), ("mlp.layers.0.linear", "mlp.layers.1.linear")
    # rows of its head go through a patch's colours first, VideoMAE's through its pixels
    first = torch.arange(stock.decoder.head.out_features).reshape(-1, 3).T.flatten()
    return {
        "encoder.pos_embedding.emb": marlin_table(8, 16),
        "decoder.pos_embedding.emb": marlin_table(8, 8),
        "decoder.mask_token": state["mask_token"],
        "enc_dec_proj.weight": state["encoder_to_decoder.weight"],
        **their_blocks(state, "videomae.encoder.layer.", "encoder.blocks.", middle),
        **their_blocks(state, "decoder.decoder_layers.", "decoder.blocks.", middle),
        **copied(
            state,
            {
                "encoder.patch_embedding.projection": "videomae.embeddings.patch_embeddings.projection",
                "encoder.norm": "videomae.layernorm",
                "decoder.norm": "decoder.norm",
            },
        ),
        "decoder.head.weight": state["decoder.head.weight"][first],
        "decoder.head.bias": state["decoder.head.bias"][first],
    }


@pytest.fixture
def stock():
    return randomise(VideoMAEForPreTraining(stock_config(use_mean_pooling=False)))


def convert(content, folder, config=PRETRAINING, suffix=".pth", options=()):
    """Save, convert by the command, and return the folder."""
    path = folder / f"theirs{suffix}"
    save_file(content, path) if suffix == ".safetensors" else torch.save(content, path)
    assert main(["convert", str(path), str(folder / "ours"), "--config", json.dumps(config), *options]) == 0
    return folder / "ours"


@pytest.mark.parametrize(
    ("wrap", "suffix"),
    [
        (lambda tensors: {"model": tensors, "args": argparse.Namespace(lr=0.1), "epoch": 799}, ".pth"),
        (lambda tensors: {"module": {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}}, ".pth"),
        (lambda tensors: {name: tensor.double() for name, tensor in tensors.items()}, ".pt"),
        (lambda tensors: tensors, ".safetensors"),
    ],
)
def test_a_pretraining_checkpoint_equals_stock(stock, tmp_path, wrap, suffix):
    ours = AUVMAEForVideoPretraining.from_pretrained(convert(wrap(their_pretraining(stock)), tmp_path, suffix=suffix))
    clip, mask = tiny_clip(), tiny_mask()
    expected, found = stock(clip, mask), ours.eval()(clip, mask)
    torch.testing.assert_close(found.loss, expected.loss, **CLOSE)
    torch.testing.assert_close(found.logits, expected.logits, **CLOSE)
    features = stock.videomae(clip).last_hidden_state
    torch.testing.assert_close(ours.videomae(clip).last_hidden_state, features, **CLOSE)


@pytest.mark.parametrize("mean_pooling", [True, False])
def test_a_finetuned_checkpoint_equals_stock_without_its_head(tmp_path, capsys, mean_pooling):
    stock = randomise(VideoMAEForVideoClassification(stock_config(num_labels=5, use_mean_pooling=mean_pooling)))
    state = stock.state_dict()
    names = {"patch_embed.proj": "videomae.embeddings.patch_embeddings.projection", "head": "classifier"}
    names |= {"fc_norm": "fc_norm"} if mean_pooling else {"norm": "videomae.layernorm"}
    theirs = their_blocks(state, "videomae.encoder.layer.", "blocks.") | copied(state, names)
    folder = convert({"module": theirs}, tmp_path, CONFIG)
    dropped = ["head.weight", "head.bias", *(["fc_norm.weight", "fc_norm.bias"] if mean_pooling else [])]
    assert f"dropped: {', '.join(dropped)}" in capsys.readouterr().out
    clip = tiny_clip()
    found = AUVMAEModel.from_pretrained(folder).eval()(clip).last_hidden_state
    torch.testing.assert_close(found, stock.videomae(clip).last_hidden_state, **CLOSE)
    model = ModelArguments(str(folder)).build(AUVMAEForFrameAUClassification, clip_length=8, id2label={0: "AU1"})
    torch.testing.assert_close(model.eval().videomae(clip).last_hidden_state, found)


def test_a_marlin_checkpoint_equals_stock_and_predicts_pixels(stock, tmp_path):
    folder = convert(marlin_pretraining(stock), tmp_path, PRETRAINING | {"image_size": 20}, ".pt")
    ours = AUVMAEForVideoPretraining.from_pretrained(folder).eval()
    clip, mask = torch.rand(2, 4, 3, 20, 20), tiny_mask()
    found, expected = ours(clip, mask), stock(clip, mask).logits
    torch.testing.assert_close(found.logits, expected, **CLOSE)
    patches = clip.unflatten(1, (2, 2)).unflatten(4, (2, 10)).unflatten(6, (2, 10))  # slot, t, C, row, y, column, x
    patches = patches.permute(0, 1, 4, 6, 2, 5, 7, 3).reshape(2, 8, -1)
    loss = (expected - patches[mask].reshape(expected.shape)).square().mean()
    torch.testing.assert_close(found.loss, loss, **CLOSE)


def test_a_marlin_encoder_tells_its_image_size(stock, tmp_path):
    theirs = {name: tensor for name, tensor in marlin_pretraining(stock).items() if name.startswith("encoder.")}
    folder = convert(theirs, tmp_path, {"num_frames": 4, "clip_length": 8, "num_attention_heads": 2}, ".encoder.pt")
    config = AUVMAEModel.from_pretrained(folder).config
    assert (config.image_size, config.layer_norm_eps, config.image_std) == (20, 1e-5, [1, 1, 1])


@pytest.mark.parametrize(
    ("width", "depth", "inner", "heads", "patch", "decoder", "decoder_heads"),
    [
        (384, 12, 1536, 6, 16, 192, 3),
        (768, 12, 3072, 12, 16, 384, 6),
        (1024, 24, 4096, 16, 16, 512, 8),
        (1280, 32, 5120, 16, 16, 640, 8),
        (1408, 40, 6144, 16, 14, 512, 8),
    ],
    ids="SBLHg",
)
def test_the_published_sizes_are_read_off(width, depth, inner, heads, patch, decoder, decoder_heads):
    tensors = {
        "encoder.patch_embed.proj.weight": torch.empty(width, 3, 2, patch, patch, device="meta"),
        "encoder.blocks.0.mlp.fc1.weight": torch.empty(inner, width, device="meta"),
        f"encoder.blocks.{depth - 1}.norm1.bias": torch.empty(width, device="meta"),
        "decoder.blocks.0.mlp.fc1.weight": torch.empty(4 * decoder, decoder, device="meta"),
        "decoder.blocks.3.norm1.bias": torch.empty(decoder, device="meta"),
    }
    config, assumed = read_config(tensors, recognise(tensors), {"num_frames": 32})
    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (width, depth, inner)
    assert (config.num_attention_heads, config.decoder_num_attention_heads) == (heads, decoder_heads)
    assert (config.decoder_hidden_size, config.decoder_num_hidden_layers) == (decoder, 4)
    assert (config.patch_size, config.tubelet_size, config.num_frames) == (patch, 2, 32)
    assert set(assumed) == {"image_size", "layer_norm_eps", "num_attention_heads", "decoder_num_attention_heads"}


def test_where_it_comes_from_stands_beside_it(stock, tmp_path):
    folder = convert({"model": their_pretraining(stock)}, tmp_path)
    assert json.loads((folder / "conversion.json").read_text()) == {
        "source": "theirs.pth",
        "sha256": hashlib.sha256((tmp_path / "theirs.pth").read_bytes()).hexdigest(),
        "format": "VideoMAE",
        "assumed": {},
        "dropped": [],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "theirs.pth"]


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
        ({"mask_token": torch.ones(1, 1, 9)}, "of another shape: mask_token (1, 1, 9) instead of (1, 1, 8)."),
        (
            {"encoder.blocks.0.attn.qkv.weight": torch.ones(32, 16)},
            "of another shape: encoder.blocks.0.attn.qkv.weight (32, 16) instead of (48, 16).",
        ),
        ({"encoder.patch_embed.proj.weight": torch.ones(16, 3)}, "encoder.patch_embed.proj.weight (16, 3)"),
        ({"encoder.patch_embed.proj.weight": torch.ones(16, 3, 2, 10, 8)}, "theirs are 10 x 8 pixels"),
        ({"encoder.blocks.0.attn.scale": torch.ones(2, 1, 1)}, "cosine attention (cos_attn), but there is encoder."),
        (
            {"encoder.blocks.0.gamma_1": torch.ones(16)},
            "no layer scale (init_values), but there is encoder.blocks.0.gam",
        ),
        (
            {"encoder.pos_embed": torch.zeros(1, 8, 16)},
            "encoder.pos_embed differs from the fixed sine-cosine table by 1",
        ),
        ({"encoder.pos_embed": torch.zeros(1, 9, 16)}, "encoder.pos_embed is (1, 9, 16) instead of (1, 8, 16)"),
        ({"encoder.patch_embed.proj.weight": None}, "neither patch_embed.proj.weight (VideoMAE) nor patch_embedding."),
    ],
)
def test_a_faulty_tensor_is_named(stock, tmp_path, change, found, capsys):
    theirs = {name: tensor for name, tensor in (their_pretraining(stock) | change).items() if tensor is not None}
    torch.save(theirs, tmp_path / "theirs.pth")
    command = ["convert", str(tmp_path / "theirs.pth"), str(tmp_path / "ours"), "--config", json.dumps(PRETRAINING)]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert str(tmp_path / "theirs.pth") in message
    assert found in message
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, "how many heads share a width of 16 is not known: give num_attention_heads in --config"),
        (PRETRAINING | {"heads": 2}, "AUVMAEConfig has no field heads"),
        (PRETRAINING | {"num_frames": "four"}, "num_frames"),
        (PRETRAINING | {"hidden_size": 32}, "of another shape: encoder.patch_embed.proj.weight"),
    ],
)
def test_a_faulty_config_is_named(stock, tmp_path, config, found):
    torch.save(their_pretraining(stock), tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=found):
        convert_checkpoint(tmp_path / "theirs.pth", config)


class Code:
    """What a malicious pickle is."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return pathlib.Path.touch, (self.victim,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_never_run(stock, tmp_path, zipped):
    content = {"model": their_pretraining(stock), "args": Code(tmp_path / "harm")}
    torch.save(content, tmp_path / "theirs.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"theirs\.pth: not only tensors, it asks for .*, and code in a file is never"):
        convert_checkpoint(tmp_path / "theirs.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("text.pth", b"no checkpoint", "not a checkpoint, or damaged"),
        ("empty.pt", b"", "not a checkpoint, or damaged"),
        ("text.safetensors", b"no checkpoint", "not a checkpoint, or damaged"),
        ("list.pth", [torch.ones(1)], "found instead: list"),
        ("number.pth", {"epoch": 3, "lr": 0.1}, "found instead: epoch, lr"),
        (
            "stock.pth",
            {"videomae.embeddings.patch_embeddings.projection.weight": torch.ones(1)},
            "no conversion is nee",
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


def test_a_folder_that_is_there_is_replaced_only_on_demand(stock, tmp_path, capsys):
    folder = convert(their_pretraining(stock), tmp_path)
    (folder / "old").touch()
    command = ["convert", str(tmp_path / "theirs.pth"), str(folder), "--config", json.dumps(PRETRAINING)]
    assert main(command) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert not (folder / "old").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "theirs.pth"]
    for source, output, reason in (
        ("theirs.pth", "", "no model's folder"),
        ("ours/model.safetensors", "ours", "lies in"),
        ("theirs.pth", "theirs.pth", "is a file"),
        ("none.pth", "new", "No such file"),
    ):
        assert main(["convert", str(tmp_path / source), str(tmp_path / output), "--overwrite"]) == 2
        assert reason in capsys.readouterr().err
    assert (folder / "model.safetensors").exists()


def test_a_folder_that_cannot_be_written_changes_nothing(stock, tmp_path, monkeypatch, capsys):
    folder = convert(their_pretraining(stock), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fill_the_disk(self, path):
        (path / "config.json").touch()
        raise OSError("No space left on device")

    monkeypatch.setattr(AUVMAEForVideoPretraining, "save_pretrained", fill_the_disk)
    command = ["convert", str(tmp_path / "theirs.pth"), str(folder), "--config", json.dumps(PRETRAINING)]
    assert main([*command, "--overwrite"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("whole", [True, False])
def test_marlin_pytorch_gives_the_same(tmp_path, whole):
    marlin_pytorch = pytest.importorskip("marlin_pytorch", exc_type=ImportError)
    sizes = {"encoder_embed_dim": 128, "encoder_depth": 3, "encoder_num_heads": 2}
    sizes |= {"decoder_embed_dim": 64, "decoder_depth": 2, "decoder_num_heads": 1}
    fixed = {"mlp_ratio": 4.0, "qkv_bias": True, "qk_scale": None, "drop_rate": 0.0, "attn_drop_rate": 0.0}
    fixed |= {"norm_layer": "LayerNorm", "init_values": 0.0, "tubelet_size": 2, "as_feature_extractor": not whole}
    theirs = marlin_pytorch.Marlin(img_size=64, patch_size=16, n_frames=16, **sizes, **fixed).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    folder = convert(theirs.state_dict(), tmp_path, {}, ".pt")
    ours = (AUVMAEForVideoPretraining if whole else AUVMAEModel).from_pretrained(folder).eval()
    clip, mask = torch.rand(2, 16, 3, 64, 64), tube_mask(2, 8, 16, 0.5)
    expected = theirs.extract_features(clip.transpose(1, 2), keep_seq=True)
    found = (ours.videomae if whole else ours)(clip).last_hidden_state
    torch.testing.assert_close(found, expected, **CLOSE)
    if whole:
        pixels = theirs(clip.transpose(1, 2), ~mask).unflatten(2, (3, -1)).transpose(2, 3).flatten(2)
        torch.testing.assert_close(ours(clip, mask).logits, pixels, **CLOSE)


@pytest.mark.parametrize("module", ["modeling_pretrain", "models.modeling_pretrain"])
def test_the_original_code_gives_the_same(tmp_path, module):
    original = pytest.importorskip(module, reason="the path of a clone is not in PYTHONPATH")
    theirs = randomise(original.pretrain_videomae_small_patch16_224(decoder_depth=2), 0.02)
    ours = AUVMAEForVideoPretraining.from_pretrained(convert(theirs.state_dict(), tmp_path, {})).eval()
    clip, mask = torch.randn(1, 16, 3, 224, 224), tube_mask(1, 8, 196, 0.9)
    expected, found = theirs.encoder(clip.transpose(1, 2), mask), ours.videomae(clip, mask).last_hidden_state
    torch.testing.assert_close(found, expected, **CLOSE)
    torch.testing.assert_close(ours(clip, mask).logits, theirs(clip.transpose(1, 2), mask), **CLOSE)
