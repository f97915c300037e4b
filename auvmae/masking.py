"""What the encoder does not see (the tube mask of Sec. 3.2), and what of it the decoder does not reconstruct."""

import torch


def tube_mask(
    batch_size: int,
    num_slots: int,
    patches_per_slot: int,
    mask_ratio: float,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw one tube mask per clip (Sec. 3.2: ratio 0.9 in pre-training; Sec. 4.1: 0.5 at patch level).

    Every row hides the same number of patches, `int(mask_ratio * patches_per_slot)` in each slot, as VideoMAE does.

    Args:
        batch_size: Clips, B.
        num_slots: Temporal slots (tubelets) of a clip, T'.
        patches_per_slot: Patches of one slot, P.
        mask_ratio: Share of patches to hide, in [0, 1).
        generator: Source of randomness; torch's default one if None.

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
    """The hidden tokens that the decoder reconstructs under VideoMAE V2's dual masking: evenly spread, one on per slot.

    A place that is left out in one slot is reconstructed in another, so that every hidden place still counts.

    Args:
        hidden: `(B, num_slots * H)`, indices of the hidden tokens, in time order, H in each slot.
        num_slots: Temporal slots (tubelets), T'.
        decoder_mask_ratio: Share of them to leave out, in [0, 1).

    Returns:
        `torch.LongTensor` of shape `(B, num_slots * K)`, in time order, `K = H - int(decoder_mask_ratio * H)`.

    Example:
        >>> running_cells(torch.tensor([[0, 1, 2, 3, 10, 11, 12, 13]]), num_slots=2, decoder_mask_ratio=0.5)
        tensor([[ 0,  2, 11, 13]])
    """
    slots = hidden.view(hidden.shape[0], num_slots, -1)
    places = slots.shape[2]
    kept = places - int(decoder_mask_ratio * places)
    spread = torch.arange(kept, device=hidden.device) * places // kept
    shifted = (spread + torch.arange(num_slots, device=hidden.device)[:, None]) % places
    return slots.gather(2, shifted.sort(dim=1)[0].expand(len(hidden), -1, -1)).flatten(1)
