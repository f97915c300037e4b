"""Test that the packaged encoder is complete, small and finite, and contains no code."""

import torch

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEModel
from auvmae.runs.arguments import ModelArguments
from auvmae.weights import PACKAGED


def test_it_fills_the_backbone():
    model, info = AUVMAEModel.from_pretrained(PACKAGED["tiny"], dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] | info["unexpected_keys"]
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def test_it_starts_a_classifier_by_its_short_name():
    model = ModelArguments("tiny").build(AUVMAEForFrameAUClassification, clip_length=32, id2label={0: "AU1", 1: "AU2"})
    assert model.dtype == torch.float32
    assert model(torch.zeros(1, 8, 3, 64, 64)).logits.shape == (1, 32, 2)


def test_it_is_a_few_megabytes_and_no_code():
    files = list(PACKAGED["tiny"].iterdir())
    assert sum(file.stat().st_size for file in files) < 5e6
    assert {file.suffix for file in files} == {".json", ".safetensors", ".md"}
