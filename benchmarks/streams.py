"""Compare training clips from shards with the same clips from a folder.

    python benchmarks/streams.py [SHARDS]

Copies of the two packaged recordings lie in a folder, and in SHARDS (4) WebDataset shards. Both give clips of 16 frames
with flip and crop, resized to 112 pixels. `ClipDataset` takes them by its index, `StreamedClips` in order. Rounds
alternate, and the best of each counts. "passed over" is what a resumed run does with each video that its current pass
has seen.
"""

import shutil
import sys
import tarfile
import tempfile
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
from hardware import describe_machine
from timing import seconds
from torch.utils.data import DataLoader

from auvmae import demo
from auvmae.data import load_au_dataset
from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.data.loading.streamed_clips import StreamedClips
from auvmae.data.loading.streams import open_stream
from auvmae.processors import AUVMAEImageProcessor

VIDEOS, CLIP_LENGTH, ROUNDS, WORKERS = 128, 16, 3, 2


def write(folder: Path, shards: int) -> None:
    """Copy the recordings into a folder, and pack them."""
    sources = sorted(Path(demo.__file__).parent.glob("*.mp4"))
    for name in ("videos", "shards"):
        (folder / name).mkdir()
    for number in range(VIDEOS):
        shutil.copy(sources[number % len(sources)], folder / "videos" / f"{number:04d}.mp4")
    for shard in range(shards):
        with tarfile.open(folder / "shards" / f"{shard}.tar", "w") as tar:
            for video in sorted((folder / "videos").iterdir())[shard::shards]:
                tar.add(video, video.name)


def clips_per_second(clips: Any, count: int) -> float:
    """Time `count` clips, without the start of the workers and their first clips."""
    batches = iter(DataLoader(clips, 1, num_workers=WORKERS, collate_fn=ClipCollator()))
    for _ in range(2 * WORKERS):
        next(batches)
    return count / seconds(lambda: deque(islice(batches, count), maxlen=0))


def main(shards: int = 4) -> None:
    """Print the table."""
    print(describe_machine("datasets", "av"))
    datasets.disable_progress_bars()
    options = {"resize": AUVMAEImageProcessor(112).resize_frames, "augment": True}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, shards)
        cache = {"clip_length": CLIP_LENGTH, "cache_dir": str(folder / "cache")}
        rows = load_au_dataset("face_videos", folder / "videos", **cache)["train"]
        stream = open_stream(str(folder / "shards"))
        streamed = StreamedClips(stream, clip_length=CLIP_LENGTH, buffer=32, **options)
        best = {"folder": 0.0, "shards": 0.0}
        for _ in range(ROUNDS):
            for kind, clips in (("folder", ClipDataset(rows, **options)), ("shards", streamed)):
                best[kind] = max(best[kind], clips_per_second(clips, VIDEOS))
        waits = []
        for seen in (0, VIDEOS - 1):
            resumed = StreamedClips(stream, clip_length=CLIP_LENGTH, buffer=1, **options)
            resumed.seen_batches = seen
            waits.append(seconds(lambda resumed=resumed: next(iter(resumed))))
    print("\n| clips from | clips per second, two workers |\n|---|---:|")
    for kind, rate in best.items():
        print(f"| {kind} | {rate:.1f} |")
    print(f"\npassed over: {1000 * (waits[1] - waits[0]) / (VIDEOS - 1):.2f} ms per video")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
