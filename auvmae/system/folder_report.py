"""What the commands that go through a folder of videos say at their end."""

from pathlib import Path

from ..faces.crop_folder import VideoResult, summarise


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
