"""Count the multiply-accumulates per labelled frame at each level.

The model is ViT-B at 224 pixels. The counts are compared with published figures.

    python benchmarks/flops.py

PyTorch's counter counts every matrix product and convolution of a forward pass, including attention and head; a closed
formula checks it. Not counted: normalisations, GELU, softmax, biases (below 1 %), video decoding.

A multiply-accumulate is one multiplication and one addition, two FLOPs for PyTorch's counter. The literature reports
multiply-accumulates as "FLOPs": 180 G for VideoMAE's ViT-B on 16 frames, hence the paper's 2.81 G = 2 x 180 / 128.
"""

from dataclasses import asdict, dataclass

import torch
from hardware import describe_machine
from torch.utils.flop_counter import FlopCounterMode

from auvmae.configuration import LEVELS, AUVMAEConfig
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification

NUM_LABELS = 8
"""Number of AUs in DISFA; the head is below 0.01 % of the count."""


@dataclass
class Setting:
    """Describe one row by the input level and the frames per window."""

    sampling_rate: int
    mask_ratio: float
    num_frames: int = 16

    def config(self) -> AUVMAEConfig:
        """Configure ViT-B for a clip of one window, since windows are independent."""
        names = {index: f"AU{index}" for index in range(NUM_LABELS)}
        return AUVMAEConfig(clip_length=self.num_frames * self.sampling_rate, id2label=names, **asdict(self))


def counted_macs(config: AUVMAEConfig) -> float:
    """Count the multiply-accumulates of one forward pass on one clip with PyTorch."""
    # the meta device computes nothing; with a mask, the masked patches must be known, which takes a real pass
    with torch.device("cpu" if config.mask_ratio else "meta"), torch.no_grad():
        # the counter has no formula for the CPU's fused attention; eager attention has the same two products
        model = AUVMAEForFrameAUClassification._from_config(config, attn_implementation="eager").eval()
        clip = torch.zeros(1, config.num_frames, 3, config.image_size, config.image_size)
        slots = config.num_frames // config.tubelet_size
        mask = tube_mask(1, slots, config.patches_per_slot, config.mask_ratio) if config.mask_ratio else None
        with FlopCounterMode(display=False) as counter:
            model(clip, mask)
    return counter.get_total_flops() / 2


def closed_formula(config: AUVMAEConfig) -> float:
    """Compute the multiply-accumulates of one forward pass in closed form.

    Embedding L D 1536, per layer 4 L D^2 + 2 L D M (linear) and 2 L^2 D (attention), and the head.
    """
    slots, width = config.num_frames // config.tubelet_size, config.hidden_size
    hidden = int(config.mask_ratio * config.patches_per_slot)
    tokens = slots * (config.patches_per_slot - hidden)
    embedding = tokens * width * config.tubelet_size * 3 * config.patch_size**2
    head = slots * width * config.tubelet_size * NUM_LABELS
    return embedding + encoder_macs(config, tokens) + head


def encoder_macs(config: AUVMAEConfig, tokens: int) -> float:
    """Compute the part of `closed_formula` in the encoder's layers."""
    width = config.hidden_size
    layer = 4 * tokens * width**2 + 2 * tokens * width * config.intermediate_size + 2 * tokens**2 * width
    return config.num_hidden_layers * layer


def main() -> None:
    """Print the table."""
    print(describe_machine())
    print(
        "\n| level | frames in a window | tokens in a window | GMAC per labelled frame, counted | formula | published |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    settings = {name: Setting(*level) for name, level in LEVELS.items()}
    settings["frame, joint attention over the 32 frames of a clip"] = Setting(*LEVELS["frame"], num_frames=32)
    published = {"frame": "2.81 (paper, appendix, Table 4)"}
    for name, setting in settings.items():
        config = setting.config()
        hidden = int(config.mask_ratio * config.patches_per_slot)
        tokens = config.num_frames // config.tubelet_size * (config.patches_per_slot - hidden)
        counted, formula = (count(config) / config.clip_length / 1e9 for count in (counted_macs, closed_formula))
        cells = (name, config.num_frames, tokens, f"{counted:.3f}", f"{formula:.3f}", published.get(name, ""))
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    print("| ME-GraphAU, per image | 1 | | | | 8.57 (paper, appendix, Table 4) |")
    print(f"\n2 windows of 180 GMAC (VideoMAE's rounded figure) per 128 labelled frames: {2 * 180 / 128:.4f}")


if __name__ == "__main__":
    main()
