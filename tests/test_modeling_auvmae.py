"""Test the models against stock VideoMAE, and the features expected of a Transformers model."""

import pytest
import torch
from torch.nn import functional as F
from transformers import VideoMAEForPreTraining, VideoMAEModel
from transformers.models.videomae.modeling_videomae import get_sinusoid_encoding_table

from auvmae.embeddings import sinusoid_table
from auvmae.modeling_auvmae import (
    AUVMAEForFrameAUClassification,
    AUVMAEForVideoPretraining,
    AUVMAEModel,
    interpolate_frames,
)

from .support.tiny import randomise, stock_config, tiny_clip, tiny_config, tiny_mask

ALL_MODELS = (AUVMAEModel, AUVMAEForVideoPretraining, AUVMAEForFrameAUClassification)


@pytest.fixture
def stock():
    return randomise(VideoMAEForPreTraining(stock_config()))


@pytest.fixture
def classifier():
    return randomise(AUVMAEForFrameAUClassification(tiny_config()))


def with_weights_of(model, stock):
    model.load_state_dict(stock.state_dict())
    return model.train(stock.training)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("use_mean_pooling", [True, False])
def test_encoder_equals_stock(training, masked, use_mean_pooling):
    fields = {"use_mean_pooling": use_mean_pooling}
    stock = randomise(VideoMAEModel(stock_config(**fields))).train(training)
    ours = with_weights_of(AUVMAEModel(tiny_config(**fields)), stock)
    clip, mask = tiny_clip(), tiny_mask() if masked else None
    expected = stock(clip, mask, output_hidden_states=True)
    found = ours(clip, mask, output_hidden_states=True)
    torch.testing.assert_close(found.last_hidden_state, expected.last_hidden_state, atol=1e-5, rtol=0)
    assert len(found.hidden_states) == len(expected.hidden_states)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states, atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm_pix_loss", [True, False])
@pytest.mark.parametrize("training", [False, True])
def test_pretraining_equals_stock_in_loss_logits_and_gradients(norm_pix_loss, training):
    stock = randomise(VideoMAEForPreTraining(stock_config(norm_pix_loss=norm_pix_loss))).train(training)
    ours = with_weights_of(AUVMAEForVideoPretraining(tiny_config(norm_pix_loss=norm_pix_loss)), stock)
    clip, mask = tiny_clip(), tiny_mask()
    expected, found = stock(clip, mask), ours(clip, mask)
    torch.testing.assert_close(found.loss, expected.loss, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=0)
    expected.loss.backward()
    found.loss.backward()
    for name, parameter in stock.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name).grad, parameter.grad, atol=1e-5, rtol=1e-4)


def test_windows_are_encoded_one_by_one(stock):
    ours = AUVMAEModel(tiny_config())
    ours.load_state_dict(stock.videomae.state_dict())
    clip, mask = tiny_clip(num_frames=8), tiny_mask(num_frames=8)
    found = ours.eval()(clip, mask, output_hidden_states=True)
    halves = [stock.videomae(clip[:, start : start + 4], mask[:, :8]).last_hidden_state for start in (0, 4)]
    torch.testing.assert_close(found.last_hidden_state, torch.cat(halves, dim=1), atol=1e-5, rtol=0)
    assert found.hidden_states[-1].shape == found.last_hidden_state.shape


def test_pretraining_on_two_windows_is_the_mean_of_each(stock):
    ours = AUVMAEForVideoPretraining(tiny_config())
    ours.load_state_dict(stock.state_dict())
    clip, mask = tiny_clip(num_frames=8), tiny_mask(num_frames=8)
    found = ours.eval()(clip, mask)
    halves = [stock(clip[:, start : start + 4], mask[:, :8]) for start in (0, 4)]
    torch.testing.assert_close(found.loss, torch.stack([half.loss for half in halves]).mean(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.logits, torch.cat([half.logits for half in halves], 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("num_frames", "mask_ratio"), [(8, 0.0), (4, 0.0), (8, 0.5)])
def test_one_head_serves_every_level(classifier, num_frames, mask_ratio):
    mask = tiny_mask(num_frames=num_frames, mask_ratio=mask_ratio) if mask_ratio else None
    labels = torch.randint(0, 2, (2, 8, 3))
    outputs = classifier(tiny_clip(num_frames=num_frames), mask, labels=labels)
    assert outputs.logits.shape == (2, 8, 3)
    torch.testing.assert_close(outputs.loss, F.binary_cross_entropy_with_logits(outputs.logits, labels.float()))


@pytest.mark.parametrize("mask_ratio", [0.0, 0.5])
def test_heads_weigh_each_position_by_channel(mask_ratio):
    torch.manual_seed(0)
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(weigh_positions=True)))
    clip = tiny_clip(num_frames=8)
    mask = tiny_mask(num_frames=8, mask_ratio=mask_ratio) if mask_ratio else None
    tokens = model.videomae(clip, mask).last_hidden_state.unflatten(1, (4, -1))
    for row in range(2):
        places = range(4) if mask is None else (~mask[row, :4]).nonzero().flatten().tolist()
        pooled = sum(tokens[row, :, k] * model.head.position_weights[place] for k, place in enumerate(places))
        expected = model.head.projection(model.head.norm(pooled)).unflatten(1, (2, 3)).flatten(0, 1)
        torch.testing.assert_close(model(clip, mask).logits[row], expected)


def test_uncoded_labels_count_nowhere(classifier):
    clip, labels = tiny_clip(num_frames=8), torch.randint(0, 2, (2, 8, 3))
    labels[0, 2:5], labels[1, :, 1] = -100, -100
    outputs = classifier(clip, labels=labels)
    coded = labels != -100
    expected = F.binary_cross_entropy_with_logits(outputs.logits[coded], labels[coded].float())
    torch.testing.assert_close(outputs.loss, expected)
    assert classifier(clip, labels=torch.full_like(labels, -100)).loss == 0


def test_interpolation_is_linear_at_true_times_and_holds_at_the_end():
    logits = torch.tensor([0.0, 4.0, 2.0])[None, :, None]
    expected = torch.tensor([0.0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 2, 2, 2])
    torch.testing.assert_close(interpolate_frames(logits, 12)[0, :, 0], expected)


@pytest.mark.parametrize(("positions", "width"), [(1, 2), (50, 34), (1568, 384)])
def test_position_table_is_bit_equal_to_stock(positions, width):
    assert torch.equal(sinusoid_table(positions, width), get_sinusoid_encoding_table(positions, width))


@pytest.mark.medium
@pytest.mark.filterwarnings("default")  # compiling flex attention raises torch's own deprecation warnings
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
def test_attention_implementations_agree(implementation):
    # Use 32 tokens: with 8 or 24, torch 2.13's flex attention reads out of bounds on CPUs with AVX2 but not AVX-512.
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(image_size=40)))
    clip = torch.randn(2, 8, 3, 40, 40)
    model.set_attn_implementation("eager")
    expected = model(clip).logits
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        torch.testing.assert_close(model(clip).logits, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_the_decoder_attends_as_stock_does(stock, implementation):
    ours = AUVMAEForVideoPretraining._from_config(tiny_config(), attn_implementation=implementation)
    assert ours.decoder.config._attn_implementation == implementation
    with_weights_of(ours, stock)
    clip, mask = tiny_clip(), tiny_mask()
    torch.testing.assert_close(ours(clip, mask).logits, stock(clip, mask).logits, atol=1e-5, rtol=0)


def test_attentions_are_returned_per_window(classifier):
    classifier.set_attn_implementation("eager")
    outputs = classifier(tiny_clip(num_frames=8), output_attentions=True)
    assert [tuple(attention.shape) for attention in outputs.attentions] == [(2 * 2, 2, 8, 8)] * 2


def test_return_dict_false_gives_a_tuple(classifier):
    clip = tiny_clip(num_frames=8)
    assert torch.equal(classifier(clip, return_dict=False)[0], classifier(clip).logits)
    assert torch.equal(classifier.videomae(clip, return_dict=False)[0], classifier.videomae(clip).last_hidden_state)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")  # 5.18 lacks the new name
@pytest.mark.parametrize("model_class", ALL_MODELS[1:])
def test_gradient_checkpointing_changes_no_gradient(model_class):
    model, inputs = randomise(model_class(tiny_config())).train(), {"bool_masked_pos": tiny_mask(num_frames=8)}
    if model_class is AUVMAEForFrameAUClassification:
        inputs["labels"] = torch.randint(0, 2, (2, 8, 3))
    clip, gradients = tiny_clip(num_frames=8), []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        model(clip, **inputs).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_bfloat16_autocast_trains(classifier):
    clip, labels = tiny_clip(num_frames=8), torch.randint(0, 2, (2, 8, 3))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = classifier.train()(clip, tiny_mask(num_frames=8), labels=labels)
    outputs.loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in classifier.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(AUVMAEForVideoPretraining(tiny_config())(clip, tiny_mask(num_frames=8)).loss)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # inductor raises its own deprecation warnings
@pytest.mark.parametrize("masked", [False, True])
def test_compiled_model_gives_the_same(classifier, masked):
    clip, mask = tiny_clip(num_frames=8), tiny_mask(num_frames=8) if masked else None
    expected = classifier(clip, mask).logits
    torch.testing.assert_close(torch.compile(classifier)(clip, mask).logits, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("model_class", ALL_MODELS)
def test_one_backward_reaches_every_parameter(model_class):
    model = randomise(model_class(tiny_config())).train()
    outputs = model(tiny_clip(num_frames=8), tiny_mask(num_frames=8))
    (outputs.loss if "loss" in outputs else outputs[0].square().mean()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("clip", "found"),
    [
        (torch.zeros(1, 4, 3, 20, 30), r"\(batch, frames, 3, 20, 20\), found \(1, 4, 3, 20, 30\)"),
        (torch.zeros(4, 3, 20, 20), r"found \(4, 3, 20, 20\)"),
        (torch.zeros(1, 6, 3, 20, 20), r"multiple of num_frames \(4\), found 6"),
        (torch.zeros(1, 0, 3, 20, 20), r"multiple of num_frames \(4\), found 0"),
    ],
)
def test_wrong_clip_is_named(clip, found):
    with pytest.raises(ValueError, match=found):
        AUVMAEModel(tiny_config())(clip)


def unequal_counts():
    mask = torch.zeros(2, 2, 4, dtype=torch.bool)
    mask[0, :, :2], mask[1, :, :3] = True, True
    return mask.flatten(1)


def no_tube():
    mask = torch.zeros(2, 2, 4, dtype=torch.bool)
    mask[:, 0, 0], mask[:, 1, 1] = True, True
    return mask.flatten(1)


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (tiny_mask().long(), r"must be bool of shape \(2, 8\) .* found torch.int64"),
        (tiny_mask(num_frames=8), r"must be bool of shape \(2, 8\) .* of shape \(2, 16\)"),
        (unequal_counts(), r"same number of patches in every clip, found \[2, 3\]"),
        (no_tube(), "not a tube mask"),
    ],
)
def test_wrong_mask_is_named(mask, found):
    with pytest.raises(ValueError, match=found):
        AUVMAEModel(tiny_config())(tiny_clip(), mask)


def test_tube_must_go_through_every_window():
    mask = torch.cat([tiny_mask(), ~tiny_mask()], dim=1)
    with pytest.raises(ValueError, match="not a tube mask"):
        AUVMAEModel(tiny_config())(tiny_clip(num_frames=8), mask)


def test_wrong_labels_and_frame_counts_are_named(classifier):
    with pytest.raises(ValueError, match=r"labels must have the shape \(2, 8, 3\), found \(2, 4, 3\)"):
        classifier(tiny_clip(num_frames=8), labels=torch.zeros(2, 4, 3))
    with pytest.raises(ValueError, match=r"divide clip_length \(8\).* Found T = 12"):
        classifier(tiny_clip(num_frames=12))


def test_a_mask_that_hides_nothing_is_refused():
    with pytest.raises(ValueError, match="hides no patch"):
        AUVMAEForVideoPretraining(tiny_config())(tiny_clip(), tiny_mask(mask_ratio=0))


@pytest.mark.parametrize("model_class", ALL_MODELS)
def test_outputs_are_tuples_if_the_configuration_says_so(model_class):
    model = model_class(tiny_config()).eval()
    clip, mask = tiny_clip(), tiny_mask()
    expected = model(clip, mask)
    model.config.return_dict = False
    found = model(clip, mask)
    assert isinstance(found, tuple)
    torch.testing.assert_close(found, expected.to_tuple())
    torch.testing.assert_close(model(clip, mask, return_dict=True).to_tuple(), found)


@pytest.mark.parametrize("model_class", ALL_MODELS)
def test_hidden_states_receive_gradients_and_may_be_chosen(model_class):
    model = model_class(tiny_config())
    clip, mask = tiny_clip(), tiny_mask()
    output = model(clip, mask, output_hidden_states=True)
    for state in output.hidden_states:
        state.retain_grad()
    (output["last_hidden_state"] if model_class is AUVMAEModel else output.logits).square().sum().backward()
    assert all(state.grad is not None for state in output.hidden_states)
    (chosen,) = [state for state in model(clip, mask, output_hidden_states=[1]).hidden_states if state is not None]
    # transformers decides which of them index 1 is, and has changed it
    assert any(torch.allclose(chosen, state) for state in output.hidden_states)


def test_hooks_of_the_patch_projection_run():
    model, seen = AUVMAEModel(tiny_config()), []
    model.embeddings.patch_embeddings.projection.register_forward_hook(lambda *_: seen.append(1))
    model(tiny_clip(), tiny_mask())
    assert seen == [1]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 uses it
def test_adapters_of_the_patch_projection_count():
    peft = pytest.importorskip("peft", reason="the extra `lora` is missing")
    model, clip, mask = randomise(AUVMAEModel(tiny_config())), tiny_clip(), tiny_mask()
    before = model(clip, mask).last_hidden_state
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["projection"]))
    randomise(adapted)
    expected = adapted(clip, mask).last_hidden_state
    assert not torch.allclose(expected, before)
    torch.testing.assert_close(adapted.merge_and_unload()(clip, mask).last_hidden_state, expected)


def test_heads_normalise_as_the_configuration_says():
    model = AUVMAEForFrameAUClassification(tiny_config(layer_norm_eps=1e-3, grade_intensities=True))
    assert {module.eps for module in model.modules() if isinstance(module, torch.nn.LayerNorm)} == {1e-3}
