"""Embed the visible patches of a window, with their positions, as tokens."""

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from .configuration import AUVMAEConfig
from .stem import ConvolutionalStem


def sinusoid_table(num_positions: int, width: int) -> torch.Tensor:
    """Build VideoMAE's fixed position table, float32 `(1, num_positions, width)`.

    The computation is vectorised; VideoMAE's own uses a double Python loop.
    """
    exponent = 2 * (torch.arange(width) // 2).double() / width
    table = torch.arange(num_positions, dtype=torch.float64)[:, None] / torch.pow(10000.0, exponent)
    table[:, 0::2] = table[:, 0::2].sin()
    table[:, 1::2] = table[:, 1::2].cos()
    return table.float()[None]


def tube_token_indices(bool_masked_pos: torch.Tensor, num_slots: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of the visible and of the hidden tokens, in time order.

    Args:
        bool_masked_pos: Tube mask `(B, num_slots * P)`, True = hidden, with the same number of hidden patches per row.
        num_slots: Temporal slots, T'.

    Returns:
        Two `torch.LongTensor`, `(B, T' * visible patches)` and `(B, T' * hidden patches)`.

    Raises:
        ValueError: The mask is not a tube mask, or its rows differ in their number of hidden patches.
        RuntimeError: The same in a compiled or exported model, or a mask there hides no patch, or all.
    """
    spatial = bool_masked_pos.view(bool_masked_pos.shape[0], num_slots, -1)
    patches = spatial.shape[2]
    num_hidden = _count_hidden(spatial)
    order = spatial[:, 0].to(torch.uint8).argsort(dim=1, stable=True)
    starts = torch.arange(num_slots, device=order.device)[None, :, None] * patches
    tokens = order[:, None] + starts
    num_visible = patches - num_hidden
    return tokens.narrow(2, 0, num_visible).flatten(1), tokens.narrow(2, num_visible, num_hidden).flatten(1)


def _count_hidden(spatial: torch.Tensor) -> int:
    """Check a mask (B, slots, P), and count the hidden patches of a slot.

    This takes one synchronisation.
    """
    counts = spatial[:, 0].sum(dim=1)
    tube, equal = (spatial == spatial[:, :1]).all(), (counts == counts[0]).all()
    if not torch.compiler.is_compiling():
        is_tube, is_equal, num_hidden = torch.stack([tube, equal, counts[0]]).tolist()
        if not is_tube:
            raise ValueError("bool_masked_pos is not a tube mask: its spatial mask differs between temporal slots.")
        if not is_equal:
            raise ValueError(
                f"bool_masked_pos must hide the same number of patches in every clip, found {counts.tolist()} "
                "hidden patches per slot."
            )
        return int(num_hidden)
    torch._assert_async(tube, "bool_masked_pos is not a tube mask.")
    torch._assert_async(equal, "bool_masked_pos must hide the same number of patches in every clip.")
    if torch.compiler.is_exporting():
        num_hidden = counts[0].item()
    else:
        # without it, torch.compile would break the graph here
        with torch._dynamo.patch_dynamo_config(capture_scalar_outputs=True):
            num_hidden = counts[0].item()
    # The number is unknown to the compiler, and attention needs more than one token.
    _, num_slots, patches = spatial.shape
    for count in (num_hidden, patches - num_hidden):
        torch._check(count >= 1)
        torch._check(num_slots * count > 1)
    return cast(int, num_hidden)  # int() would ask the compiler for the number


def cut_patches(pixel_values: torch.Tensor, tubelet_size: int, patch_size: int) -> torch.Tensor:
    """Cut (B, T, C, H, W) into patches (B, L, C, tubelet, p, p), in token order."""
    slots = pixel_values.unflatten(1, (-1, tubelet_size)).unflatten(5, (-1, patch_size)).unflatten(4, (-1, patch_size))
    return slots.permute(0, 1, 4, 6, 3, 2, 5, 7).flatten(1, 3)


def gather_patches(
    pixel_values: torch.Tensor, indices: torch.Tensor, tubelet_size: int, patch_size: int
) -> torch.Tensor:
    """Cut the patches at `indices` only.

    A patch consists of runs of `patch_size` pixels that are contiguous in memory. Looking up whole runs with
    `F.embedding` is several times as fast as indexing single pixels.

    Args:
        pixel_values: `(B, T, C, H, W)`.
        indices: Token indices `(B, K)`.
        tubelet_size: Depth of a patch in frames.
        patch_size: Side of a patch, p, in pixels.

    Returns:
        `(B, K, C, tubelet_size, p, p)`.
    """
    batch_size, num_frames, channels, height, width = pixel_values.shape
    runs_per_line = width // patch_size
    runs = torch.arange(pixel_values.numel() // patch_size, device=pixel_values.device).view(
        batch_size, num_frames // tubelet_size, tubelet_size, channels, height // patch_size, patch_size, runs_per_line
    )
    # A patch's runs have the same offsets from its first run everywhere; take them from the first patch.
    offsets = runs[0, 0, :, :, 0, :, 0].movedim(1, 0)
    starts = runs[:, :, 0, 0, :, 0].flatten(1).gather(1, indices)
    return F.embedding(starts[..., None, None, None] + offsets, pixel_values.reshape(-1, patch_size))


class PatchProjection(nn.Conv3d):
    """Map patches to tokens, as a convolution whose kernel is as large as its input.

    Such a convolution is one matrix product, which takes half of the time on a CPU. Since it stays a `Conv3d` that is
    called, hooks, adapters and quantisers find it.
    """

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Map (N, C, tubelet, p, p) to (N, D, 1, 1, 1)."""
        return F.linear(patches.flatten(1), self.weight.flatten(1), self.bias)[..., None, None, None]


class AUVMAEPatchEmbeddings(nn.Module):
    """Embed tubelets with VideoMAE's weights, but only those at the given indices.

    This is a separate module because FSDP gathers the weights of the input embeddings only inside their own `forward`.
    """

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__()
        self.patch_size, self.tubelet_size = config.patch_size, config.tubelet_size
        kernel = config.tubelet_size, config.patch_size, config.patch_size
        self.projection = PatchProjection(config.num_channels, config.hidden_size, kernel, stride=kernel)

    def forward(self, pixel_values: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
        """Embed (B, num_frames, C, H, W) at `indices` (B, K) as (B, K, D)."""
        sizes = self.tubelet_size, self.patch_size
        if indices is None:
            patches = cut_patches(pixel_values, *sizes)
        else:
            patches = gather_patches(pixel_values, indices, *sizes)
        tokens = self.projection(patches.flatten(0, 1))
        return tokens.view(*patches.shape[:2], -1)


class AUVMAEEmbeddings(nn.Module):
    """Embed the visible tubelets of one window and add their positions.

    The weights have VideoMAE's names. `indices` (B, K) are the visible tokens of a window. If None, all tokens are
    visible.
    """

    position_embeddings: torch.Tensor

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__()
        self.patch_embeddings = ConvolutionalStem(config) if config.stem_channels else AUVMAEPatchEmbeddings(config)
        table = sinusoid_table(config.tokens_per_window, config.hidden_size)
        self.register_buffer("position_embeddings", table, persistent=config.stored_positions)

    def forward(self, pixel_values: torch.Tensor, indices: torch.Tensor | None) -> torch.Tensor:
        """Embed (B, num_frames, C, H, W) at `indices` (B, K) as (B, K, D)."""
        embeddings = self.patch_embeddings(pixel_values, indices)
        positions = self.position_embeddings
        if indices is not None:
            positions = F.embedding(indices, positions[0])
        return embeddings + positions.to(embeddings.dtype)
