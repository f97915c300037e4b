"""Compare a pre-training step with stock VideoMAE on the same weights.

ViT-B on 16 frames with mask ratio 0.9.

    python benchmarks/pretrain.py [FOLDER_OF_VIDEOS]

A step is the forward and backward pass of one clip, in a process that keeps freed memory like run_pretrain.py. Our
variants run with `fast_linear`, as in run_pretrain.py; it has an effect only on AMD processors in fp32. "ours, MKL"
runs without it. Rounds alternate between the variants, back and forth, in fp32 and in bf16 autocast. Times are medians
over the rounds. The ratio to stock is the median of the rounds' ratios, which is robust to a machine that slows down
for a while. Hooks time the parts in the same rounds. "rest" is the rest of the forward pass: targets, loss and, for
stock, selecting the visible tokens after the embedding. Peak memory is that of a process with this step only. With a
folder, the fraction of time that `run_pretrain.py` with two workers waits for data is measured, too. No GPU was
measured.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hardware import describe_machine
from torch import nn
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from auvmae.configuration import AUVMAEConfig
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining
from auvmae.system.hardware import cpu_has_bfloat16, keep_freed_memory
from auvmae.training.onednn_linear import fast_linear

RECIPE = Path(__file__).parents[1] / "recipes" / "pretrain_face_videos.yaml"
ROUNDS = 21
PARTS = ("embedding", "encoder", "decoder", "rest", "backward")
VARIANTS = {"stock": None, "ours": {}, "ours, MKL": {}, "dual masking": {"decoder_mask_ratio": 0.5}}
WITHOUT_FAST_LINEAR = {"stock", "ours, MKL"}
BOUNDS = {torch.float32: {"ours": "0.90"}, torch.bfloat16: {"ours": "0.80"}}


def build(variant: str) -> nn.Module:
    """Build ViT-B with random weights, in training mode."""
    torch.manual_seed(0)
    fields = VARIANTS[variant]
    model = (
        VideoMAEForPreTraining(VideoMAEConfig())
        if fields is None
        else AUVMAEForVideoPretraining(AUVMAEConfig(**fields))
    )
    return model.train()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Generate a clip and its mask."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 16, 3, 224, 224, generator=generator), tube_mask(1, 8, 196, 0.9, generator)


def autocast(dtype: torch.dtype) -> AbstractContextManager[None]:
    """Enable autocast for the forward pass, unless the dtype is float32."""
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)


def products(variant: str, model: nn.Module) -> AbstractContextManager[Any]:
    """Choose how the linear layers of a variant are computed."""
    return nullcontext() if variant in WITHOUT_FAST_LINEAR else fast_linear(model, torch.device("cpu"))


class Timer:
    """Time the parts of each step of a variant."""

    def __init__(self, variant: str) -> None:
        self.variant, self.model = variant, build(variant)
        model = self.model
        self.steps: list[dict[str, float]] = []
        self._started: dict[str, float] = {}
        parts = {"embedding": model.videomae.embeddings, "encoder": model.videomae.encoder, "decoder": model.decoder}
        for name, module in parts.items():
            module.register_forward_pre_hook(partial(self._begin, name))
            module.register_forward_hook(partial(self._end, name))

    def _begin(self, name: str, *_: object) -> None:
        self._started[name] = time.perf_counter()

    def _end(self, name: str, *_: object) -> None:
        self._times[name] += time.perf_counter() - self._started[name]

    def step(self, clip: torch.Tensor, mask: torch.Tensor, dtype: torch.dtype) -> None:
        """Run and time one step."""
        self._times: dict[str, float] = defaultdict(float)
        self.model.zero_grad()
        start = time.perf_counter()
        with products(self.variant, self.model):
            with autocast(dtype):
                loss = self.model(clip, bool_masked_pos=mask).loss
            middle = time.perf_counter()
            loss.backward()
        end = time.perf_counter()
        rest = middle - start - sum(self._times.values())
        self.steps.append({**self._times, "rest": rest, "backward": end - middle, "step": end - start})

    def medians(self) -> dict[str, float]:
        """Compute the median of each part, without the first step."""
        return {name: statistics.median(step[name] for step in self.steps[1:]) for name in self.steps[0]}

    def ratio_to(self, other: "Timer") -> float:
        """Compute the median over rounds of the ratio of step times."""
        pairs = zip(self.steps[1:], other.steps[1:], strict=True)
        return statistics.median(ours["step"] / theirs["step"] for ours, theirs in pairs)


def peak_memory(variant: str, dtype: torch.dtype, queue: "multiprocessing.Queue[float]") -> None:
    """Put the peak memory of this process after two steps into the queue, in GiB."""
    keep_freed_memory()
    model, (clip, mask) = build(variant), batch()
    for _ in range(2):
        model.zero_grad()
        with products(variant, model):
            with autocast(dtype):
                loss = model(clip, bool_masked_pos=mask).loss
            loss.backward()
    # getrusage would include the peak of the parent, which a child inherits
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    queue.put(int(line.split()[1]) / 2**20)


def measure_memory(variant: str, dtype: torch.dtype) -> float:
    """Run `peak_memory` in a separate process."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=peak_memory, args=(variant, dtype, queue))
    process.start()
    found = queue.get()
    process.join()
    return found


def data_wait(folder: str) -> float:
    """Measure the fraction of pre-training time spent waiting for data.

    ViT-B trains on single clips of 16 frames with two workers.
    """
    import run_pretrain

    with tempfile.TemporaryDirectory() as output:
        flags = f"{RECIPE} --data_dir {folder} --clip_length 16 --max_steps 12 --logging_steps 6"
        flags += " --per_device_train_batch_size 1 --dataloader_num_workers 2 --save_strategy no --report_to none"
        trainer = run_pretrain.main([*flags.split(), "--use_cpu", "--disable_tqdm", "true", "--output_dir", output])
    return [line["data_wait"] for line in trainer.state.log_history if "data_wait" in line][-1]


def main(folder: str | None = None) -> None:
    """Print the tables."""
    keep_freed_memory()
    print(describe_machine())
    clip, mask = batch()
    print(f"\n| precision | model | step (s) | ratio to stock | bound | peak GiB | {' | '.join(PARTS)} |")
    print(f"|---|---|---|---|---|---|{'---|' * len(PARTS)}")
    dtypes = [torch.float32, *([torch.bfloat16] if cpu_has_bfloat16() else [])]
    for dtype in dtypes:
        timers = {variant: Timer(variant) for variant in VARIANTS}
        for number in range(ROUNDS + 1):
            for timer in list(timers.values())[:: -1 if number % 2 else 1]:
                timer.step(clip, mask, dtype)
        found = {variant: (timer.medians(), timer.ratio_to(timers["stock"])) for variant, timer in timers.items()}
        del timers
        for variant, (times, ratio) in found.items():
            parts = " | ".join(f"{times[part]:.3f}" for part in PARTS)
            memory = measure_memory(variant, dtype)
            precision = str(dtype).removeprefix("torch.")
            bound = BOUNDS[dtype].get(variant, "")
            print(
                f"| {precision} | {variant} | {times['step']:.3f} | {ratio:.3f} | {bound} | {memory:.2f} | {parts} |",
                flush=True,
            )
    if torch.bfloat16 not in dtypes:
        print("\nbfloat16 is not measured: this processor lacks it, and emulation takes minutes per step.")
    if folder:
        print(f"\nwaiting for data with two workers: {data_wait(folder):.1%} of the time, bound 5 %")


if __name__ == "__main__":
    main(*sys.argv[1:])
