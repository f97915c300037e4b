"""Clips per second of the loader beside raw decoding of the same frames by the same backend.

    python benchmarks/loader.py [backend]

The video is what `auvmae crop` writes: 224-pixel face crops in H.264, here of rendered faces. A clip is 128 frames; at
frame level every 4th of them. *Raw* is `read_frames` alone, in as many processes, which throw the frames away; *loader*
is `ClipDataset`, `AUVMAEImageProcessor` and `ClipCollator` in a `DataLoader` of batches of one clip, as in the recipes.
The two alternate, and of each the best round counts, so that a busy machine slows both. CPU time is that of all
processes together.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from hardware import describe_machine
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from auvmae.data.loader import ClipCollator, ClipDataset
from auvmae.data.synthetic import render_subject
from auvmae.facs import DISFA_AUS
from auvmae.processors import AUVMAEImageProcessor
from auvmae.video import VideoWriter, read_frames

VIDEOS, CLIPS_PER_VIDEO, CLIP_LENGTH, SIZE, ROUNDS = 2, 3, 128, 224, 4


def write_videos(folder: Path) -> datasets.Dataset:
    """Rendered faces at half the size, enlarged, as videos; gives the rows of their clips."""
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
    rows = datasets.Dataset.from_list(rows)
    return rows.cast_column("labels", datasets.Array2D((CLIP_LENGTH, len(DISFA_AUS)), "int8"))


class RawFrames(Dataset):
    """The frames of the same clips, decoded and thrown away."""

    def __init__(self, rows: datasets.Dataset, sampling_rate: int, backend: str) -> None:
        self.clips = [(row["video"], row["start_frame"]) for row in rows]
        self.sampling_rate, self.backend = sampling_rate, backend

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> int:
        video, start = self.clips[index]
        return len(read_frames(video, np.arange(start, start + CLIP_LENGTH, self.sampling_rate), self.backend))


def one_round(clips: Dataset, num_workers: int, collate: Any) -> tuple[float, float]:
    """Seconds and CPU seconds per clip of one pass over the clips."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    start = time.perf_counter()
    for _ in DataLoader(clips, 1, num_workers=num_workers, collate_fn=collate):
        pass
    seconds = time.perf_counter() - start
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(usage, after, strict=True))
    return seconds / len(clips), spent / len(clips)


def first(items: list[Any]) -> Any:
    """Collate a batch of one by leaving it as it is."""
    return items[0]


def main(backend: str = "decord") -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(describe_machine("av", "decord2"))
    print(f"\nbackend {backend}; milliseconds per clip of {CLIP_LENGTH} frames\n")
    print("| level | workers | raw | loader | loader / raw | raw, CPU | loader, CPU |\n|" + "---|" * 7)
    processor = AUVMAEImageProcessor(SIZE)
    with tempfile.TemporaryDirectory() as folder:
        rows = write_videos(Path(folder))
        for level, sampling_rate in (("video", 1), ("frame", 4)):
            for num_workers in (0, 2):
                loader = ClipDataset(rows, processor, sampling_rate, augment=True, backend=backend)
                cases = ((RawFrames(rows, sampling_rate, backend), first), (loader, ClipCollator()))
                rounds = [[one_round(clips, num_workers, collate) for clips, collate in cases] for _ in range(ROUNDS)]
                (raw, raw_cpu), (ours, ours_cpu) = 1e3 * np.array(rounds).min(axis=0)
                times = f"{raw:.0f} | {ours:.0f} | {ours / raw:.2f} | {raw_cpu:.0f} | {ours_cpu:.0f}"
                print(f"| {level} | {num_workers} | {times} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
