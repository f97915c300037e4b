"""Measure what compiled models and fused products are worth on a CPU.

    python benchmarks/compiled.py

The packaged model and ViT-B read random windows at frame level. The models alternate, and the times are medians. The
break-even is the number of frames after which compiling has paid for itself. A second table times the products of q, k
and v of a window in the encoder, one by one and as one product, and their share of the encoder's time.
"""

import auvmae  # noqa: F401  before torch, whose threads then wait as in `auvmae predict`

# isort: split
import statistics
from collections.abc import Callable
from typing import Any

import torch
from hardware import describe_machine
from predict import build
from timing import seconds
from torch.nn import functional as F
from tqdm import tqdm

from auvmae import AUVMAEForFrameAUClassification
from auvmae.configuration import LEVELS
from auvmae.system.hardware import cpu_has_bfloat16, keep_freed_memory

ROUNDS = 11
WINDOWS = {"packaged": 8, "ViT-B": 1}


def load(name: str, dtype: torch.dtype) -> AUVMAEForFrameAUClassification:
    """Load a model that labels a window at frame level."""
    model = build(name).to(dtype)
    rate, _ = LEVELS["frame"]
    model.config.clip_length = model.config.num_frames * rate
    return model


def alternate(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Time calls in alternating rounds, and return the medians."""
    rounds = [{name: seconds(call) for name, call in calls.items()} for _ in range(ROUNDS + 1)]
    return {name: statistics.median(times[name] for times in rounds[1:]) for name in calls}


@torch.inference_mode()
def compare(name: str, dtype: torch.dtype) -> str:
    """Compare a model with its compiled form, and return the row of the table."""
    model = load(name, dtype)
    config, windows = model.config, WINDOWS[name]
    clips = torch.randn(windows, config.num_frames, 3, config.image_size, config.image_size).to(dtype)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True)
    start = seconds(lambda: compiled(clips))
    times = alternate({"eager": lambda: model(clips), "compiled": lambda: compiled(clips)})
    frames = windows * config.clip_length
    gain = (times["eager"] - times["compiled"]) / frames
    pays = f"{(start - times['compiled']) / gain:,.0f}" if gain > 0 else "never"
    rates = (f"{frames / times[kind]:.0f}" for kind in ("eager", "compiled"))
    return f"| {name} | {str(dtype).removeprefix('torch.')} | {' | '.join(rates)} | {start:.0f} s | {pays} |"


@torch.inference_mode()
def fuse(name: str, dtype: torch.dtype) -> str:
    """Compare three products with one, and return the row of the table."""
    model = load(name, dtype)
    config, width = model.config, model.config.hidden_size
    states = torch.randn(WINDOWS[name], config.tokens_per_window, width).to(dtype)
    weights = [torch.randn(width, width).to(dtype) for _ in range(3)]
    fused = torch.cat(weights)
    times = alternate(
        {
            "three": lambda: [F.linear(states, weight) for weight in weights],
            "one": lambda: F.linear(states, fused).chunk(3, dim=-1),
            "encoder": lambda: model.videomae.encoder(states),
        }
    )
    saved = config.num_hidden_layers * (times["three"] - times["one"]) / times["encoder"]
    cells = (f"{1000 * times[kind]:.2f} ms" for kind in ("three", "one"))
    return f"| {name} | {str(dtype).removeprefix('torch.')} | {' | '.join(cells)} | {saved:.1%} |"


def main() -> None:
    """Print the tables."""
    keep_freed_memory()
    print(describe_machine())
    dtypes = [torch.float32, *([torch.bfloat16] if cpu_has_bfloat16() else [])]
    settings = [(name, dtype) for name in WINDOWS for dtype in dtypes]
    print("\n| model | data type | eager, frames/s | compiled, frames/s | first call | pays after, frames |")
    print("|---|---|---:|---:|---:|---:|")
    for setting in tqdm(settings, desc="compiled", leave=False):
        tqdm.write(compare(*setting))
    print("\n| model | data type | q, k and v | one product | saves of the encoder |\n|---|---|---:|---:|---:|")
    for setting in tqdm(settings, desc="fused", leave=False):
        tqdm.write(fuse(*setting))


if __name__ == "__main__":
    main()
