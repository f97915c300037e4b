"""Compute reference losses of trivial predictions.

They help to judge whether a pre-training loss is normal.
"""

import torch
from torch.nn import functional as F

from ..modeling_auvmae import AUVMAEForVideoPretraining


@torch.no_grad()
def reference_losses(
    model: AUVMAEForVideoPretraining, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor
) -> dict[str, float]:
    """Compute the pre-training loss of two predictions that need no learning.

    Both use the hidden patches and the scale of the model's targets.

    Args:
        model: Model that defines the targets. Its weights are not used.
        pixel_values: `torch.FloatTensor` of shape `(B, T, C, H, W)`.
        bool_masked_pos: `torch.BoolTensor` of shape `(B, L)`, True = hidden. The tube mask must leave a patch visible.

    Returns:
        Two losses. `loss_patch_mean` predicts each hidden patch by its own mean per channel, so it is the variance of
        the targets (nearly 1 with `norm_pix_loss`). `loss_nearest_patch` predicts the nearest visible patch of the same
        slot, normalised like the targets. It is about twice as high if neighbouring patches are unrelated.
    """
    visible, hidden = model.videomae.split_tokens(pixel_values, bool_masked_pos)
    targets = model.patch_targets(pixel_values, hidden)
    centred = targets.unflatten(-1, (-1, model.config.num_channels))
    centred = centred - centred.mean(dim=-2, keepdim=True)
    copied = model.patch_targets(pixel_values, nearest_visible(model, visible, hidden))
    return {
        "loss_patch_mean": centred.square().mean().item(),
        "loss_nearest_patch": F.mse_loss(copied, targets).item(),
    }


def nearest_visible(model: AUVMAEForVideoPretraining, visible: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Find the nearest visible token in the slot of each hidden token.

    Distances are measured on the patch grid. Of several nearest tokens, the first is taken.

    Args:
        model: Model whose configuration defines the grid.
        visible: Indices of the visible tokens of a window `(B, T' * V)`, in time order.
        hidden: Indices of the hidden tokens `(B, T' * H)`, in time order.

    Returns:
        Token indices `(B, T' * H)`.
    """
    config = model.config
    slots = config.num_frames // config.tubelet_size
    columns = config.image_size // config.patch_size
    first_visible, first_hidden = (tokens[:, : tokens.shape[1] // slots] for tokens in (visible, hidden))
    places = [torch.stack([tokens // columns, tokens % columns], dim=-1) for tokens in (first_hidden, first_visible)]
    distances = (places[0][:, :, None] - places[1][:, None]).square().sum(-1)
    nearest = first_visible.gather(1, distances.argmin(dim=2))
    starts = torch.arange(slots, device=nearest.device)[:, None] * config.patches_per_slot
    return (nearest[:, None] + starts).flatten(1)
