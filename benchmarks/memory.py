"""Does one training step on one clip of 128 frames at video level, ViT-B, 224 pixels, fit a GPU of 11 GB.

    python benchmarks/memory.py

How: the real model, a real backward pass and AdamW run with PyTorch's MemTracker, which follows every storage from
allocation to release. All 128 frames would take minutes and gigabytes, so the table is of fake tensors: each operation
works out its results' shapes and storages, no number. Below it, one window of 16 frames is run with fake and with real
tensors; the two must agree.

The CPU's fused attention keeps for the backward pass what a GPU's does: queries, keys, values, output.
A GPU needs more than is tracked: the CUDA context and kernels, workspaces, fragmentation, and on several GPUs the
buckets of DDP, as large as the gradients (0.32 GiB). `ALLOWANCE` stands for them, generously. No GPU was at hand.
"""

from contextlib import nullcontext

import torch
from hardware import describe_machine
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from auvmae.configuration import AUVMAEConfig
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification

GIB = 2**30
ALLOWANCE = 1.5
"""GiB for what is not tracked; a CUDA context takes about 0.5."""
PARTS = ("Parameter", "Optstate", "Gradient", "Activation", "Temp")


def peak(windows: int, checkpointing: bool, mixed: bool = False, attention: str = "sdpa", fake: bool = True) -> dict:
    """GiB at the moment of a step when most is held, by part and in total.

    Args:
        windows: of 16 frames, in one clip.
        checkpointing: of gradients: activations inside a layer are computed again in the backward pass.
        mixed: 16-bit autocast over 32-bit weights; on a CPU it is bfloat16, as large as a GPU's float16.
        attention: "sdpa", fused: no token-by-token matrix is kept; "eager": the matrices are written out.
        fake: no number is computed.
    """
    config = AUVMAEConfig(clip_length=16 * windows, id2label={index: f"AU{index}" for index in range(8)})
    with FakeTensorMode() if fake else nullcontext():
        model = AUVMAEForFrameAUClassification._from_config(config, attn_implementation=attention).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        optimizer = torch.optim.AdamW(model.parameters(), foreach=True)  # as on a GPU
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # the states are there from the first step on
        optimizer.zero_grad()
        tracker = MemTracker()
        tracker.track_external(model, optimizer)
        with tracker:
            clip = torch.zeros(1, config.clip_length, 3, config.image_size, config.image_size)
            labels = torch.zeros(1, config.clip_length, len(config.au_names))
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = model(clip, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    return {getattr(part, "value", part): size / GIB for part, size in snapshot.items()}


def main() -> None:
    """Print the tables."""
    print(describe_machine())
    print(f"\n| one clip, 8 windows | {' | '.join(PARTS)} | peak (GiB) | with {ALLOWANCE} allowed | fits 11 GB |")
    print(f"|---|{'---:|' * (len(PARTS) + 2)}---|")
    fp32, mixed = {"checkpointing": True}, {"checkpointing": True, "mixed": True}
    settings = {
        "fp32, gradient checkpointing": fp32,
        "16 bit, gradient checkpointing": mixed,
        "fp32, gradient checkpointing, attention written out": {**fp32, "attention": "eager"},
        "16 bit, gradient checkpointing, attention written out": {**mixed, "attention": "eager"},
        "fp32, none": {"checkpointing": False},
        "16 bit, none": {"checkpointing": False, "mixed": True},
    }
    for name, setting in settings.items():
        parts = peak(8, **setting)
        total = parts["Total"] + ALLOWANCE
        cells = [*(f"{parts[part]:.2f}" for part in PARTS), f"{parts['Total']:.2f}", f"{total:.2f}"]
        print(f"| {name} | {' | '.join(cells)} | {'yes' if total * GIB < 11e9 else 'no'} |", flush=True)
    print("\n| 1 window, fp32 | fake tensors: peak (GiB) | real tensors: peak (GiB) |\n|---|---:|---:|")
    for name, checkpointing in (("gradient checkpointing", True), ("none", False)):
        fake, real = (peak(1, checkpointing, fake=fake)["Total"] for fake in (True, False))
        print(f"| {name} | {fake:.3f} | {real:.3f} |", flush=True)


if __name__ == "__main__":
    main()
