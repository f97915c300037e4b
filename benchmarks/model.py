"""Compare the speed of our model with stock VideoMAE on the same weights.

ViT-B, 224 pixels, fp32; the ratios are of medians from one run.

    python benchmarks/model.py

Rounds alternate between the two models, so that a busy machine slows both. No GPU was measured.
"""

import statistics
import time
from collections.abc import Callable

import torch
from hardware import describe_machine
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEModel

from auvmae.configuration import AUVMAEConfig
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining, AUVMAEModel


def medians(ours: Callable[[], object], stock: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Measure the median seconds of both, in alternation after one warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_number in range(rounds + 1):
        for function, column in zip((ours, stock), times, strict=True):
            start = time.perf_counter()
            function()
            if round_number:
                column.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def pretraining_step(model: torch.nn.Module, clip: torch.Tensor, mask: torch.Tensor) -> Callable[[], None]:
    """Make a function that runs forward and backward on one batch."""

    def step() -> None:
        model.zero_grad()
        model(clip, mask).loss.backward()

    return step


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    print(describe_machine())
    print("\n| what | ours (s) | stock (s) | ratio | bound |\n|---|---|---|---|---|")

    def row(what: str, ours: Callable[[], object], stock: Callable[[], object], rounds: int, bound: str) -> None:
        a, b = medians(ours, stock, rounds)
        print(f"| {what} | {a:.3f} | {b:.3f} | {a / b:.3f} | {bound} |", flush=True)

    clip, mask = torch.randn(1, 16, 3, 224, 224), tube_mask(1, 8, 196, 0.9)
    stock = VideoMAEModel(VideoMAEConfig()).eval()
    ours = AUVMAEModel(AUVMAEConfig()).eval()
    ours.load_state_dict(stock.state_dict())
    with torch.no_grad():
        row("forward, 16 frames", lambda: ours(clip), lambda: stock(clip), 5, "1.03")
    stock_pretraining = VideoMAEForPreTraining(VideoMAEConfig())
    ours_pretraining = AUVMAEForVideoPretraining(AUVMAEConfig())
    ours_pretraining.load_state_dict(stock_pretraining.state_dict())
    step = pretraining_step
    row(
        "pre-training step, 16 frames, mask 0.9",
        step(ours_pretraining, clip, mask),
        step(stock_pretraining, clip, mask),
        21,
        "0.97",
    )
    row(
        "construction at 128 frames",
        lambda: AUVMAEForVideoPretraining(AUVMAEConfig(num_frames=128)),
        lambda: VideoMAEForPreTraining(VideoMAEConfig(num_frames=128)),
        1,
        "0.10",
    )


if __name__ == "__main__":
    main()
