"""Is my loss normal? What answers that need no learning would score on the same masked patches."""

import torch
from torch.nn import functional as F

from ..modeling_auvmae import AUVMAEForVideoPretraining


@torch.no_grad()
def reference_losses(
    model: AUVMAEForVideoPretraining, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor
) -> dict[str, float]:
    """The pre-training loss of two trivial answers, in the targets' own scale.

    Args:
        model: Gives the targets; its weights are not used.
        pixel_values: `torch.FloatTensor` of shape `(B, T, C, H, W)`.
        bool_masked_pos: `torch.BoolTensor` of shape `(B, L)`, True = hidden, a tube that leaves a patch visible.

    Returns:
        `loss_patch_mean`: each hidden patch is answered with its own mean per channel: the variance of the targets,
        nearly 1 with `norm_pix_loss`. `loss_nearest_patch`: with the nearest visible patch of its slot, normalised as
        the targets are; about twice as much where neighbours have nothing in common.
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
    """For each hidden token the visible one of its slot that is nearest on the grid, the first of equals.

    Args:
        model: Knows the grid.
        visible: `(B, T' * V)`, tokens of a window in time order.
        hidden: `(B, T' * H)`.

    Returns:
        `(B, T' * H)` tokens.
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
