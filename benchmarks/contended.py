"""Measure how much speed prediction keeps beside other busy processes.

    python benchmarks/contended.py [ROUNDS]

The tiny and the packaged model predict the same random crops, on two CPUs that up to two processes that never sleep
share with them. "asleep" is how `auvmae` runs. Its threads sleep while they wait for each other (OMP_WAIT_POLICY).
"spinning" is PyTorch's default, and "one thread" is `--threads 1`. Each row of a round is measured in
a process of its own, quiet and busy in turn, and the settings alternate, so that other load on the machine slows all.
The rates are medians of the rounds (default: 3). Each share is that of the quiet speed of the same setting.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time

SETTINGS = {
    "asleep": ({"OMP_WAIT_POLICY": "PASSIVE"}, 2),
    "spinning": ({"OMP_WAIT_POLICY": "ACTIVE"}, 2),
    "one thread": ({"OMP_WAIT_POLICY": "PASSIVE"}, 1),
}
MODELS = ("tiny", "packaged")
BUSY = (0, 1, 2)
SECONDS = 3.0
BATCH_SIZE = 8


def rate(size: str, threads: int) -> list[float]:
    """Measure the frames per second beside each number of busy processes."""
    import numpy as np
    import torch
    from predict import build, processor_of

    from auvmae import AUDetector
    from auvmae.system.hardware import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(threads)
    model = build(size)
    detector = AUDetector(model, processor_of(model), cropped=True, batch_size=BATCH_SIZE)
    side = model.config.image_size
    frames = np.random.default_rng(0).integers(256, size=(4 * detector.window_length, side, side, 3), dtype=np.uint8)
    detector(frames)
    rates = []
    for busy in BUSY:
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            time.sleep(0.2)
            calls, start = 0, time.perf_counter()
            while time.perf_counter() - start < SECONDS:
                detector(frames)
                calls += 1
            rates.append(calls * len(frames) / (time.perf_counter() - start))
        finally:
            for other in others:
                other.kill()
                other.wait()
    return rates


def measure(size: str, setting: str) -> list[float]:
    """Measure one row of a round in a process of its own."""
    environment, threads = SETTINGS[setting]
    command = [sys.executable, __file__, "--row", size, str(threads)]
    finished = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, check=True)
    rates: list[float] = json.loads(finished.stdout.splitlines()[-1])
    return rates


def main() -> None:
    """Print the table."""
    from hardware import describe_machine

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    print(describe_machine())
    print(f"load before the first round: {os.getloadavg()[0]:.1f}; two of the CPUs are used")
    rows: dict[tuple[str, str], list[list[float]]] = {row: [] for row in itertools.product(MODELS, SETTINGS)}
    for _ in range(rounds):
        for row, found in rows.items():
            found.append(measure(*row))
    print("\n| model | threads | quiet, frames/s | one busy process | share | two busy processes | share |")
    print(f"|---|---|{'---:|' * 5}")
    for (size, setting), found in rows.items():
        quiet, *busy = (statistics.median(column) for column in zip(*found, strict=True))
        cells = itertools.chain(*((f"{one:.0f}", f"{one / quiet:.0%}") for one in busy))
        print(f"| {size} | {setting} | {quiet:.0f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        print(json.dumps(rate(sys.argv[2], int(sys.argv[3]))))
    else:
        main()
