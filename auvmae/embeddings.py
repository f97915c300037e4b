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


def gather_tokens(tokens: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Pick `indices` (B, K) of `tokens` (B or 1, L, D) -> (B, K, D)."""
    tokens = tokens.expand(indices.shape[0], -1, -1)
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[2]))


def gather_patches(
    pixel_values: torch.Tensor, indices: torch.Tensor, tubelet_size: int, patch_size: int
) -> torch.Tensor:
    """Cut only the patches at `indices` (B, K) out of `pixel_values` (B, T, C, H, W) -> (B, K, tubelet, C, p, p)."""
    batch_size, num_frames, channels, height, width = pixel_values.shape
    rows, columns = height // patch_size, width // patch_size
    grid = pixel_values.view(
        batch_size, num_frames // tubelet_size, tubelet_size, channels, rows, patch_size, columns, patch_size
    ).permute(0, 1, 4, 6, 2, 3, 5, 7)
    batch = torch.arange(batch_size, device=indices.device)[:, None]
    slot, patch = indices // (rows * columns), indices % (rows * columns)
    return grid[batch, slot, patch // columns, patch % columns]


class AUVMAEEmbeddings(nn.Module):
    """Tubelet and position embedding of one window; hidden patches are never embedded.

    Weights carry VideoMAE's names. `indices` (B, K) are the visible tokens of a window, all of them if None.
    """

    position_embeddings: torch.Tensor

    def __init__(self, config: AUVMAEConfig) -> None:
        super().__init__()
        self.patch_embeddings = VideoMAEPatchEmbeddings(config)
        self.tubelet_size, self.patch_size = config.tubelet_size, config.patch_size
        table = sinusoid_table(self.patch_embeddings.num_patches, config.hidden_size)
        self.register_buffer("position_embeddings", table, persistent=False)

    def forward(self, pixel_values: torch.Tensor, indices: torch.Tensor | None) -> torch.Tensor:
        """(B, num_frames, C, H, W), (B, K) -> (B, K, D)."""
        if indices is None:
            embeddings = self.patch_embeddings(pixel_values)
            return embeddings + self.position_embeddings.to(embeddings.dtype)
        projection = self.patch_embeddings.projection
        patches = gather_patches(pixel_values, indices, self.tubelet_size, self.patch_size).flatten(2)
        # the convolution's kernel is (D, C, tubelet, p, p), the patches' order (tubelet, C, p, p)
        embeddings = F.linear(patches, projection.weight.transpose(1, 2).flatten(1), projection.bias)
        return embeddings + gather_tokens(self.position_embeddings, indices).to(embeddings.dtype)
