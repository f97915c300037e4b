"""Test the processor against explicit arithmetic and Pillow's resize."""

import warnings

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


MIRRORED = {
    "channels": lambda frames: frames[..., ::-1],
    "columns": lambda frames: frames[:, :, ::-1],
    "rows": lambda frames: frames[:, ::-1],
    "time": lambda frames: frames[::-1],
    "steps": lambda frames: frames[::2, ::2, ::-2],
    "transposed": lambda frames: frames.transpose(0, 2, 1, 3),
}


@pytest.mark.parametrize("size", [20, 7])
@pytest.mark.parametrize("name", MIRRORED)
def test_views_give_the_numbers_of_their_copies(frames, name, size):
    processor, view = AUVMAEImageProcessor(size), MIRRORED[name](frames)
    expected = processor(view.copy())["pixel_values"]
    read_only = view.copy()
    read_only.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for images in (view, list(view), [view], view[None], read_only, torch.from_numpy(view.copy())):
            assert torch.equal(processor(images)["pixel_values"], expected)


def test_pil_images_are_converted_or_refused(frames):
    processor, images = AUVMAEImageProcessor(20), [Image.fromarray(frame) for frame in frames]
    expected = processor(frames)["pixel_values"]
    for mode in ("RGB", "RGBA"):
        assert torch.equal(processor([image.convert(mode) for image in images])["pixel_values"], expected)
    grey = np.stack([np.asarray(image.convert("L").convert("RGB")) for image in images])
    assert torch.equal(
        processor([image.convert("L") for image in images])["pixel_values"], processor(grey)["pixel_values"]
    )
    for mode in ("YCbCr", "HSV", "LAB", "CMYK", "F", "I"):
        image = Image.new(mode, (20, 20))
        with pytest.raises(ValueError, match=f"An image has the mode {mode}, not RGB"):
            processor([image])


@pytest.mark.parametrize("wrong", [[], np.zeros((0, 20, 20, 3), np.uint8), np.zeros((2, 0, 20, 3), np.uint8)])
def test_no_frames_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must (not be empty|have one shape)"):
        AUVMAEImageProcessor()(wrong)


def test_frames_of_several_sizes_are_refused():
    with pytest.raises(ValueError, match=r"Frames must have one shape, found \[\(8, 8, 3\), \(9, 8, 3\)\]"):
        AUVMAEImageProcessor()([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)])


@pytest.mark.parametrize("wrong", [np.zeros((4, 20, 20, 3)), np.zeros((4, 3, 20, 20), np.uint8)])
def test_wrong_frames_are_named(wrong):
    with pytest.raises(
        ValueError, match=r"Frames must be uint8 of shape \(T, H, W, 3\).*found (float64|uint8) of shape"
    ):
        AUVMAEImageProcessor()(wrong)
