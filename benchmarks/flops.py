"""Multiply-accumulates per labelled frame of our model at each level, ViT-B, 224 pixels, beside the published figures.

    python benchmarks/flops.py

Counted: every matrix product and convolution of a forward pass, attention included, head included, by PyTorch's own
counter; beside it the closed formula. Not counted: normalisations, GELU, softmax, biases (below 1 %), video decoding.

A multiply-accumulate is one multiplication and one addition: two FLOPs by PyTorch's counter. The literature prints
multiply-accumulates as "FLOPs": VideoMAE's 180 G for 16 frames of ViT-B, so too the paper's 2.81 G = 2 x 180 / 128.
"""

from dataclasses import asdict, dataclass

import torch
from hardware import describe_machine
from torch.utils.flop_counter import FlopCounterMode

from auvmae.configuration import LEVELS, AUVMAEConfig
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification

NUM_LABELS = 8
"""DISFA's; the head is below 0.01 % of the count."""


@dataclass
class Setting:
    """One row: how frames enter, and how many the encoder sees at once."""

    sampling_rate: int
    mask_ratio: float
    num_frames: int = 16

    def config(self) -> AUVMAEConfig:
        """ViT-B on the shortest clip: one window, since windows never see each other."""
        names = {index: f"AU{index}" for index in range(NUM_LABELS)}
        return AUVMAEConfig(clip_length=self.num_frames * self.sampling_rate, id2label=names, **asdict(self))


def counted_macs(config: AUVMAEConfig) -> float:
    """Multiply-accumulates of one forward pass of the model on one clip, by PyTorch's counter."""
    # nothing is computed on the meta device; which patches a mask hides must be known, so that takes a real pass
    with torch.device("cpu" if config.mask_ratio else "meta"), torch.no_grad():
        # the counter knows no formula for the CPU's fused attention; written out it is the same two products
        model = AUVMAEForFrameAUClassification._from_config(config, attn_implementation="eager").eval()
        clip = torch.zeros(1, config.num_frames, 3, config.image_size, config.image_size)
        slots = config.num_frames // config.tubelet_size
        mask = tube_mask(1, slots, config.patches_per_slot, config.mask_ratio) if config.mask_ratio else None
        with FlopCounterMode(display=False) as counter:
            model(clip, mask)
    return counter.get_total_flops() / 2


def closed_formula(config: AUVMAEConfig) -> float:
    """The same by hand: embedding L D 1536, per layer 4 L D^2 + 2 L D M (linear) and 2 L^2 D (attention), head."""
    slots, width = config.num_frames // config.tubelet_size, config.hidden_size
    hidden = int(config.mask_ratio * config.patches_per_slot)
    tokens = slots * (config.patches_per_slot - hidden)
    embedding = tokens * width * config.tubelet_size * 3 * config.patch_size**2
    head = slots * width * config.tubelet_size * NUM_LABELS
    return embedding + encoder_macs(config, tokens) + head


def encoder_macs(config: AUVMAEConfig, tokens: int) -> float:
    """The share of the encoder's layers in `closed_formula`."""
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
    print(f"\n2 windows of 180 GMAC, VideoMAE's rounded figure, over 128 labelled frames: {2 * 180 / 128:.4f}")


if __name__ == "__main__":
    main()
