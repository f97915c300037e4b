"""Write the output folder of a tiny run without running it."""

import hashlib
import json

import numpy as np
import torch
from huggingface_hub import ModelCard
from safetensors.torch import save_file

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.runs.model_card import card_digest, render_card, save_card
from auvmae.runs.report import FoldReport, save_metrics

from .tiny import AUS, randomise, tiny_config

MODEL = {
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


CODE = {
    *(
        "configuration.py",
        "decoder.py",
        "embeddings.py",
        "stem.py",
        "head.py",
        "masking.py",
        "modeling_auvmae.py",
        "outputs.py",
        "processors.py",
        "weights.py",
    )
}
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
    """Write a real checkpoint with its scores and card, and private files that must not be pushed."""
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


def assert_card_of_weights(files):
    """Check that card, weights and scores on the Hub are from the same run."""
    card = ModelCard(files["README.md"].decode())
    assert card_digest(card) == sha256(files["model.safetensors"])
    assert card.data.eval_results[0].metric_value == round(json.loads(files["metrics.json"])["metrics"]["f1"], 4)
