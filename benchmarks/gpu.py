"""Measure training and prediction on a GPU.

    python benchmarks/gpu.py [--compile] [--peak 989] [--json gpu.json]

Every row is a task (pre-training, and fine-tuning and prediction at each level) with ViT-B on random clips of one
window, which already lie on the device: nothing is decoded or loaded. Training steps have 32-bit weights, autocast and
AdamW; prediction has weights in the data type. `--compile` adds the compiled models.

* FLOPs are those that PyTorch's counter finds in the matrix products and convolutions of a forward pass, in training
  also of the backward pass, with eager attention. What is computed again or fused does not count.
* The share of the peak is the model FLOPs utilisation (MFU) for the peak in TFLOP/s that `--peak` gives, e.g. that of
  the data sheet. Without it, the peak is the fastest matrix product on this device.
* Attention is PyTorch's choice (sdpa), or its flash kernel.
* Memory is the peak that PyTorch allocated on the GPU.

Without a GPU, the script runs tiny models on the CPU, to show that it works.
"""

import argparse
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hardware import describe_machine
from timing import seconds
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from auvmae import AUVMAEConfig, AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining
from auvmae.configuration import LEVELS
from auvmae.masking import tube_mask
from auvmae.system.files import save_json

SIZES: dict[str, dict[str, Any]] = {
    "base": {},
    "tiny": {
        **{"image_size": 32, "num_frames": 4, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"intermediate_size": 64, "decoder_hidden_size": 16, "decoder_intermediate_size": 32},
        **{"decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2},
    },
}
PRETRAINING_MASK = 0.9
NUM_LABELS = 12
SIDES = (1024, 2048, 4096, 8192)
"""Sides of the matrices whose product gives the peak; on the CPU, the first only."""

ATTENTIONS = {"sdpa": nullcontext, "flash": lambda: sdpa_kernel(SDPBackend.FLASH_ATTENTION)}


@dataclass(frozen=True)
class Task:
    """Describe what is measured.

    Args:
        name: Name in the table.
        config: Configuration; a clip is one window.
        trains: Whether a step trains the model.
    """

    name: str
    config: AUVMAEConfig
    trains: bool

    def build(self, attention: str = "sdpa") -> torch.nn.Module:
        """Build the model with random weights."""
        torch.manual_seed(0)
        kind = AUVMAEForVideoPretraining if self.name == "pre-training" else AUVMAEForFrameAUClassification
        return kind._from_config(self.config, attn_implementation=attention).train(self.trains)

    def inputs(self, clips: int, device: torch.device) -> dict[str, torch.Tensor]:
        """Generate clips, with masks and labels where the task needs them."""
        config = self.config
        found = {"pixel_values": torch.randn(clips, config.num_frames, 3, config.image_size, config.image_size)}
        if config.mask_ratio:
            slots = config.num_frames // config.tubelet_size
            found["bool_masked_pos"] = tube_mask(clips, slots, config.patches_per_slot, config.mask_ratio)
        if self.trains and self.name != "pre-training":
            found["labels"] = torch.randint(2, (clips, config.clip_length, NUM_LABELS))
        return {name: values.to(device) for name, values in found.items()}


def list_tasks(size: str) -> list[Task]:
    """List all tasks with models of a size."""
    names = {index: f"AU{index}" for index in range(NUM_LABELS)}
    fields = SIZES[size]
    frames = AUVMAEConfig(**fields).num_frames
    tasks = [Task("pre-training", AUVMAEConfig(**fields, clip_length=frames, mask_ratio=PRETRAINING_MASK), True)]
    for verb, trains in (("fine-tuning", True), ("prediction", False)):
        for level, (rate, ratio) in LEVELS.items():
            config = AUVMAEConfig(
                **fields, clip_length=frames * rate, sampling_rate=rate, mask_ratio=ratio, id2label=names
            )
            tasks.append(Task(f"{verb}, {level} level", config, trains))
    return tasks


def count_flops(task: Task, device: torch.device) -> int:
    """Count the FLOPs of a step with one clip."""
    model = task.build("eager").to(device)  # the counter knows no fused attention of a CPU
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(task.trains):
        output = model(**task.inputs(1, device))
        if task.trains:
            output.loss.backward()
    return counter.get_total_flops()


def median_seconds(call: Callable[[], Any], device: torch.device, rounds: int) -> float:
    """Return the median time of a call, after two that warm up."""

    def finish() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return statistics.median([seconds(finish) for _ in range(rounds + 2)][2:])


def matrix_peak(device: torch.device, dtype: torch.dtype, rounds: int) -> float:
    """Measure the TFLOP/s of the fastest matrix product."""
    rates = []
    for side in SIDES if device.type == "cuda" else SIDES[:1]:
        one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        rates.append(2 * side**3 / median_seconds(lambda one=one, other=other: one @ other, device, rounds) / 1e12)
    return max(rates)


def prepare(task: Task, device: torch.device, dtype: torch.dtype, clips: int, compiled: bool) -> Callable[[], Any]:
    """Return a function that runs a step."""
    model, inputs = task.build().to(device), task.inputs(clips, device)
    if not task.trains:
        model, inputs["pixel_values"] = model.to(dtype), inputs["pixel_values"].to(dtype)
    run = torch.compile(model, fullgraph=True) if compiled else model
    if not task.trains:
        return torch.inference_mode()(lambda: run(**inputs))
    optimizer = torch.optim.AdamW(model.parameters(), fused=device.type == "cuda")

    def train() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = run(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return train


def measure(task: Task, attention: str, compiled: bool, flops: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a row of the table, given the FLOPs of a step with one clip.

    What does not fit into the memory of the GPU has no figures.
    """
    device, row = options.device, {"task": task.name, "attention": attention, "compiled": compiled}
    context: AbstractContextManager[Any] = ATTENTIONS[attention]()
    try:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        with context:
            step = prepare(task, device, getattr(torch, options.dtype), options.clips, compiled)
            time_of_step = median_seconds(step, device, options.rounds)
    except torch.OutOfMemoryError:
        return row
    rate = options.clips / time_of_step
    tflops = rate * flops / 1e12
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    return row | {
        "clips_per_second": rate,
        "frames_per_second": rate * task.config.clip_length,
        "tflops": tflops,
        "share_of_peak": tflops / options.peak,
        "memory_gib": memory,
    }


def to_line(row: dict[str, Any]) -> str:
    """Format a row of the table."""
    cells = [row["task"], row["attention"], "yes" if row["compiled"] else "no"]
    if "tflops" not in row:
        cells += ["out of memory", *["-"] * 4]
    else:
        memory = "-" if row["memory_gib"] is None else f"{row['memory_gib']:.2f}"
        cells += [f"{row['clips_per_second']:.1f}", f"{row['frames_per_second']:.0f}", f"{row['tflops']:.3g}"]
        cells += [f"{row['share_of_peak']:.1%}", memory]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Parse the arguments, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, help="device (default: the GPU if there is one)")
    parser.add_argument("--size", choices=SIZES, help="model (default: base, i.e. ViT-B, on a GPU; tiny on a CPU)")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--clips", type=int, default=32, help="clips per step (default: 32)")
    parser.add_argument("--rounds", type=int, default=10, help="steps that are timed (default: 10)")
    parser.add_argument("--compile", action="store_true", help="also measure compiled models")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the device (default: that of a matrix product)")
    parser.add_argument("--json", type=Path, help="file to save all figures in")
    options = parser.parse_args()
    options.device = options.device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = options.device.type == "cuda"
    size = options.size or ("base" if on_gpu else "tiny")
    machine = describe_machine() + (f", {torch.cuda.get_device_name(options.device)}" if on_gpu else ", no GPU")
    source = "given" if options.peak else "of a matrix product"
    options.peak = options.peak or matrix_peak(options.device, getattr(torch, options.dtype), options.rounds)
    print(f"{machine}\n\nmodel {size}, {options.dtype}, {options.clips} clips")
    print(f"peak {source}: {options.peak:.3g} TFLOP/s\n")
    print("| task | attention | compiled | clips/s | labelled frames/s | TFLOP/s | share of the peak | peak GiB |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    settings = [
        (task, attention, compiled, flops)
        for task in list_tasks(size)
        for flops in [count_flops(task, options.device)]
        for attention in ATTENTIONS
        for compiled in ((False, True) if options.compile else (False,))
    ]
    rows = []
    for setting in tqdm(settings, leave=False):
        rows.append(measure(*setting, options))
        tqdm.write(to_line(rows[-1]))
    if options.json:
        save_json(
            {"machine": machine, "size": size, "dtype": options.dtype, "peak_tflops": options.peak, "rows": rows},
            options.json,
        )


if __name__ == "__main__":
    main()
