"""Build the smallest complete models, with two 10-pixel patches a side and windows of four frames."""

from typing import Any

import torch
from torch import nn
from transformers import VideoMAEConfig

from auvmae.configuration import AUVMAEConfig
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor

SIZES: dict[str, Any] = {
    "image_size": 20,
    "patch_size": 10,
    "num_frames": 4,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 16,
}
AUS = {0: "AU1", 1: "AU2", 2: "AU12"}


def tiny_config(**fields: Any) -> AUVMAEConfig:
    """Build our configuration for clips of eight frames."""
    names = {"id2label": AUS, "label2id": {name: index for index, name in AUS.items()}}
    return AUVMAEConfig(**(SIZES | names | {"clip_length": 8} | fields))


def stock_config(**fields: Any) -> VideoMAEConfig:
    """Build VideoMAE's configuration of the same size."""
    return VideoMAEConfig(**(SIZES | fields))


def save_checkpoint(folder: Any, crop: dict[str, Any] | None = None, **fields: Any) -> Any:
    """Save a checkpoint with tuned thresholds and the crop recipe of its training data."""
    torch.manual_seed(0)
    randomise(AUVMAEForFrameAUClassification(tiny_config(thresholds=[0.4, 0.5, 0.6], **fields))).save_pretrained(folder)
    AUVMAEImageProcessor(size=20, crop=crop).save_pretrained(folder)
    return folder


def randomise(model: nn.Module, scale: float = 0.1) -> nn.Module:
    """Add noise to every parameter, because lost weights go unnoticed where they are zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return model.eval()


def tiny_clip(batch_size: int = 2, num_frames: int = 4) -> torch.Tensor:
    """Draw random normalised frames (B, T, 3, 20, 20)."""
    return torch.randn(batch_size, num_frames, 3, 20, 20)


def tiny_mask(batch_size: int = 2, num_frames: int = 4, mask_ratio: float = 0.5) -> torch.Tensor:
    """Draw a tube mask for `tiny_clip`."""
    return tube_mask(batch_size, num_frames // 2, 4, mask_ratio)
