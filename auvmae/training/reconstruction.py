"""Pixels out of the masked autoencoder's predictions, and how near they are to the original (appendix, Fig. 1)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..configuration import AUVMAEConfig
from ..embeddings import cut_patches
from ..modeling_auvmae import AUVMAEForVideoPretraining

HIDDEN_GREY = 0.5
"""What a hidden patch looks like in a masked picture, on the [0, 1] scale."""


@dataclass(frozen=True)
class Reconstruction:
    """One clip under one mask. Pictures are uint8 `(T, H, W, C)`; PSNR is in dB, see `psnr`.

    Args:
        original: The frames as the model gets them, resized.
        masked: The same with `HIDDEN_GREY` for what is hidden.
        reconstructed: See `reconstruct_clip`.
        hidden_share: Share of the patches that is hidden, in [0, 1).
        psnr_hidden: Over the pixels of the hidden patches; NaN where nothing is hidden.
        psnr_all: Over all pixels.
        mean_colour_psnr_hidden, mean_colour_psnr_all: The same, had the model predicted one colour for each of its
            patches, the patch's own mean: the trivial answer that a reconstruction should beat.
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
    """Reconstruct one clip and measure it.

    Args:
        model: A pre-trained model, in evaluation mode.
        pixel_values: `torch.FloatTensor` of shape `(1, T, C, H, W)`, normalised.
        bool_masked_pos: `torch.BoolTensor` of shape `(1, L)`, True = hidden, a tube.

    Raises:
        ValueError: Shapes, frame count or mask do not fit the configuration.
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
    """The clip with its hidden patches as the model predicts them, and its visible ones as they are.

    With `norm_pix_loss` the model predicts patches of mean 0 and standard deviation 1. As in VideoMAE's visualisation
    they get back the mean and the standard deviation, per channel, of the *original* patch, which the model was not
    given: colours are right by construction, only what varies inside a patch is predicted.

    Where the mask hides nothing, all patches are the decoder's: see `predicted_patches`.

    Args:
        model: A pre-trained model, in evaluation mode.
        pixel_values: `torch.FloatTensor` of shape `(B, T, C, H, W)`, normalised.
        bool_masked_pos: `torch.BoolTensor` of shape `(B, L)`, True = hidden, a tube.

    Returns:
        `torch.FloatTensor` of shape `(B, T, C, H, W)`, clipped to [0, 1].

    Raises:
        ValueError: Shapes, frame count or mask do not fit the configuration.
    """
    config, encoder = model.config, model.videomae
    visible, hidden = encoder.split_tokens(pixel_values, bool_masked_pos)
    tokens = encoder(pixel_values, bool_masked_pos).last_hidden_state
    # asked for no hidden token, VideoMAE's decoder gives all of them
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
    """Which patches of `(B, L)` a reconstruction takes from the decoder: the hidden ones, or all if none is hidden."""
    # Paper: the appendix shows a reconstruction at mask ratio 0, and does not say how. A copy of the visible patches
    # would show nothing, so it is what the decoder gives for them: noise, or nearly, as no loss ever asked for them.
    return bool_masked_pos if bool_masked_pos.any() else ~bool_masked_pos


def psnr(original: torch.Tensor, other: torch.Tensor) -> float:
    """Peak signal-to-noise ratio of values in [0, 1], `-10 log10(mean squared error)`, in dB.

    The error is averaged over all values first, frames and channels included. Infinite where both are equal, NaN where
    there is no value.
    """
    return -10 * F.mse_loss(other, original).log10().item() if original.numel() else float("nan")


def unnormalise(pixel_values: torch.Tensor, config: AUVMAEConfig) -> torch.Tensor:
    """Undo the processor's mean and std: `(..., C, H, W)` to pixels in [0, 1]."""
    mean, std = (pixel_values.new_tensor(values).view(-1, 1, 1) for values in (config.image_mean, config.image_std))
    return (pixel_values * std + mean).clamp_(0, 1)


def patchify(pixels: torch.Tensor, config: AUVMAEConfig) -> torch.Tensor:
    """(B, T, C, H, W) -> (B, L, tubelet * p * p, C): patches in the tokens' order, their values in the logits'."""
    return cut_patches(pixels, config.tubelet_size, config.patch_size).flatten(3).transpose(2, 3)


def unpatchify(patches: torch.Tensor, config: AUVMAEConfig) -> torch.Tensor:
    """(B, L, tubelet * p * p, C) -> (B, T, C, H, W), the inverse of `patchify`."""
    side, count = config.patch_size, config.image_size // config.patch_size
    grid = patches.unflatten(2, (-1, side, side)).unflatten(1, (-1, count, count))
    # (B, T', rows, columns, depth, p, p, C)
    return grid.permute(0, 1, 4, 7, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(1, 2)


def _to_uint8(pixels: torch.Tensor) -> np.ndarray:
    """(T, C, H, W) in [0, 1] -> (T, H, W, C) in [0, 255]."""
    return (255 * pixels).round().byte().permute(0, 2, 3, 1).numpy()
