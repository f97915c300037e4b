"""Find the recordings of a command, and assign each a unique output path."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..video.finding import LeftOut, find_videos, own_outputs
from ..video.reading import VIDEO_SUFFIXES

PROVENANCE = ".provenance.json"
FILES = {"events": (".events.csv", ".eaf"), "timeline": (".timeline.png",), "overlay": (".overlay.mp4",)}
"""Optional outputs besides the table, and the suffixes of their files."""
SUFFIXES = (".csv", ".parquet", *(suffix for suffixes in FILES.values() for suffix in suffixes), PROVENANCE)


@dataclass(frozen=True)
class Target:
    """Locate the output files of one recording.

    Args:
        folder: Folder within the output folder.
        name: Stem of the file names.
    """

    folder: Path
    name: str

    def file(self, suffix: str) -> Path:
        """Return the path of the file with one of `SUFFIXES`."""
        return self.folder / f"{self.name}{suffix}"


def find_recordings(
    inputs: Sequence[str], output: Path, left_out: list[LeftOut] | None = None
) -> list[tuple[Path, Target]]:
    """Find the recordings in `inputs`, and where to write the files of each.

    The folder structure of the inputs is kept. Recordings that would write the same file are distinguished by their
    suffixes, then by numbers.

    Args:
        inputs: Video files, folders (searched recursively, see `find_videos`), or patterns (`*`, `**`).
        output: Output folder.
        left_out: List to append what is passed over in folders to.

    Raises:
        FileNotFoundError: If an input matches no recording.
        ValueError: If an input is `output`.
    """
    recordings: dict[Path, tuple[Path, Path]] = {}
    for name in inputs:
        paths = [Path(name)] if Path(name).exists() else _match(name)
        videos = [
            found for path in paths for found in find_videos(path, output, left_out) if not _is_ours(found[0], output)
        ]
        if not videos and Path(name).resolve() == output.resolve():
            raise ValueError(
                f"{name} is also the output folder, which is not searched for videos: use another output folder"
            )
        if not videos:
            raise FileNotFoundError(
                f"no video found for {name}: neither a file ({', '.join(VIDEO_SUFFIXES)}) nor numbered images"
            )
        for video, crop in videos:
            recordings.setdefault(video.resolve(), (video, crop))
    return [(video, Target(folder, name)) for video, folder, name in own_outputs(recordings.values(), SUFFIXES)]


def _match(pattern: str) -> list[Path]:
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    return [path for path in paths if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]


def _is_ours(video: Path, output: Path) -> bool:
    """Tell whether a video is an overlay of an earlier run, matched by a pattern."""
    return video.name.endswith(".overlay.mp4") and video.resolve().is_relative_to(output.resolve())
