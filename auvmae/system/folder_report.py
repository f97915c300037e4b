"""What the commands that go through a folder of videos say at their end."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VideoResult:
    """What became of one video.

    Args:
        source: its path.
        output: path of what was to be written.
        status: "done", "skipped" (it was finished before) or "failed".
        reason: why it failed.
        frames: its number of frames; 0 if it failed.
        found: in how many of them there is a face.
    """

    source: str
    output: str
    status: str
    reason: str = ""
    frames: int = 0
    found: int = 0


def summarise(results: list[VideoResult]) -> dict[str, int]:
    """Count the videos that were done, skipped and failed, their frames, and the frames with a face ("found")."""
    counts = {status: sum(result.status == status for result in results) for status in ("done", "skipped", "failed")}
    totals = {name: sum(getattr(result, name) for result in results) for name in ("frames", "found")}
    return counts | totals


def print_summary(results: list[VideoResult], done: str, report: Path) -> int:
    """Print what became of a folder, with the reason of every failure; gives the exit code, 1 if there is one.

    Args:
        results: of every video.
        done: what was done to those that did not fail, e.g. "cropped".
        report: file in which the results stand.
    """
    total = summarise(results)
    share = total["found"] / total["frames"] if total["frames"] else 0
    print(f"{total['done']} {done}, {total['skipped']} finished before, {total['failed']} failed")
    print(f"{total['frames']} frames, {share:.1%} with a face; report: {report}")
    for result in results:
        if result.status == "failed":
            print(f"failed: {result.source}: {result.reason}")
    return 1 if total["failed"] else 0
