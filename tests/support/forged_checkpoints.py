"""Forge checkpoints in the formats of VideoMAE and MARLIN from stock models, and convert them."""

import json

import numpy as np
import torch
from safetensors.torch import save_file

from auvmae.cli.main import main

# fields that cannot be read from the tensors of a tiny model
CONFIG = {"num_frames": 4, "image_size": 20, "clip_length": 8, "num_attention_heads": 2, "layer_norm_eps": 1e-12}
PRETRAINING = CONFIG | {"decoder_num_attention_heads": 2}


def their_blocks(state, ours, theirs, middle=("mlp.fc1", "mlp.fc2")):
    """Rename blocks as in VideoMAE's code: one matrix for query, key and value, and no bias for the keys."""
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
    # MARLIN's head predicts (channel, pixel), VideoMAE's (pixel, channel)
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


def convert(content, folder, config=PRETRAINING, suffix=".pth", options=()):
    """Save a checkpoint, convert it with `auvmae convert`, and return the folder."""
    path = folder / f"theirs{suffix}"
    save_file(content, path) if suffix == ".safetensors" else torch.save(content, path)
    assert main(["convert", str(path), str(folder / "ours"), "--config", json.dumps(config), *options]) == 0
    return folder / "ours"
