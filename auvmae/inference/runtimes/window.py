"""Hold the computation that is exported, from the tensors of a window to logits."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import torch
from torch import nn

from ...head import FrameAUHead, interpolate_frames
from ...masking import tube_mask
from ...modeling_auvmae import AUVMAEForFrameAUClassification


class WindowModel(nn.Module):
    """Run the model on windows, from tensors to logits.

    Inputs are not checked, and a mask must hide a fixed number of patches.

    Args:
        model: Model, whose `clip_length` is that of a window.
        mask_ratio: Share of the patches that the level hides.
    """

    def __init__(self, model: AUVMAEForFrameAUClassification, mask_ratio: float) -> None:
        super().__init__()
        self.model, self.mask_ratio = model, mask_ratio
        self.num_slots = model.config.num_frames // model.config.tubelet_size
        self.eval()

    @property
    def outputs(self) -> dict[str, FrameAUHead]:
        """Return the heads by the names of their outputs."""
        heads = {"logits": self.model.head, "intensity_logits": self.model.intensity_head}
        return {name: head for name, head in heads.items() if head is not None}

    def forward(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return the logits of a batch of windows, of one or two heads.

        The shapes are (B, num_frames, C, H, W), (B, L) True = hidden -> (B, clip_length, N).
        """
        visible = None if bool_masked_pos is None else self.visible_tokens(bool_masked_pos)
        tokens = self.model.videomae(pixel_values, visible_tokens=visible).last_hidden_state
        # the first slot has the smallest indices, which are its positions
        positions = None if visible is None else visible[:, : visible.shape[1] // self.num_slots]
        return tuple(
            interpolate_frames(head(tokens, self.num_slots, positions), self.model.config.clip_length)
            for head in self.outputs.values()
        )

    def visible_tokens(self, bool_masked_pos: torch.Tensor) -> torch.Tensor:
        """Compute `tube_token_indices` for a known number of hidden patches.

        The graph must not depend on values, and an operator cannot raise. If a slot hides another number of patches,
        the indices lie past the last token, and onnxruntime raises an error. The shapes are (B, L), True = hidden ->
        (B, K).
        """
        hidden = bool_masked_pos.reshape(bool_masked_pos.shape[0], self.num_slots, -1).long()
        patches = hidden.shape[2]
        num_hidden = int(self.mask_ratio * patches)
        order = (torch.arange(patches) + patches * hidden).sort(dim=2)[0][..., : patches - num_hidden]
        wrong = hidden.sum(dim=2, keepdim=True) != num_hidden
        starts = torch.arange(self.num_slots)[:, None] * patches
        return (order + starts + wrong * hidden[0].numel()).flatten(1)

    def random_inputs(self, batch_size: int) -> dict[str, torch.Tensor]:
        """Return noise, and masks if the level has any; the same at every call."""
        config, generator = self.model.config, torch.Generator().manual_seed(batch_size)
        shape = (batch_size, config.num_frames, config.num_channels, config.image_size, config.image_size)
        inputs = {"pixel_values": torch.randn(shape, generator=generator)}
        if self.mask_ratio:
            masks = tube_mask(batch_size, self.num_slots, config.patches_per_slot, self.mask_ratio, generator)
            inputs["bool_masked_pos"] = masks
        return inputs


@contextmanager
def silenced() -> Iterator[None]:
    """Hide what the converters of other packages say while they succeed."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
