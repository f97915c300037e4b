"""Layer-wise learning-rate decay: the earlier a layer, the smaller its steps."""

import re
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from transformers import Trainer


def layer_depth(name: str, num_layers: int) -> int:
    """Depth of a parameter: 0 for the embedding, i + 1 for encoder layer i, `num_layers` + 1 for what follows.

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
    """Parameter groups for an optimizer, the head's first: `lr = learning_rate * layer_decay ** (depth from the head)`.

    As in BEiT and VideoMAE. Schedulers of torch and Transformers multiply every group's own rate.

    Args:
        model: its trainable parameters are grouped.
        num_layers: of the encoder.
        learning_rate: of the head.
        layer_decay: in (0, 1].
        weight_decay: of the parameters named in `decayed`; 0 for the others.
        decayed: names of parameters.

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
    """Trainer whose learning rate shrinks from the head down.

    Args:
        args, kwargs: those of `transformers.Trainer`.
        layer_decay: factor from a layer to the one before it; 1 for one rate everywhere.
    """

    def __init__(self, *args: Any, layer_decay: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.layer_decay = layer_decay

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """`Trainer.create_optimizer` with the groups of `layer_decay_groups`."""
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
