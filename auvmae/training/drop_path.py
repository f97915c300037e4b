"""Drop path (stochastic depth): in training, a layer's branch is left out for some windows at random."""

from typing import Any, cast

import torch
from torch import nn

from ..modeling_auvmae import AUVMAEPreTrainedModel


class DropPath(nn.Module):
    """Zero whole rows with probability `rate`, scale the others by `1 / (1 - rate)`; the identity in evaluation.

    A row is what the encoder sees at once: a window of `num_frames` frames. Huang et al., "Deep Networks with
    Stochastic Depth" (2016).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """(rows, tokens, D) -> the same shape."""
        if not self.training:
            return branch
        kept = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * kept / (1 - self.rate)

    def extra_repr(self) -> str:
        """For `print(model)`."""
        return f"rate={self.rate:.3f}"


def add_drop_path(model: AUVMAEPreTrainedModel, rate: float) -> None:
    """Give each encoder layer of `model`, in place, a drop path on both branches, attention and MLP.

    The rate grows linearly with depth, from 0 at the first layer to `rate` at the last, as in VideoMAE. Names of the
    weights stay as they are, and nothing of it is saved.

    Raises:
        ValueError: `rate` lies outside [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path must lie in [0, 1), found {rate}.")
    layers = cast(Any, model.base_model).encoder.layer
    for layer, layer_rate in zip(layers, torch.linspace(0, rate, len(layers)).tolist(), strict=True):
        for output in (layer.attention.output, layer.output):
            # the last module before the residual connection
            output.dropout = nn.Sequential(output.dropout, DropPath(layer_rate))
