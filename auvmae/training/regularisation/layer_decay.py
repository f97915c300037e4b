"""Decay the learning rate layer by layer, from the head to the embeddings."""

import re
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from transformers import Trainer


def layer_depth(name: str, num_layers: int) -> int:
    """Return the depth of a parameter in the model.

    It is 0 for the embeddings, i + 1 for encoder layer i, and `num_layers` + 1 for all later parameters.

    >>> layer_depth("videomae.encoder.layer.3.output.dense.weight", 12), layer_depth("head.norm.bias", 12)
    (4, 13)
    """
    layer = re.search(r"\bencoder\.layer\.(\d+)\.", name)
    if layer:
        return int(layer[1]) + 1
    return 0 if "embeddings." in name else num_layers + 1


def layer_decay_groups(
    model: nn.Module,
    num_layers: int,
    learning_rate: float,
    layer_decay: float,
    weight_decay: float,
    decayed: Collection[str],
) -> list[dict[str, Any]]:
    """Group the trainable parameters by learning rate and weight decay.

    As in BEiT and VideoMAE, `lr = learning_rate * layer_decay ** (depth from the head)`. The schedulers of torch and
    Transformers scale each group's own rate.

    Args:
        model: Model whose trainable parameters are grouped.
        num_layers: Number of encoder layers.
        learning_rate: Learning rate of the head.
        layer_decay: Factor from a layer to the one before it, in (0, 1].
        weight_decay: Weight decay of the parameters in `decayed`. The others have none.
        decayed: Names of the parameters with weight decay.

    Returns:
        Parameter groups, starting with those of the head.

    Raises:
        ValueError: `layer_decay` lies outside (0, 1].
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must lie in (0, 1], found {layer_decay}.")
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((num_layers + 1 - layer_depth(name, num_layers), name in decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": learning_rate * layer_decay**steps,
            "weight_decay": weight_decay if is_decayed else 0.0,
        }
        for (steps, is_decayed), parameters in sorted(groups.items())
    ]


class LayerDecayTrainer(Trainer):
    """Train with a learning rate that decays from the head to the embeddings.

    Args:
        args, kwargs: Arguments of `transformers.Trainer`.
        layer_decay: Factor from a layer to the one before it. With 1, all layers have the same rate.
    """

    def __init__(self, *args: Any, layer_decay: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.layer_decay = layer_decay

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the optimizer with the parameter groups of `layer_decay_groups`."""
        if self.optimizer is None and self.layer_decay != 1:
            trained: Any = self.model if model is None else model
            optimizer_class, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            groups = layer_decay_groups(
                trained,
                trained.config.num_hidden_layers,
                self.args.learning_rate,
                self.layer_decay,
                self.args.weight_decay,
                self.get_decay_parameter_names(trained),
            )
            self.optimizer = optimizer_class(groups, **options)
        return super().create_optimizer(model)
