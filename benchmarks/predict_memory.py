"""Compare the peak memory of `auvmae predict` on an hour and a minute of video.

The bound on the ratio is 1.10.

    python benchmarks/predict_memory.py [MINUTES]

Each length runs in a separate process. The video is a drawn minute of 96 x 96 pixels, repeated without re-encoding. It
is predicted as crops by the packaged encoder with a new head, to a CSV file and events.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torch
from hardware import describe_machine
from transformers.utils import logging

from auvmae.knowledge.facs import DISFA_AUS
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.video.writing import VideoWriter
from auvmae.weights import PACKAGED

SIDE, FPS = 96, 25


def write_minute(path: Path) -> None:
    """Write a video of a disc that moves and changes its shade."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    with VideoWriter(path, FPS, SIDE, SIDE) as writer:
        for number in range(60 * FPS):
            angle = number / 20
            distance = np.hypot(rows - 48 - 20 * np.sin(angle), columns - 48 - 20 * np.cos(angle))
            shade = np.where(distance < 20, 128 + 100 * np.sin(angle / 7), 40).astype(np.uint8)
            writer.write(np.repeat(shade[..., None], 3, axis=2))


def repeat_minute(source: Path, path: Path, minutes: int) -> None:
    """Copy the packets of a minute, one after the other."""
    with av.open(str(path), "w") as output:
        copied = None
        for minute in range(minutes):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                copied = copied or output.add_stream_from_template(stream)
                shift = round(60 * minute / stream.time_base)
                for packet in container.demux(stream):
                    if packet.size:
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, copied
                        output.mux(packet)


def save_model(folder: Path) -> None:
    """Save the packaged encoder with a head for DISFA's action units."""
    torch.manual_seed(0)
    names = dict(enumerate(DISFA_AUS))
    model = AUVMAEForFrameAUClassification.from_pretrained(PACKAGED["tiny"], dtype=torch.float32, id2label=names)
    model.save_pretrained(folder)
    AUVMAEImageProcessor(model.config.image_size).save_pretrained(folder)


def predict(video: Path, model: Path, output: Path) -> tuple[float, float]:
    """Run the command, and measure its peak memory in MB and its seconds."""
    code = "import sys; from auvmae.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["predict", video, "-m", model, "-o", output, "--cropped", "--events", "--device", "cpu"]
    start = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], **quiet)
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise RuntimeError(f"auvmae predict failed with exit code {run.returncode}")
    return usage.ru_maxrss / 1e3, time.perf_counter() - start


def main() -> None:
    """Print the table."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    minutes = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    print(describe_machine("av"))
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder / "model")
        write_minute(folder / "1.mp4")
        repeat_minute(folder / "1.mp4", folder / f"{minutes}.mp4", minutes)
        print("\n| minutes | frames | peak MB | ratio to 1 minute | frames per second |\n|---|---:|---:|---:|---:|")
        for length in (1, minutes):
            peak, spent = predict(folder / f"{length}.mp4", folder / "model", folder / "out")
            peaks.append(peak)
            with open(folder / "out" / f"{length}.csv") as table:
                frames = sum(1 for _ in table) - 1
            print(f"| {length} | {frames} | {peak:.0f} | {peak / peaks[0]:.3f} | {frames / spent:.0f} |", flush=True)


if __name__ == "__main__":
    main()
