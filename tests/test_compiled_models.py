"""Test that every class compiles into one graph, exports and traces, with and without a mask."""

from typing import Any

import pytest
import torch

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel

from .support.tiny import randomise, tiny_clip, tiny_config, tiny_mask

CASES = [
    (AUVMAEModel, False),
    (AUVMAEModel, True),
    (AUVMAEForVideoPretraining, True),
    (AUVMAEForFrameAUClassification, False),
    (AUVMAEForFrameAUClassification, True),
]
NO_TUBE = torch.tensor([[1, 0, 0, 0, 0, 1, 0, 0]] * 2).bool()


def build(model_class: Any, **fields: Any) -> Any:
    return randomise(model_class(tiny_config(num_hidden_layers=1, clip_length=4, **fields)))


@pytest.fixture(autouse=True)
def reset():
    torch._dynamo.reset()


@pytest.mark.medium
@pytest.mark.parametrize(("model_class", "masked"), CASES)
def test_models_compile_into_one_graph(model_class, masked):
    model, clip, mask = build(model_class), tiny_clip(), tiny_mask() if masked else None
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for name, found in compiled(clip, mask).items():
        torch.testing.assert_close(found, model(clip, mask)[name])
    if masked:
        # the number of hidden patches is part of the input, and wrong masks are still refused
        other = tiny_mask(mask_ratio=0.25)
        torch.testing.assert_close(compiled(clip, other).to_tuple(), model(clip, other).to_tuple())
        with pytest.raises(RuntimeError, match="not a tube mask"):
            compiled(clip, NO_TUBE)


@pytest.mark.medium
@pytest.mark.parametrize(("model_class", "masked"), CASES)
def test_models_export(model_class, masked):
    model, clip, mask = build(model_class), tiny_clip(), tiny_mask() if masked else None
    batch = {0: torch.export.Dim("batch")}
    shapes = {"pixel_values": batch, "bool_masked_pos": batch if masked else None}
    exported = torch.export.export(model, (clip, mask), dynamic_shapes=shapes).module()
    clip, mask = tiny_clip(3), tiny_mask(3) if masked else None
    for name, found in exported(clip, mask).items():
        torch.testing.assert_close(found, model(clip, mask)[name])
    if masked:
        with pytest.raises(RuntimeError, match="not a tube mask"):
            exported(tiny_clip(), NO_TUBE)


@pytest.mark.filterwarnings("ignore")  # tracing warns of checks on shapes, as in stock VideoMAE, and of itself
@pytest.mark.parametrize("masked", [False, True])
def test_the_classifier_can_be_traced(masked):
    model = build(AUVMAEForFrameAUClassification, return_dict=False)
    inputs = (tiny_clip(), tiny_mask()) if masked else (tiny_clip(),)
    traced = torch.jit.trace(model, inputs, check_trace=False)
    torch.testing.assert_close(traced(*inputs), model(*inputs))


def test_a_mask_is_read_once_per_step(monkeypatch):
    reads = []
    whole = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: reads.append(tensor.shape) or whole(tensor))
    for model_class in (AUVMAEModel, AUVMAEForVideoPretraining, AUVMAEForFrameAUClassification):
        model, reads[:] = build(model_class, weigh_positions=True), []
        model(tiny_clip(), tiny_mask())
        assert len(reads) == 1
