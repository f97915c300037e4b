"""Compare the clips per second of the loader with raw decoding of the same frames.

    python benchmarks/loader.py [backend]

All variants run in one run with the same backend. The videos are like those of `auvmae crop`: 224-pixel crops in H.264,
here of rendered faces. A clip has 128 frames; frame level takes every 4th. The variants run in two worker processes (2
workers) or in the main process (0 workers):

* raw: `read_frames` only; the frames are discarded, and never leave a worker;
* handed over: `read_frames`, and a `DataLoader` transfers the frames to the main process;
* loader: `ClipDataset`, `AUVMAEImageProcessor` and `ClipCollator` in a `DataLoader` of single clips, as in the recipes;
* augmented: the loader with flip and crop, so that the frames have to be resized.

Frames are uint8 throughout; the Trainer normalises them on the model's device.

Rounds over the same clips alternate between the variants, with persistent workers, and the best round of each counts. A
busy machine thus slows all variants, and start-up costs are excluded. CPU time covers all processes; it is more
reliable than wall time when cores are scarce.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from hardware import describe_machine
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.data.synthetic.dataset import render_subject
from auvmae.knowledge.facs import DISFA_AUS
from auvmae.processors import AUVMAEImageProcessor
from auvmae.video.random_access import read_frames
from auvmae.video.writing import VideoWriter

VIDEOS, CLIPS_PER_VIDEO, CLIP_LENGTH, SIZE, ROUNDS = 2, 3, 128, 224, 5
WHATS = ("raw", "handed over", "loader", "augmented")


def write_videos(folder: Path) -> datasets.Dataset:
    """Write faces rendered at half the size and enlarged, and list their clips."""
    rows = []
    for index in range(VIDEOS):
        frames, _ = render_subject(index, CLIPS_PER_VIDEO * CLIP_LENGTH, SIZE // 2)
        path = folder / f"{index}.mp4"
        with VideoWriter(path, 20, SIZE, SIZE) as writer:
            for frame in frames:
                writer.write(np.asarray(Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
        labels = np.zeros((CLIP_LENGTH, len(DISFA_AUS)), np.int8).tolist()
        for start in range(0, len(frames), CLIP_LENGTH):
            rows.append({"video": str(path), "start_frame": start, "num_frames": CLIP_LENGTH, "labels": labels})
    features = datasets.Features(
        video=datasets.Value("string"),
        start_frame=datasets.Value("int32"),
        num_frames=datasets.Value("int32"),
        labels=datasets.Array2D((CLIP_LENGTH, len(DISFA_AUS)), "int8"),
    )
    return datasets.Dataset.from_list(rows, features)


class RawClips(Dataset):
    """Decode the frames of the same clips, and discard them unless handed over."""

    def __init__(self, rows: datasets.Dataset, sampling_rate: int, backend: str, hand_over: bool) -> None:
        self.clips = [(row["video"], row["start_frame"]) for row in rows]
        self.sampling_rate, self.backend, self.hand_over = sampling_rate, backend, hand_over

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> torch.Tensor | int:
        video, start = self.clips[index]
        frames = read_frames(video, np.arange(start, start + CLIP_LENGTH, self.sampling_rate), self.backend)
        return torch.from_numpy(frames) if self.hand_over else len(frames)


def loader_of(what: str, rows: datasets.Dataset, sampling_rate: int, num_workers: int, backend: str) -> DataLoader:
    """Build the loader of a variant, which gives the clips one by one."""
    collate: Callable[[list[Any]], Any] = ClipCollator()
    clips: Dataset
    if what in ("raw", "handed over"):
        clips, collate = RawClips(rows, sampling_rate, backend, what == "handed over"), _only
    else:
        clips = ClipDataset(
            rows, AUVMAEImageProcessor(SIZE).resize_frames, sampling_rate, what == "augmented", backend=backend
        )
    return DataLoader(clips, 1, num_workers=num_workers, collate_fn=collate, persistent_workers=num_workers > 0)


def _only(items: list[Any]) -> Any:
    return items[0]


def milliseconds(loader: DataLoader) -> tuple[float, float]:
    """Measure the wall and CPU time per clip of one pass over the clips."""
    start, spent = time.perf_counter(), _cpu_seconds()
    for _ in loader:
        pass
    spent, seconds = _cpu_seconds() - spent, time.perf_counter() - start
    return 1000 * seconds / len(loader), 1000 * spent / len(loader)


def _cpu_seconds() -> float:
    """Measure the CPU time so far of this process and its living workers."""
    ticks = 0
    for process in multiprocessing.active_children():
        ticks += sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def main(backend: str = "pyav") -> None:
    """Print the table."""
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    levels, workers = {"video": 1, "frame": 4}, (0, 2)
    best: dict[tuple[str, int, str], np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = write_videos(Path(folder))
        for level, number in [(level, number) for level in levels for number in workers]:
            loaders = {what: loader_of(what, rows, levels[level], number, backend) for what in WHATS}
            for _ in range(ROUNDS):
                for what, loader in loaders.items():
                    found = np.array(milliseconds(loader))
                    key = (level, number, what)
                    best[key] = np.minimum(best.get(key, found), found)

    print(describe_machine("av", "decord2"))
    print(f"\nBackend {backend}; clips per second (CPU milliseconds per clip)\n")
    print(f"| level | workers | {' | '.join(WHATS)} | loader over raw | loader over handed over |")
    print(f"|---|---|{'---|' * len(WHATS)}---|---|")
    for level in levels:
        for number in workers:
            cells = [
                f"{1000 / best[level, number, what][0]:.1f} ({best[level, number, what][1]:.0f})" for what in WHATS
            ]
            for base in ("raw", "handed over"):
                added = 100 * (best[level, number, "loader"] / best[level, number, base] - 1)
                cells.append(f"{added[0]:.0f} % ({added[1]:.0f} %)")
            print(f"| {level} | {number} | {' | '.join(cells)} |")
    print("\nTime (CPU time) at frame level relative to video level, bound 0.50:")
    for number in workers:
        for what in WHATS:
            ratio = best["frame", number, what] / best["video", number, what]
            print(f"* {number} workers, {what}: {ratio[0]:.2f} ({ratio[1]:.2f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
