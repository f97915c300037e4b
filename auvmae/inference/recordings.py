"""Which recordings a command names, and where the files of each go: no two to the same place."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..video.reading import VIDEO_SUFFIXES, find_videos

PROVENANCE = ".provenance.json"
FILES = {"events": (".events.csv", ".eaf"), "timeline": (".timeline.png",), "overlay": (".overlay.mp4",)}
"""What may be written beside the table, and its files."""
SUFFIXES = (".csv", ".parquet", *(suffix for suffixes in FILES.values() for suffix in suffixes), PROVENANCE)


@dataclass(frozen=True)
class Target:
    """Where the files of one recording go.

    Args:
        folder: in the output folder.
        name: what its files' names begin with.
    """

    folder: Path
    name: str

    def file(self, suffix: str) -> Path:
        """The file with one of `SUFFIXES`."""
        return self.folder / f"{self.name}{suffix}"


def find_recordings(inputs: Sequence[str], output: Path) -> list[tuple[Path, Target]]:
    """List the recordings that are named, and where their files go: folders keep their shape.

    Two recordings that would write the same file are told apart by their suffixes, then by numbers.

    Args:
        inputs: video files, folders (searched to their depths, see `crop_folder.find_videos`), or patterns (`*`, `**`).
        output: the folder to write to.

    Raises:
        FileNotFoundError: one of the inputs names nothing.
        ValueError: one of the inputs is `output`.
    """
    recordings: dict[Path, tuple[Path, Path]] = {}
    for name in inputs:
        paths = [Path(name)] if Path(name).exists() else _match(name)
        videos = [found for path in paths for found in find_videos(path, output) if not _is_ours(found[0], output)]
        if not videos and Path(name).resolve() == output.resolve():
            raise ValueError(f"{name} is also the folder to write to, in which no video is looked for: name another")
        if not videos:
            raise FileNotFoundError(
                f"{name} names no video: neither files ({', '.join(VIDEO_SUFFIXES)}) nor folders of numbered images"
            )
        for video, crop in videos:
            recordings.setdefault(video.resolve(), (video, crop))
    targets, claimed = [], set[str]()
    for video, crop in recordings.values():
        for name in _names(video, crop):
            target = Target(crop.parent, name)
            # some file systems do not tell capital letters from small ones
            files = {str(target.file(suffix)).lower() for suffix in SUFFIXES}
            if not files & claimed:
                break
        claimed |= files
        targets.append((video, target))
    return targets


def _match(pattern: str) -> list[Path]:
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    return [path for path in paths if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]


def _is_ours(video: Path, output: Path) -> bool:
    """Whether it is an overlay that an earlier run wrote, and a pattern has caught."""
    return video.name.endswith(".overlay.mp4") and video.resolve().is_relative_to(output.resolve())


def _names(video: Path, crop: Path) -> Iterator[str]:
    yield crop.name.removesuffix(".mp4")
    yield video.name
    number = 2
    while True:
        yield f"{video.name}-{number}"
        number += 1
