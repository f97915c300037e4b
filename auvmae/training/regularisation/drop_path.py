"""Apply drop path (stochastic depth) to the encoder.

In training, each residual branch of a layer is skipped for a random share of the windows.
"""

from typing import Any, cast

import torch
from torch import nn

from ...modeling_auvmae import AUVMAEPreTrainedModel


class DropPath(nn.Module):
    """Drop whole rows of a branch at random during training.

    A row is one encoder window of `num_frames` frames. It is set to zero with probability `rate`; the other rows are
    scaled by `1 / (1 - rate)`. In evaluation, the module is the identity. See Huang et al., "Deep Networks with
    Stochastic Depth" (2016).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Drop rows of (rows, tokens, D); the shape stays."""
        if not self.training:
            return branch
        kept = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * kept / (1 - self.rate)

    def extra_repr(self) -> str:
        """Show the rate in `print(model)`."""
        return f"rate={self.rate:.3f}"


def add_drop_path(model: AUVMAEPreTrainedModel, rate: float) -> None:
    """Add drop path to the attention and MLP branches of each encoder layer, in place.

    As in VideoMAE, the rate grows linearly with depth, from 0 at the first layer to `rate` at the last. The names of
    the weights do not change, and drop path is not saved with the model.

    Raises:
        ValueError: `rate` lies outside [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path must lie in [0, 1), found {rate}.")
    layers = cast(Any, model.base_model).encoder.layer
    for layer, layer_rate in zip(layers, torch.linspace(0, rate, len(layers)).tolist(), strict=True):
        for output in (layer.attention.output, layer.output):
            # The dropout is the last module before the residual connection.
            output.dropout = nn.Sequential(output.dropout, DropPath(layer_rate))
