"""What the models return."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class AUVMAEForVideoPretrainingOutput(ModelOutput):
    """Output of `AUVMAEForVideoPretraining`.

    Args:
        loss (`torch.FloatTensor` of shape `()`): Mean squared error over the hidden patches.
        logits (`torch.FloatTensor` of shape `(batch_size, num_hidden_patches, tubelet_size * patch_size**2 * 3)`):
            Reconstruction of the hidden patches, in time order; in training without the `decoder_mask_ratio` of them.
        hidden_states, attentions: As in `AUVMAEModel`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class AUVMAEForFrameAUClassificationOutput(ModelOutput):
    """Output of `AUVMAEForFrameAUClassification`.

    Args:
        loss (`torch.FloatTensor` of shape `()`): Binary cross-entropy, mean over the coded (frame, AU) cells.
        logits (`torch.FloatTensor` of shape `(batch_size, clip_length, num_labels)`): One per frame and AU.
        hidden_states, attentions: As in `AUVMAEModel`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
