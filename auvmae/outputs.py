"""Define the outputs of the models."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class AUVMAEForVideoPretrainingOutput(ModelOutput):
    """Hold the output of `AUVMAEForVideoPretraining`.

    Args:
        loss (`torch.FloatTensor` of shape `()`): Mean squared error over the hidden patches.
        logits (`torch.FloatTensor` of shape `(batch_size, num_hidden_patches, tubelet_size * patch_size**2 * 3)`):
            Reconstruction of the hidden patches, in time order. In training, a share of `decoder_mask_ratio` is
            skipped.
        hidden_states, attentions: As in `AUVMAEModel`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class AUVMAEForFrameAUClassificationOutput(ModelOutput):
    """Hold the output of `AUVMAEForFrameAUClassification`.

    Args:
        loss (`torch.FloatTensor` of shape `()`): Mean binary cross-entropy over the coded (frame, AU) cells.
        logits (`torch.FloatTensor` of shape `(batch_size, clip_length, num_labels)`): One logit per frame and AU.
        intensity_logits (`torch.FloatTensor` of the same shape): Intensities in 0..5 are 5 times their sigmoid. None
            without `config.grade_intensities`.
        hidden_states, attentions: As in `AUVMAEModel`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    intensity_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
