"""Pack tiny numbered videos into WebDataset shards."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from .forge_disfa import numbered_frame, write_video

FRAMES = 8


def forge_shards(folder: Path, sizes: Sequence[int], suffix: str = ".mp4", broken: Sequence[int] = ()) -> list[Path]:
    """Write `faces-0.tar` ... with as many videos as `sizes` says, and return the packed files.

    Frame k of video v shows the number 10 v + k. The videos numbered in `broken` cannot be decoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    videos = folder.parent / f"{folder.name}_videos"
    videos.mkdir(exist_ok=True)
    packed: list[Path] = []
    for shard, size in enumerate(sizes):
        with tarfile.open(folder / f"faces-{shard}.tar", "w") as tar:
            for _ in range(size):
                number = len(packed)
                frames = [numbered_frame(10 * number + index) for index in range(FRAMES)]
                packed.append(write_video(videos / f"video{number}.mp4", frames))
                if number in broken:
                    packed[-1].write_bytes(b"gone")
                tar.add(packed[-1], f"id{number % 2}/video{number}{suffix}")
    return packed
