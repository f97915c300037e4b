"""Reconstruct clips with the masked autoencoder, and measure the error.

The paper shows reconstructions in Fig. 1 of its appendix.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..configuration import AUVMAEConfig
from ..embeddings import cut_patches
from ..modeling_auvmae import AUVMAEForVideoPretraining

HIDDEN_GREY = 0.5
"""Grey level of hidden patches in masked frames, in [0, 1]."""


@dataclass(frozen=True)
class Reconstruction:
    """Hold the reconstruction of one clip under one mask, with its errors.

    Frames are uint8 `(T, H, W, C)`. PSNR is in dB, see `psnr`.

    Args:
        original: Frames at the model's input size.
        masked: Original frames with hidden patches in `HIDDEN_GREY`.
        reconstructed: Frames from `reconstruct_clip`.
        hidden_share: Share of the patches that are hidden, in [0, 1).
        psnr_hidden: PSNR over the pixels of the hidden patches. It is NaN if nothing is hidden.
        psnr_all: PSNR over all pixels.
        mean_colour_psnr_hidden, mean_colour_psnr_all: PSNR of a trivial baseline that a reconstruction should beat. It
            fills each predicted patch with the patch's own mean colour.
    """

    original: np.ndarray
    masked: np.ndarray
    reconstructed: np.ndarray
    hidden_share: float
    psnr_hidden: float
    psnr_all: float
    mean_colour_psnr_hidden: float
    mean_colour_psnr_all: float


def compare_clip(
    model: AUVMAEForVideoPretraining, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor
) -> Reconstruction:
    """Reconstruct one clip and measure the error.

    Args:
        model: A pre-trained model, in evaluation mode.
        pixel_values: `torch.FloatTensor` of shape `(1, T, C, H, W)`, normalised.
        bool_masked_pos: `torch.BoolTensor` of shape `(1, L)`, a tube mask with True = hidden.

    Raises:
        ValueError: The shapes, the number of frames or the mask do not fit the configuration.
    """
    config = model.config
    reconstructed = reconstruct_clip(model, pixel_values, bool_masked_pos)
    original = unnormalise(pixel_values, config)
    patches, found = patchify(original, config), patchify(reconstructed, config)
    masked, mean_colour = patches.clone(), patches.clone()
    masked[bool_masked_pos] = HIDDEN_GREY
    replaced = predicted_patches(bool_masked_pos)
    mean_colour[replaced] = patches[replaced].mean(dim=1, keepdim=True).expand_as(patches[replaced])
    return Reconstruction(
        original=_to_uint8(original[0]),
        masked=_to_uint8(unpatchify(masked, config)[0]),
        reconstructed=_to_uint8(reconstructed[0]),
        hidden_share=bool_masked_pos.float().mean().item(),
        psnr_hidden=psnr(patches[bool_masked_pos], found[bool_masked_pos]),
        psnr_all=psnr(patches, found),
        mean_colour_psnr_hidden=psnr(patches[bool_masked_pos], mean_colour[bool_masked_pos]),
        mean_colour_psnr_all=psnr(patches, mean_colour),
    )


@torch.no_grad()
def reconstruct_clip(
    model: AUVMAEForVideoPretraining, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor
) -> torch.Tensor:
    """Replace the hidden patches of a clip by the model's predictions.

    Visible patches stay as they are. If the mask hides nothing, all patches are predicted, see `predicted_patches`.

    With `norm_pix_loss`, the model predicts patches of mean 0 and standard deviation 1. As in VideoMAE's visualisation,
    they are rescaled to the mean and standard deviation, per channel, of the *original* patch, which the model does not
    see. Colours are therefore right by construction; only the variation inside a patch is predicted.

    Args:
        model: A pre-trained model, in evaluation mode.
        pixel_values: `torch.FloatTensor` of shape `(B, T, C, H, W)`, normalised.
        bool_masked_pos: `torch.BoolTensor` of shape `(B, L)`, a tube mask with True = hidden.

    Returns:
        `torch.FloatTensor` of shape `(B, T, C, H, W)`, clipped to [0, 1].

    Raises:
        ValueError: The shapes, the number of frames or the mask do not fit the configuration.
    """
    config, encoder = model.config, model.videomae
    visible, hidden = encoder.split_tokens(pixel_values, bool_masked_pos)
    tokens = encoder(pixel_values, bool_masked_pos).last_hidden_state
    # If there are no hidden tokens, VideoMAE's decoder returns all tokens.
    logits = encoder.unfold_windows(model.forward_decoder(tokens, visible, hidden), len(pixel_values))
    patches = patchify(unnormalise(pixel_values, config), config)
    predicted = predicted_patches(bool_masked_pos)
    values = logits.flatten(0, 1).unflatten(-1, patches.shape[2:])
    if config.norm_pix_loss:
        variance, mean = torch.var_mean(patches[predicted], dim=1, keepdim=True)
        values = values * (variance.sqrt() + 1e-6) + mean  # undoes `patch_targets`
    patches[predicted] = values.to(patches.dtype)
    return unpatchify(patches, config).clamp_(0, 1)


def predicted_patches(bool_masked_pos: torch.Tensor) -> torch.Tensor:
    """Select the patches that a reconstruction takes from the decoder.

    These are the hidden patches, or all patches if none is hidden.

    Args:
        bool_masked_pos: Tube mask `(B, L)`, True = hidden.

    Returns:
        `torch.BoolTensor` of shape `(B, L)`, True = predicted.
    """
    # Paper: the appendix shows a reconstruction at mask ratio 0 without explaining it. A copy of the visible patches
    # would show nothing, so we show the decoder's output for them. It is close to noise, as no loss trains this output.
    return bool_masked_pos if bool_masked_pos.any() else ~bool_masked_pos


def psnr(original: torch.Tensor, other: torch.Tensor) -> float:
    """Compute the peak signal-to-noise ratio (PSNR) of values in [0, 1], in dB.

    It is `-10 log10(mean squared error)`, where the mean is over all values, including frames and channels. PSNR is
    infinite if both tensors are equal, and NaN if they are empty.
    """
    return -10 * F.mse_loss(other, original).log10().item() if original.numel() else float("nan")


def unnormalise(pixel_values: torch.Tensor, config: AUVMAEConfig) -> torch.Tensor:
    """Undo the processor's normalisation of (..., C, H, W), clipped to [0, 1]."""
    mean, std = (pixel_values.new_tensor(values).view(-1, 1, 1) for values in (config.image_mean, config.image_std))
    return (pixel_values * std + mean).clamp_(0, 1)


def patchify(pixels: torch.Tensor, config: AUVMAEConfig) -> torch.Tensor:
    """Cut (B, T, C, H, W) into patches (B, L, tubelet * p * p, C).

    Patches are in the order of the tokens, their values in the order of the logits.
    """
    return cut_patches(pixels, config.tubelet_size, config.patch_size).flatten(3).transpose(2, 3)


def unpatchify(patches: torch.Tensor, config: AUVMAEConfig) -> torch.Tensor:
    """Join patches (B, L, tubelet * p * p, C) into (B, T, C, H, W).

    This is the inverse of `patchify`.
    """
    side, count = config.patch_size, config.image_size // config.patch_size
    grid = patches.unflatten(2, (-1, side, side)).unflatten(1, (-1, count, count))
    # (B, T', rows, columns, depth, p, p, C)
    return grid.permute(0, 1, 4, 7, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(1, 2)


def _to_uint8(pixels: torch.Tensor) -> np.ndarray:
    """Convert (T, C, H, W) in [0, 1] to (T, H, W, C) in [0, 255]."""
    return (255 * pixels).round().byte().permute(0, 2, 3, 1).numpy()
