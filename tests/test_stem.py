"""Test the convolutional first stage against a loop over frames."""

import pytest
import torch

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel
from auvmae.stem import MOMENTUM, ConvolutionalStem, _VisibleNorm

from .support.tiny import randomise, tiny_clip, tiny_config, tiny_mask

STEM = {"image_size": 16, "patch_size": 8, "stem_channels": [4, 6, 8], "stem_blocks": [0, 0, 1]}


@pytest.fixture
def config():
    return tiny_config(**STEM)


@pytest.fixture
def stem(config):
    torch.manual_seed(0)
    return randomise(ConvolutionalStem(config))


def clip(batch_size=2, num_frames=4):
    torch.manual_seed(1)
    return tiny_clip(batch_size, num_frames)[..., :16, :16].contiguous()


def convolved(stem, frames, seen=None):
    for stage in stem.stages:
        frames = stage(frames, seen)
    return frames


def test_tokens_are_those_of_a_loop_over_frames(stem):
    frames, tokens = clip(), stem(clip())
    assert tokens.shape == (2, 2 * 4, 16)
    for row in range(2):
        features = [convolved(stem, frames[row, frame][None])[0] for frame in range(4)]
        for slot in range(2):
            for patch in range(4):
                y, x = divmod(patch, 2)
                both = torch.cat([features[2 * slot][:, y, x], features[2 * slot + 1][:, y, x]])
                torch.testing.assert_close(tokens[row, 4 * slot + patch], stem.projection(both))


def test_all_indices_give_all_tokens(stem):
    indices = torch.arange(8).expand(2, -1)
    torch.testing.assert_close(stem(clip(), indices), stem(clip()))


def test_nothing_of_the_hidden_patches_reaches_the_visible_ones(stem):
    frames = clip()
    visible = torch.tensor([[0, 3, 4, 7], [1, 2, 5, 6]])
    before = stem(frames, visible)
    hidden = torch.ones(2, 4, 3, 2, 2, dtype=torch.bool)
    hidden[0, :, :, 0, 0] = hidden[0, :, :, 1, 1] = hidden[1, :, :, 0, 1] = hidden[1, :, :, 1, 0] = False
    frames[hidden.repeat_interleave(8, 3).repeat_interleave(8, 4)] = 9.0
    torch.testing.assert_close(stem(frames, visible), before)
    assert not torch.allclose(stem(frames), stem(clip()))


def test_statistics_are_those_of_the_visible_positions():
    torch.manual_seed(0)
    norm, plain = _VisibleNorm(3, momentum=MOMENTUM), torch.nn.BatchNorm2d(3, momentum=MOMENTUM)
    features = torch.randn(2, 3, 4, 4) * 3 + 1
    seen = torch.zeros(2, 1, 4, 4)
    seen[:, :, :, :2] = 1
    found = norm(features, seen)
    torch.testing.assert_close(found[..., :2], plain(features[..., :2].contiguous()))
    assert not found[..., 2:].any()
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.running_var, plain.running_var)
    norm.eval()
    torch.testing.assert_close(norm(features, seen)[..., :2], norm(features)[..., :2])


def test_training_hears_nothing_of_the_hidden_patches(stem):
    frames, visible = clip(), torch.tensor([[0, 3, 4, 7], [1, 2, 5, 6]])
    other = frames.clone()
    other[0, :, :, :8, 8:] = other[1, :, :, :8, :8] = 9.0
    torch.testing.assert_close(stem.train()(other, visible), stem(frames, visible))


def test_checkpoints_keep_the_stem(tmp_path, config):
    torch.manual_seed(0)
    model = randomise(AUVMAEForFrameAUClassification(config))
    model(clip(2, 8)[:, :8])  # running statistics are buffers
    model.save_pretrained(tmp_path)
    again = AUVMAEForFrameAUClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(again(clip(2, 8)).logits, model(clip(2, 8)).logits)


@pytest.fixture
def new_model():
    torch.manual_seed(0)
    return AUVMAEForFrameAUClassification(tiny_config(**{**STEM, "stem_channels": [64, 64, 64]}))


def test_a_new_stem_starts_at_the_scale_of_torch(new_model):
    stem = new_model.videomae.embeddings.patch_embeddings
    for module in stem.modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.1)
    assert stem.projection.weight.std().item() == pytest.approx(stem.projection.in_features**-0.5, rel=0.1)


def test_new_layers_behind_a_stem_start_as_the_identity(new_model):
    tokens = torch.randn(1, 8, 16)
    for layer in new_model.videomae.encoder.layer:
        torch.testing.assert_close(layer(tokens), tokens)


def test_a_pre_trained_stem_starts_a_classifier(tmp_path, config):
    torch.manual_seed(0)
    pretraining = randomise(AUVMAEForVideoPretraining(config))
    pretraining.train()(clip(), tiny_mask()).loss.backward()
    assert all(parameter.grad is not None for parameter in pretraining.parameters())
    pretraining.eval().save_pretrained(tmp_path)
    classifier = AUVMAEForFrameAUClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(
        classifier.videomae(clip()).last_hidden_state, pretraining.videomae(clip()).last_hidden_state
    )


def test_hidden_patches_change_no_output_of_the_encoder(config):
    torch.manual_seed(0)
    model = randomise(AUVMAEModel(config))
    mask = tiny_mask()
    frames = clip()
    before = model(frames, mask).last_hidden_state
    spread = mask.view(2, 2, 1, 2, 2).repeat_interleave(2, 1).expand(-1, -1, 3, -1, -1)
    frames[spread.repeat_interleave(8, 3).repeat_interleave(8, 4)] = -5.0
    torch.testing.assert_close(model(frames, mask).last_hidden_state, before)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"stem_channels": [4, 8]}, r"halves the resolution 2 times, so patch_size must be 4, found 8"),
        ({"stem_channels": []}, r"stem_channels must be one or more numbers from 1 to 65536, found \[\]"),
        ({"stem_channels": [4, 0, 8]}, r"stem_channels must be one or more numbers"),
        ({"stem_blocks": [1]}, r"stem_blocks must be one number from 0 to 100 per entry of stem_channels, found \[1\]"),
        ({"stem_blocks": [0, 0, -1]}, "stem_blocks must be one number from 0 to 100"),
        ({"stem_channels": None}, "stem_blocks must be one number from 0 to 100 per entry"),
    ],
)
def test_contradictions_are_named(fields, found):
    with pytest.raises(ValueError, match=found):
        tiny_config(**STEM | fields)
