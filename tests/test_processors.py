"""Test the processor against explicit arithmetic and Pillow's resize."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from auvmae.faces.crop import CropRecipe
from auvmae.processors import AUVMAEImageProcessor


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)


def test_values_are_imagenet_normalised(frames):
    found = AUVMAEImageProcessor(size=20)(frames)["pixel_values"]
    expected = (frames / 255 - IMAGENET_DEFAULT_MEAN) / IMAGENET_DEFAULT_STD
    assert found.shape == (1, 4, 3, 20, 20)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0].permute(0, 2, 3, 1), expected, atol=1e-5)


@pytest.mark.parametrize("size", [8, 33])
def test_resize_is_pillows_antialiased_bilinear(size):
    ramp = np.linspace(0, 255, 24 * 24 * 3).reshape(24, 24, 3).astype(np.uint8)
    found = AUVMAEImageProcessor(size, [0, 0, 0], [1, 1, 1])(ramp[None])["pixel_values"][0, 0] * 255
    expected = np.asarray(Image.fromarray(ramp).resize((size, size), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found.permute(1, 2, 0), expected, atol=1.5)


def test_one_clip_a_batch_and_lists_agree(frames):
    processor = AUVMAEImageProcessor(size=20)
    single = processor(frames)["pixel_values"]
    for images in (list(frames), torch.as_tensor(frames), frames[None], [frames]):
        assert torch.equal(processor(images)["pixel_values"], single)
    assert processor(np.stack([frames, frames]))["pixel_values"].shape == (2, 4, 3, 20, 20)


def test_saved_and_loaded(frames, tmp_path):
    recipe = CropRecipe(margin=0.2)
    processor = AUVMAEImageProcessor(size=16, image_mean=[0.5, 0.4, 0.3], crop=recipe.to_dict())
    processor.save_pretrained(tmp_path)
    again = AUVMAEImageProcessor.from_pretrained(tmp_path)
    assert torch.equal(again(frames)["pixel_values"], processor(frames)["pixel_values"])
    assert CropRecipe(**again.crop) == recipe


@pytest.mark.parametrize("wrong", [np.zeros((4, 20, 20, 3)), np.zeros((4, 3, 20, 20), np.uint8)])
def test_wrong_frames_are_named(wrong):
    with pytest.raises(
        ValueError, match=r"Frames must be uint8 of shape \(T, H, W, 3\).*found (float64|uint8) of shape"
    ):
        AUVMAEImageProcessor()(wrong)
