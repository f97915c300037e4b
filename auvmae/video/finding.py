"""Find videos in folders, and give each video its own output files."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .reading import IMAGE_SUFFIXES, VIDEO_SUFFIXES, image_number

HELPERS = (".faces.csv", ".faces.json", "crop_recipe.json", "crop_report.json")
"""Ends of the names of files of `auvmae crop`, which are neither videos nor left out."""


@dataclass(frozen=True)
class LeftOut:
    """Name a file or folder that a search passed over, with the reason."""

    path: str
    reason: str


def find_videos(source: Path, output: Path, left_out: list[LeftOut] | None = None) -> list[tuple[Path, Path]]:
    """List the videos under `source`, each with the path of its crop.

    Videos are video files and image folders; `source` itself may be one. Images whose names share a prefix before the
    number are a video only in a folder without video files, and if there are at least two.

    Args:
        source: File, or folder to search recursively, without hidden files and `output`.
        output: Folder of the crops.
        left_out: List to append all else to; no file is opened, except a `.ts`, which may be TypeScript.
    """
    if not source.is_dir():
        return [(source, output / f"{source.stem}.mp4")]
    videos: list[tuple[Path, Path]] = []
    passed = left_out if left_out is not None else []
    visited = {output.resolve()}

    def refuse(error: OSError) -> None:
        passed.append(LeftOut(str(error.filename), f"cannot be searched: {error.strerror}"))

    for path, folders, files in os.walk(source, followlinks=True, onerror=refuse):
        here, real = Path(path), Path(path).resolve()
        if real in visited:  # the output folder, or a link back into the tree
            folders.clear()
            if real != output.resolve():
                passed.append(LeftOut(path, "is a link to a folder that is searched anyway"))
            continue
        visited.add(real)
        passed += [LeftOut(str(here / name), "is hidden") for name in sorted(files + folders) if name.startswith(".")]
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        there = output / here.relative_to(source)
        names = [Path(file) for file in sorted(files) if not file.startswith(".")]
        found = []
        images = [name for name in names if name.suffix.lower() in IMAGE_SUFFIXES and (here / name).is_file()]
        for name in sorted({*names} - {*images}):
            if name.name.endswith(HELPERS):
                continue
            if reason := _reason(here / name):
                passed.append(LeftOut(str(here / name), reason))
            else:
                found.append((here / name, there / f"{name.stem}.mp4"))
        if _is_series(images, bool(found)):
            within = there if here != source else output / real.name
            videos.append((here, within.with_name(f"{within.name}.mp4")))
        elif images:
            passed.append(LeftOut(path, f"holds {len(images)} images that are not numbered as the frames of one video"))
        videos += found
    return videos


def own_outputs(videos: Iterable[tuple[Path, Path]], suffixes: Sequence[str]) -> Iterator[tuple[Path, Path, str]]:
    """Give each video output files that no other one has.

    Videos that would write the same file are distinguished by their suffixes, then by numbers.

    Args:
        videos: Result of `find_videos`.
        suffixes: Suffixes of the files to write.

    Yields:
        The video, the folder of its output files, and their name without suffix.
    """
    claimed = set[str]()
    for video, crop in videos:
        for name in _names(video, crop):
            # some file systems ignore case
            files = {str(crop.parent / f"{name}{suffix}").lower() for suffix in suffixes}
            if not files & claimed:
                claimed |= files
                yield video, crop.parent, name
                break


def _names(video: Path, crop: Path) -> Iterator[str]:
    yield crop.name.removesuffix(".mp4")
    yield video.name
    number = 2
    while True:
        yield f"{video.name}-{number}"
        number += 1


def _reason(path: Path) -> str:
    """Return why a file in a folder is no video, "" if it seems to be one."""
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return "is not named like a video"
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        return "is not a regular file"
    if path.suffix.lower() == ".ts" and _is_text(path):
        return "is a text, not an MPEG transport stream"
    return ""


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError:  # reported when it is read
        return False
    # at most one character is cut off at the end
    return b"\0" not in start and 0 < len(start) < len(start.decode("utf-8", errors="ignore").encode()) + 4


def _is_series(images: list[Path], with_videos: bool) -> bool:
    numbered = [found for image in images if (found := image_number(image))]
    if any(not prefix for prefix, _ in numbered):
        return True
    return not with_videos and len(numbered) > 1 and len({prefix for prefix, _ in numbered}) == 1
