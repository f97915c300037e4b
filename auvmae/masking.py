"""Mask patches for the encoder (Sec. 3.2) and for the decoder.

The encoder's mask is a tube mask. Dual masking additionally skips a share of the hidden patches in the decoder.
"""

import torch


def tube_mask(
    batch_size: int,
    num_slots: int,
    patches_per_slot: int,
    mask_ratio: float,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw one tube mask per clip.

    The paper's ratios are 0.9 in pre-training (Sec. 3.2) and 0.5 at patch level (Sec. 4.1). As in VideoMAE, every row
    hides the same number of patches, `int(mask_ratio * patches_per_slot)` in each slot.

    Args:
        batch_size: Number of clips, B.
        num_slots: Temporal slots (tubelets) of a clip, T'.
        patches_per_slot: Patches in one slot, P.
        mask_ratio: Share of patches to hide, in [0, 1).
        generator: Random generator; torch's default generator if None.

    Returns:
        `torch.BoolTensor` of shape `(batch_size, num_slots * patches_per_slot)`, True = hidden.

    Raises:
        ValueError: `mask_ratio` lies outside [0, 1).

    Example:
        >>> mask = tube_mask(batch_size=2, num_slots=8, patches_per_slot=196, mask_ratio=0.9)
        >>> mask.shape, int(mask[0].sum())
        (torch.Size([2, 1568]), 1408)
    """
    if not 0 <= mask_ratio < 1:
        raise ValueError(f"mask_ratio must lie in [0, 1), found {mask_ratio}.")
    ranks = torch.rand(batch_size, patches_per_slot, generator=generator).argsort(dim=1)
    return (ranks < int(mask_ratio * patches_per_slot)).repeat(1, num_slots)


def running_cells(hidden: torch.Tensor, num_slots: int, decoder_mask_ratio: float) -> torch.Tensor:
    """Select the hidden tokens that the decoder reconstructs under dual masking.

    These are the running cells of VideoMAE V2. They are evenly spaced and shift by one position per slot. A position
    that one slot skips is therefore reconstructed in another, and every hidden position contributes to the loss.

    Args:
        hidden: Indices of the hidden tokens `(B, num_slots * H)`, in time order, H per slot.
        num_slots: Temporal slots (tubelets), T'.
        decoder_mask_ratio: Share of the hidden tokens to skip, in [0, 1).

    Returns:
        `torch.LongTensor` of shape `(B, num_slots * K)`, in time order, with `K = H - int(decoder_mask_ratio * H)`.

    Example:
        >>> running_cells(torch.tensor([[0, 1, 2, 3, 10, 11, 12, 13]]), num_slots=2, decoder_mask_ratio=0.5)
        tensor([[ 0,  2, 11, 13]])
    """
    slots = hidden.view(hidden.shape[0], num_slots, -1)
    num_hidden = slots.shape[2]
    kept = num_hidden - int(decoder_mask_ratio * num_hidden)
    spaced = torch.arange(kept, device=hidden.device) * num_hidden // kept
    shifted = (spaced + torch.arange(num_slots, device=hidden.device)[:, None]) % num_hidden
    return slots.gather(2, shifted.sort(dim=1)[0].expand(hidden.shape[0], -1, -1)).flatten(1)
