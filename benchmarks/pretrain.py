"""A pre-training step of ours beside stock VideoMAE's at ViT-B, 16 frames, mask 0.9, on the same weights, in one run.

    python benchmarks/pretrain.py [FOLDER_OF_VIDEOS]

A step is forward and backward of one clip, in a process that keeps freed memory, as run_pretrain.py does. Rounds
alternate between the variants, there and back, in fp32 and in bf16 autocast. Of times the median over the rounds
counts, of the ratio to stock the median of the rounds' ratios, which a machine that is slower for a while does not
move. Parts are timed by hooks in the same rounds; "rest" of the forward is targets, loss and, of stock, sorting tokens
out of what it embedded. Peak memory is of a process that does this step alone. With a folder, also the share of the
time that `run_pretrain.py` with two workers waits for its data. What the numbers leave out: no GPU.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import torch
from hardware import describe_machine
from torch import nn
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from auvmae.configuration import AUVMAEConfig
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining
from auvmae.system.hardware import cpu_has_bfloat16, keep_freed_memory

RECIPE = Path(__file__).parents[1] / "recipes" / "pretrain_face_videos.yaml"
ROUNDS = 21
PARTS = ("embedding", "encoder", "decoder", "rest", "backward")
VARIANTS = {"stock": None, "ours": {}, "dual masking": {"decoder_mask_ratio": 0.5}}
BOUNDS = {"ours": "0.95", "dual masking": "0.75"}


def build(variant: str) -> nn.Module:
    """ViT-B with random weights, ready to train."""
    torch.manual_seed(0)
    fields = VARIANTS[variant]
    model = (
        VideoMAEForPreTraining(VideoMAEConfig())
        if fields is None
        else AUVMAEForVideoPretraining(AUVMAEConfig(**fields))
    )
    return model.train()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """A clip and its mask."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 16, 3, 224, 224, generator=generator), tube_mask(1, 8, 196, 0.9, generator)


def autocast(dtype: torch.dtype) -> AbstractContextManager[None]:
    """Of the forward; nothing in float32."""
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32)


class Timer:
    """Seconds of the parts of each step of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
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
        """One step, timed."""
        self._times: dict[str, float] = defaultdict(float)
        self.model.zero_grad()
        start = time.perf_counter()
        with autocast(dtype):
            loss = self.model(clip, bool_masked_pos=mask).loss
        middle = time.perf_counter()
        loss.backward()
        end = time.perf_counter()
        rest = middle - start - sum(self._times.values())
        self.steps.append({**self._times, "rest": rest, "backward": end - middle, "step": end - start})

    def medians(self) -> dict[str, float]:
        """Median of each part, the first step left out."""
        return {name: statistics.median(step[name] for step in self.steps[1:]) for name in self.steps[0]}

    def ratio_to(self, other: "Timer") -> float:
        """Median over the rounds of this step's time by the other's."""
        pairs = zip(self.steps[1:], other.steps[1:], strict=True)
        return statistics.median(ours["step"] / theirs["step"] for ours, theirs in pairs)


def peak_memory(variant: str, dtype: torch.dtype, queue: "multiprocessing.Queue[float]") -> None:
    """Put the peak memory, in GiB, of a process that builds the model and does two steps."""
    keep_freed_memory()
    model, (clip, mask) = build(variant), batch()
    for _ in range(2):
        model.zero_grad()
        with autocast(dtype):
            loss = model(clip, bool_masked_pos=mask).loss
        loss.backward()
    # getrusage would give the parent's peak, which a child inherits
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    queue.put(int(line.split()[1]) / 2**20)


def measure_memory(variant: str, dtype: torch.dtype) -> float:
    """`peak_memory` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=peak_memory, args=(variant, dtype, queue))
    process.start()
    found = queue.get()
    process.join()
    return found


def data_wait(folder: str) -> float:
    """Share of the time that pre-training ViT-B on single clips of 16 frames waits for two workers."""
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
    print(f"\n| precision | model | step (s) | of stock | bound | peak GiB | {' | '.join(PARTS)} |")
    print(f"|---|---|---|---|---|---|{'---|' * len(PARTS)}")
    dtypes = [torch.float32, *([torch.bfloat16] if cpu_has_bfloat16() else [])]
    for dtype in dtypes:
        timers = {variant: Timer(build(variant)) for variant in VARIANTS}
        for number in range(ROUNDS + 1):
            for timer in list(timers.values())[:: -1 if number % 2 else 1]:
                timer.step(clip, mask, dtype)
        found = {variant: (timer.medians(), timer.ratio_to(timers["stock"])) for variant, timer in timers.items()}
        del timers
        for variant, (times, ratio) in found.items():
            parts = " | ".join(f"{times[part]:.3f}" for part in PARTS)
            memory = measure_memory(variant, dtype)
            precision = str(dtype).removeprefix("torch.")
            bound = BOUNDS.get(variant, "")
            print(
                f"| {precision} | {variant} | {times['step']:.3f} | {ratio:.3f} | {bound} | {memory:.2f} | {parts} |",
                flush=True,
            )
    if torch.bfloat16 not in dtypes:
        print("\nbfloat16 is left out: this processor does not have it, and to emulate it takes minutes a step.")
    if folder:
        print(f"\nWaiting for data, two workers: {data_wait(folder):.1%} of the time, bound 5 %")


if __name__ == "__main__":
    main(*sys.argv[1:])
