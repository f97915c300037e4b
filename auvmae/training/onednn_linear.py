"""Compute linear layers with oneDNN in training, where MKL is slow.

PyTorch multiplies float32 matrices with Intel's MKL. On AMD processors, oneDNN, which is part of PyTorch, takes up to a
quarter less time for the matrices of a vision transformer (`benchmarks/pretrain.py`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..system.hardware import cpu_is_amd

MIN_PRODUCT = 2**20
"""Smaller products (rows x columns x depth) stay with MKL, since calling from Python takes longer than they do."""


def fast_linear(model: nn.Module, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which a training step uses the faster library.

    Gradients are included. It changes nothing on GPUs, processors of other makers, and other data types than float32,
    nor where the model is compiled or computes layers again. Results differ only by rounding, and are the same in each
    run. Gradients cannot be differentiated again.
    """
    fits = device.type == "cpu" and cpu_is_amd() and torch.backends.mkl.is_available()
    fits = fits and hasattr(torch.ops.mkldnn, "_linear_pointwise") and not _compiles_or_repeats(model)
    return OneDNNLinear() if fits else nullcontext()


def _compiles_or_repeats(model: nn.Module) -> bool:
    # gradient checkpointing computes layers again outside of the context, and expects the same tensors
    return any(
        getattr(module, "gradient_checkpointing", False)
        or hasattr(module, "_checkpoint_wrapped_module")
        or hasattr(module, "_orig_mod")
        or module._compiled_call_impl is not None
        for module in model.modules()
    )


class OneDNNLinear(TorchFunctionMode):
    """Replace `torch.nn.functional.linear` where `_fits` allows it.

    A mode reaches all linear layers of a model, also those of adapters, and leaves their modules as they are.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and _fits(*args[:2]):
            return _Linear.apply(*args, *[None] * (3 - len(args)))
        return func(*args, **(kwargs or {}))


def _fits(inputs: torch.Tensor, weight: torch.Tensor) -> bool:
    plain = all(type(tensor) in (torch.Tensor, torch.nn.Parameter) for tensor in (inputs, weight))
    return (
        plain
        and inputs.dtype == weight.dtype == torch.float32
        and inputs.device.type == "cpu"
        and inputs.dim() > 1
        and inputs.numel() * weight.shape[0] >= MIN_PRODUCT
        and not torch.is_autocast_enabled("cpu")
    )


def _multiply(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Compute `left @ right.T + bias` with oneDNN."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
    return product


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        return _multiply(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        for_inputs, for_weight, for_bias = ctx.needs_input_grad
        rows = grad.flatten(0, -2)
        return (
            _multiply(grad, weight.t()) if for_inputs else None,
            rows.t() @ inputs.flatten(0, -2) if for_weight else None,  # MKL is the faster one here
            rows.sum(0) if for_bias else None,
        )
