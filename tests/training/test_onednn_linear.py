"""The faster linear layers give the results of PyTorch's, and are taken only where they fit."""

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn import functional as F

from auvmae.training import onednn_linear
from auvmae.training.onednn_linear import MIN_PRODUCT, OneDNNLinear, fast_linear

from ..support.tiny_training import finetuner, losses_of, pretrainer

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this build of PyTorch has no oneDNN"
)


@pytest.fixture
def products(monkeypatch):
    """Allow products of any size, and list the shapes of those that oneDNN computes."""
    found, multiply = [], onednn_linear._multiply

    def spy(left, right, bias=None):
        found.append((*left.shape, right.shape[0]))
        return multiply(left, right, bias)

    monkeypatch.setattr(onednn_linear, "_multiply", spy)
    monkeypatch.setattr(onednn_linear, "MIN_PRODUCT", 1)
    return found


@pytest.fixture
def on_amd(monkeypatch):
    monkeypatch.setattr(onednn_linear, "cpu_is_amd", lambda: True)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)


VIEWS = {
    "matrix": lambda base: base[0, :, :6],
    "batch": lambda base: base[..., :6].contiguous(),
    "windows": lambda base: base.unflatten(2, (2, 6)).contiguous(),
    "transposed": lambda base: base[..., :6].transpose(0, 1),
    "every second column": lambda base: base[..., ::2],
    "repeated": lambda base: base[:1, :1, :6].expand(2, 5, 6),
    "from an offset": lambda base: base[:, 2:, 3:9],
}


def results(base, view, weight, bias, slopes):
    """Compute the output and all gradients; without slopes, those of the sum, which are one repeated number."""
    leaves = [tensor.clone().requires_grad_() for tensor in (base, weight, bias) if tensor is not None]
    output = F.linear(view(leaves[0]), *leaves[1:])
    loss = output.sum() if slopes is None else (output * slopes.expand(output.shape)).sum()
    return [output, *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("slopes", [None, torch.randn(7, generator=torch.Generator().manual_seed(1))], ids=["sum", "-"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("view", VIEWS)
def test_outputs_and_gradients_are_those_of_pytorch(products, view, bias, slopes):
    torch.manual_seed(0)
    base, weight, offset = torch.randn(2, 5, 12), torch.randn(7, 6), torch.randn(7) if bias else None
    expected = results(base, VIEWS[view], weight, offset, slopes)
    assert products == []
    with OneDNNLinear():
        computed = results(base, VIEWS[view], weight, offset, slopes)
    shape = VIEWS[view](base).shape
    assert products == [(*shape, 7), (*shape[:-1], 7, 6)]
    torch.testing.assert_close(computed, expected, rtol=1e-5, atol=1e-5)


def test_frozen_weights_and_inputs_get_no_gradient(products):
    layer = nn.Linear(6, 7).requires_grad_(False)
    inputs = torch.randn(5, 6, requires_grad=True)
    with OneDNNLinear():
        layer(inputs).sum().backward()
        layer.requires_grad_(True)(inputs.detach()).sum().backward()
    assert layer.weight.grad is not None
    assert products == [(5, 6, 7), (5, 7, 6), (5, 6, 7)]  # the second backward pass needs the weights' gradient only


class Tagged(torch.Tensor):
    """A tensor that brings functions of its own, as those of FSDP and of quantisers do."""


@pytest.mark.parametrize("case", ["double", "bfloat16", "autocast", "vector", "subclass", "keywords", "small"])
def test_what_does_not_fit_stays_with_pytorch(products, monkeypatch, case):
    dtype = {"double": torch.float64, "bfloat16": torch.bfloat16}.get(case, torch.float32)
    inputs, weight = torch.randn(5, 6).to(dtype), torch.randn(7, 6).to(dtype)
    if case == "small":
        monkeypatch.setattr(onednn_linear, "MIN_PRODUCT", MIN_PRODUCT)
    if case == "vector":
        inputs = inputs[0]
    if case == "subclass":
        weight = weight.as_subclass(Tagged)
    with OneDNNLinear(), torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        found = F.linear(input=inputs, weight=weight) if case == "keywords" else F.linear(inputs, weight)
    assert products == []
    torch.testing.assert_close(torch.Tensor(found.float()), (inputs @ weight.T).float(), rtol=2e-2, atol=5e-2)


def test_other_devices_and_processors_keep_their_library(products, on_amd, monkeypatch):
    def compute(device):
        with fast_linear(nn.Linear(6, 7), torch.device(device)):
            F.linear(torch.randn(5, 6), torch.randn(7, 6))
        return len(products)

    assert compute("cuda") == 0
    assert compute("cpu") == 1
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert compute("cpu") == 1
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(onednn_linear, "cpu_is_amd", lambda: False)
    assert compute("cpu") == 1


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is deprecated:FutureWarning")
@pytest.mark.parametrize("fields", [{}, {"gradient_checkpointing": True}, {"bf16": True}], ids=str)
@pytest.mark.parametrize("build", [finetuner, pretrainer])
def test_a_training_loses_what_it_lost_before(tmp_path, products, on_amd, monkeypatch, build, fields):
    losses = []
    for amd in (False, True):
        monkeypatch.setattr(onednn_linear, "cpu_is_amd", lambda amd=amd: amd)
        trainer = build(tmp_path, max_steps=3, **fields)
        trainer.train()
        losses.append(losses_of(trainer))
        assert bool(products) == (amd and not fields)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_compiled_models_and_repeated_layers_are_left_alone(on_amd):
    def suits(model):
        return isinstance(fast_linear(model, torch.device("cpu")), OneDNNLinear)

    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert suits(model)
    assert not suits(torch.compile(model))
    assert not suits(nn.Sequential(nn.ReLU(), checkpoint_wrapper(nn.Linear(2, 2))))
    model[1].compile()
    assert not suits(model)
