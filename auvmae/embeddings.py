"""Tokens: which patches of a window enter, how they are cut out, and where they stand."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.videomae.modeling_videomae import VideoMAEPatchEmbeddings

from .configuration import AUVMAEConfig


def sinusoid_table(num_positions: int, width: int) -> torch.Tensor:
    """VideoMAE's fixed position table, float32 `(1, num_positions, width)`, without its Python double loop."""
    exponent = 2 * (torch.arange(width) // 2).double() / width
    table = torch.arange(num_positions, dtype=torch.float64)[:, None] / torch.pow(10000.0, exponent)
    table[:, 0::2] = table[:, 0::2].sin()
    table[:, 1::2] = table[:, 1::2].cos()
    return table.float()[None]


def tube_token_indices(bool_masked_pos: torch.Tensor, num_slots: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of the visible and of the hidden tokens of each clip, in time order.

    Args:
        bool_masked_pos: `(B, num_slots * P)`, True = hidden, a tube with the same number of hidden patches per row.
        num_slots: Temporal slots, T'.

    Returns:
        Two `torch.LongTensor`, `(B, T' * visible patches)` and `(B, T' * hidden patches)`.

    Raises:
        ValueError: The mask is no tube or rows differ in their number of hidden patches.
    """
    spatial = bool_masked_pos.view(bool_masked_pos.shape[0], num_slots, -1)
    if not torch.equal(spatial, spatial[:, :1].expand_as(spatial)):
        raise ValueError("bool_masked_pos is not a tube mask: its spatial mask differs between temporal slots.")
    hidden_counts = spatial[:, 0].sum(dim=1)
    num_hidden = int(hidden_counts[0])
    if not bool((hidden_counts == num_hidden).all()):
        raise ValueError(
            f"bool_masked_pos must hide the same number of patches in every clip, found {hidden_counts.tolist()} "
            "hidden patches per slot."
        )
    patches = spatial.shape[2]
    order = spatial[:, 0].to(torch.uint8).argsort(dim=1, stable=True)
    starts = torch.arange(num_slots, device=order.device)[None, :, None] * patches
    visible, hidden = order[:, None].add(starts).split([patches - num_hidden, num_hidden], dim=2)
    return visible.flatten(1), hidden.flatten(1)


def cut_patches(pixel_values: torch.Tensor, tubelet_size: int, patch_size: int) -> torch.Tensor:
    """Cut `pixel_values` (B, T, C, H, W) into patches (B, L, C, tubelet, p, p), in the order of their tokens."""
    slots = pixel_values.unflatten(1, (-1, tubelet_size)).unflatten(5, (-1, patch_size)).unflatten(4, (-1, patch_size))
    return slots.permute(0, 1, 4, 6, 3, 2, 5, 7).flatten(1, 3)


def gather_patches(
    pixel_values: torch.Tensor, indices: torch.Tensor, tubelet_size: int, patch_size: int
) -> torch.Tensor:
    """Cut only the patches at `indices` (B, K) out of `pixel_values` (B, T, C, H, W) -> (B, K, C, tubelet, p, p).

    A patch is so many pieces of `patch_size` pixels, which lie next to each other in memory: they are looked up as
    words are in an embedding, several times as fast as indexing the pixels by their places.
    """
    batch_size, num_frames, channels, height, width = pixel_values.shape
    pieces = width // patch_size  # in a line of pixels
    numbers = torch.arange(pixel_values.numel() // patch_size, device=pixel_values.device).view(
        batch_size, num_frames // tubelet_size, tubelet_size, channels, height // patch_size, patch_size, pieces
    )
    # of the first patch of each clip and of all patches, from the first of their pieces on
    corner = numbers[0, 0, :, :, 0, :, 0].movedim(1, 0)
    starts = numbers[:, :, 0, 0, :, 0].flatten(1).gather(1, indices)
    return F.embedding(starts[..., None, None, None] + corner, pixel_values.reshape(-1, patch_size))


class AUVMAEPatchEmbeddings(VideoMAEPatchEmbeddings):
    """VideoMAE's tubelet embedding, with its weights, as one product, of the patches that are wanted alone.

    A convolution whose kernels do not overlap is one product, in half of its time on a CPU. It is a module of its own
    since FSDP gathers the weights of the input embeddings for their own `forward` alone.
    """

    def forward(self, pixel_values: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
        """(B, num_frames, C, H, W), (B, K) -> (B, K, D)."""
        sizes = self.tubelet_size, self.patch_size[0]
        if indices is None:
            patches = cut_patches(pixel_values, *sizes)
        else:
            patches = gather_patches(pixel_values, indices, *sizes)
        return F.linear(patches.flatten(2), self.projection.weight.flatten(1), self.projection.bias)


class AUVMAEEmbeddings(nn.Module):
    """Tubelet and position embedding of one window; hidden patches are never embedded.

    Weights carry VideoMAE's names. `indices` (B, K) are the visible tokens of a window, all of them if None.
    """

    position_embeddings: torch.Tensor

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__()
        self.patch_embeddings = AUVMAEPatchEmbeddings(config)
        table = sinusoid_table(self.patch_embeddings.num_patches, config.hidden_size)
        self.register_buffer("position_embeddings", table, persistent=False)

    def forward(self, pixel_values: torch.Tensor, indices: torch.Tensor | None) -> torch.Tensor:
        """(B, num_frames, C, H, W), (B, K) -> (B, K, D)."""
        embeddings = self.patch_embeddings(pixel_values, indices)
        positions = self.position_embeddings
        if indices is not None:
            positions = F.embedding(indices, positions[0])
        return embeddings + positions.to(embeddings.dtype)
