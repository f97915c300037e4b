"""Test that converted checkpoints, forged from stock models, give the numbers of the stock models.

Two tests need public code, and are skipped without it. For MARLIN, use a separate environment with .[test,faces].
Only MARLIN's video reader uses torchvision, but it must import with the installed torch (0.16.2 does with torch 2.13):

    pip install marlin-pytorch einops ffmpeg-python future torchvision==0.16.2 --no-deps
    python -m pytest -W ignore tests/conversion/test_convert.py -k marlin_pytorch

For VideoMAE and VideoMAE V2, run `pip install timm --no-deps` and set the path of a clone:

    export PYTHONPATH=path/to/VideoMAE:path/to/VideoMAEv2
    python -m pytest -W ignore tests/conversion/test_convert.py -k original_code
"""

import argparse
import hashlib
import json

import pytest
import torch
from transformers import VideoMAEForPreTraining, VideoMAEForVideoClassification

from auvmae.conversion.convert import read_config
from auvmae.conversion.layouts import recognise
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel
from auvmae.runs.arguments import ModelArguments

from ..support.forged_checkpoints import CONFIG, convert, copied, marlin_pretraining, their_blocks, their_pretraining
from ..support.tiny import randomise, stock_config, tiny_clip, tiny_mask

CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture
def stock():
    return randomise(VideoMAEForPreTraining(stock_config(use_mean_pooling=False)))


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
    trained = {"state_dict": marlin_pretraining(stock) | {"discriminator.layers.0.linear.bias": torch.ones(3)}}
    folder = convert(trained, tmp_path, suffix=".ckpt")
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


@pytest.mark.parametrize("whole", [True, False])
def test_a_table_of_positions_that_is_not_ours_is_kept(stock, tmp_path, whole):
    theirs = marlin_pretraining(stock)
    tables = [name for name in theirs if "pos_embedding" in name][: 1 + whole]
    for name in tables:
        theirs[name] = theirs[name] + 1e-4 * torch.randn_like(theirs[name])
    if not whole:
        theirs = {name: tensor for name, tensor in theirs.items() if name.startswith("encoder.")}
    config = {} if whole else {"num_frames": 4, "clip_length": 8, "num_attention_heads": 2}
    folder = convert(theirs, tmp_path, config, ".pt") if config else convert(theirs, tmp_path, suffix=".pt")
    model = (AUVMAEForVideoPretraining if whole else AUVMAEModel).from_pretrained(folder)
    encoder = model.videomae if whole else model
    torch.testing.assert_close(encoder.embeddings.position_embeddings, theirs[tables[0]], rtol=0, atol=0)
    if whole:
        torch.testing.assert_close(model.position_embeddings, theirs[tables[1]], rtol=0, atol=0)
    # a classifier that starts from it has the table, and so has its own checkpoint
    model = ModelArguments(str(folder)).build(AUVMAEForFrameAUClassification, clip_length=8, id2label={0: "AU1"})
    model.save_pretrained(tmp_path / "classifier")
    again = AUVMAEForFrameAUClassification.from_pretrained(tmp_path / "classifier")
    torch.testing.assert_close(again.videomae.embeddings.position_embeddings, theirs[tables[0]], rtol=0, atol=0)


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


@pytest.mark.parametrize("whole", [True, False])
def test_marlin_pytorch_gives_the_same(tmp_path, whole):
    marlin_pytorch = pytest.importorskip("marlin_pytorch")
    sizes = {"encoder_embed_dim": 128, "encoder_depth": 3, "encoder_num_heads": 2}
    sizes |= {"decoder_embed_dim": 64, "decoder_depth": 2, "decoder_num_heads": 1}
    fixed = {"mlp_ratio": 4.0, "qkv_bias": True, "qk_scale": None, "drop_rate": 0.0, "attn_drop_rate": 0.0}
    fixed |= {"norm_layer": "LayerNorm", "init_values": 0.0, "tubelet_size": 2, "as_feature_extractor": not whole}
    theirs = marlin_pytorch.Marlin(img_size=224, patch_size=16, n_frames=16, **sizes, **fixed).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    folder = convert(theirs.state_dict(), tmp_path, {}, ".pt")
    ours = (AUVMAEForVideoPretraining if whole else AUVMAEModel).from_pretrained(folder).eval()
    clip, mask = torch.rand(2, 16, 3, 224, 224), tube_mask(2, 8, 196, 0.5)

    features = (ours.videomae if whole else ours)(clip).last_hidden_state
    torch.testing.assert_close(features, theirs.extract_features(clip.transpose(1, 2), keep_seq=True), **CLOSE)
    if whole:
        pixels = theirs(clip.transpose(1, 2), ~mask).unflatten(2, (3, -1)).transpose(2, 3).flatten(2)
        torch.testing.assert_close(ours(clip, mask).logits, pixels, **CLOSE)
    assert ours.config.stored_positions


@pytest.mark.parametrize("module", ["modeling_pretrain", "models.modeling_pretrain"])
def test_the_original_code_gives_the_same(tmp_path, module):
    original = pytest.importorskip(module, reason="the path of a clone is not in PYTHONPATH")
    theirs = randomise(original.pretrain_videomae_small_patch16_224(decoder_depth=2), 0.02)
    ours = AUVMAEForVideoPretraining.from_pretrained(convert(theirs.state_dict(), tmp_path, {})).eval()
    clip, mask = torch.randn(1, 16, 3, 224, 224), tube_mask(1, 8, 196, 0.9)
    expected, found = theirs.encoder(clip.transpose(1, 2), mask), ours.videomae(clip, mask).last_hidden_state
    torch.testing.assert_close(found, expected, **CLOSE)
    torch.testing.assert_close(ours(clip, mask).logits, theirs(clip.transpose(1, 2), mask), **CLOSE)
