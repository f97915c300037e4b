"""Report the results of the commands that process a folder of videos."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VideoResult:
    """Record the result of one video.

    Args:
        source: Path of the video.
        output: Path of the output file.
        status: "done", "skipped" (already finished) or "failed".
        reason: Reason of the failure.
        frames: Number of frames; 0 if the video failed.
        found: Number of frames with a face.
    """

    source: str
    output: str
    status: str
    reason: str = ""
    frames: int = 0
    found: int = 0


def summarise(results: list[VideoResult]) -> dict[str, int]:
    """Count videos by status, all frames, and the frames with a face ("found")."""
    counts = {status: sum(result.status == status for result in results) for status in ("done", "skipped", "failed")}
    totals = {name: sum(getattr(result, name) for result in results) for name in ("frames", "found")}
    return counts | totals


def print_summary(results: list[VideoResult], done: str, report: Path) -> int:
    """Print the summary of a folder, with the reason of every failure.

    Args:
        results: Results of all videos.
        done: Past participle for the finished videos, e.g. "cropped".
        report: File with the full results.

    Returns:
        The exit code: 1 if a video failed, else 0.
    """
    total = summarise(results)
    share = total["found"] / total["frames"] if total["frames"] else 0
    print(f"{total['done']} {done}, {total['skipped']} skipped (already finished), {total['failed']} failed")
    print(f"{total['frames']} frames, {share:.1%} with a face; report: {report}")
    for result in results:
        if result.status == "failed":
            print(f"failed: {result.source}: {result.reason}")
    return 1 if total["failed"] else 0
