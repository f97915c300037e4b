"""Estimate whether a training step on one clip fits a GPU with 11 GB.

The clip has 128 frames at video level, the model is ViT-B at 224 pixels.

    python benchmarks/memory.py

The model, its backward pass and AdamW run with PyTorch's MemTracker, which tracks every storage from allocation to
release. Real tensors for 128 frames would take minutes and gigabytes, so the table uses fake tensors: each operation
computes the shapes and storages of its results, but no values. A second table runs one window of 16 frames with fake
and with real tensors; the two must agree.

The CPU's fused attention keeps the same tensors for the backward pass as a GPU's: queries, keys, values, output. A GPU
needs more memory than is tracked: the CUDA context and kernels, workspaces, fragmentation, and on several GPUs the
buckets of DDP, as large as the gradients (0.32 GiB). `ALLOWANCE` is a generous estimate of this. No GPU was measured.
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
"""GiB for untracked memory; a CUDA context takes about 0.5."""
PARTS = ("Parameter", "Optstate", "Gradient", "Activation", "Temp")


def peak(windows: int, checkpointing: bool, mixed: bool = False, attention: str = "sdpa", fake: bool = True) -> dict:
    """Measure the peak memory of a step in GiB, by part and in total.

    Args:
        windows: Number of windows of 16 frames in the clip.
        checkpointing: Use gradient checkpointing, which recomputes activations inside a layer in the backward pass.
        mixed: Use 16-bit autocast over 32-bit weights; on a CPU it is bfloat16, as large as a GPU's float16.
        attention: "sdpa" for fused attention, which stores no attention matrix, or "eager", which stores it.
        fake: Use fake tensors, which have no values.
    """
    config = AUVMAEConfig(clip_length=16 * windows, id2label={index: f"AU{index}" for index in range(8)})
    with FakeTensorMode() if fake else nullcontext():
        model = AUVMAEForFrameAUClassification._from_config(config, attn_implementation=attention).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        optimizer = torch.optim.AdamW(model.parameters(), foreach=True)  # as on a GPU
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # creates the optimizer states
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
    print(f"\n| one clip, 8 windows | {' | '.join(PARTS)} | peak (GiB) | with {ALLOWANCE} added | fits 11 GB |")
    print(f"|---|{'---:|' * (len(PARTS) + 2)}---|")
    fp32, mixed = {"checkpointing": True}, {"checkpointing": True, "mixed": True}
    settings = {
        "fp32, gradient checkpointing": fp32,
        "16 bit, gradient checkpointing": mixed,
        "fp32, gradient checkpointing, eager attention": {**fp32, "attention": "eager"},
        "16 bit, gradient checkpointing, eager attention": {**mixed, "attention": "eager"},
        "fp32, no checkpointing": {"checkpointing": False},
        "16 bit, no checkpointing": {"checkpointing": False, "mixed": True},
    }
    for name, setting in settings.items():
        parts = peak(8, **setting)
        total = parts["Total"] + ALLOWANCE
        cells = [*(f"{parts[part]:.2f}" for part in PARTS), f"{parts['Total']:.2f}", f"{total:.2f}"]
        print(f"| {name} | {' | '.join(cells)} | {'yes' if total * GIB < 11e9 else 'no'} |", flush=True)
    print("\n| 1 window, fp32 | fake tensors: peak (GiB) | real tensors: peak (GiB) |\n|---|---:|---:|")
    for name, checkpointing in (("gradient checkpointing", True), ("no checkpointing", False)):
        fake, real = (peak(1, checkpointing, fake=fake)["Total"] for fake in (True, False))
        print(f"| {name} | {fake:.3f} | {real:.3f} |", flush=True)


if __name__ == "__main__":
    main()
