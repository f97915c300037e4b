"""Report the results of the commands that process a folder of videos."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .files import locked, read_json_object, replacing

SHOWN = 10
"""Number of files that the summary names as left out."""


@dataclass(frozen=True)
class VideoResult:
    """Record the result of one video.

    Args:
        source: Path of the video.
        output: Path of the output file.
        status: "done", "skipped" (already finished) or "failed".
        reason: Reason of the failure; of a video that did not fail, what is missing from its result.
        frames: Number of frames; 0 if the video failed.
        found: Number of frames with a face.
        note: What a reader of the result should know.
    """

    source: str
    output: str
    status: str
    reason: str = ""
    frames: int = 0
    found: int = 0
    note: str = ""


def summarise(results: Sequence[VideoResult]) -> dict[str, int]:
    """Count videos by status, incomplete ones, all frames, and frames with a face."""
    counts = {status: sum(result.status == status for result in results) for status in ("done", "skipped", "failed")}
    counts["incomplete"] = sum(bool(result.reason) for result in results) - counts["failed"]
    totals = {name: sum(getattr(result, name) for result in results) for name in ("frames", "found")}
    return counts | totals


def save_report(path: Path, results: Sequence[VideoResult], left_out: Sequence[Any] = (), **fields: Any) -> None:
    """Write the results of a folder as JSON, atomically.

    Args:
        path: File to write.
        results: Results of all videos.
        left_out: What was passed over, as dataclasses with `path` and `reason`.
        fields: Further content of the file.
    """
    lists = {"videos": [*map(asdict, results)], "left_out": [*map(asdict, left_out)]}
    with replacing(path) as file:
        json.dump(fields | summarise(results) | lists, file, indent=1)


def add_to_report(
    path: Path, outputs: Iterable[str], results: Sequence[VideoResult], left_out: Sequence[Any] = (), **fields: Any
) -> None:
    """Add the results of one rank to the report of all.

    Results of other ranks, or of an earlier run, are kept. Once all ranks have added theirs, the
    report is that of one process.

    Args:
        path: File to write.
        outputs: Output file of each video of all ranks, in order.
        results: Results of this rank.
        left_out, fields: See `save_report`.

    Raises:
        OSError: If the file cannot be locked or written.
    """
    with locked(path):
        known = {result.output: result for result in [*_read_results(path), *results]}
        save_report(path, [known[output] for output in outputs if output in known], left_out, **fields)


def _read_results(path: Path) -> list[VideoResult]:
    """Read the results in a report, none if it is damaged."""
    try:
        return [VideoResult(**fields) for fields in read_json_object(path).get("videos", [])]
    except TypeError:
        return []


def print_summary(results: list[VideoResult], done: str, report: Path) -> int:
    """Print the summary of a folder, with the reason of every failure.

    What was left out is read from the report; the first few are named.

    Args:
        results: Results of all videos.
        done: Past participle for the finished videos, e.g. "cropped".
        report: File with the full results.

    Returns:
        The exit code: 1 if a video failed, 3 if none failed but some are incomplete, else 0.
    """
    total = summarise(results)
    share = total["found"] / total["frames"] if total["frames"] else 0
    print(f"{total['done']} {done}, {total['skipped']} skipped (already finished), {total['failed']} failed")
    print(f"{total['frames']} frames, {share:.1%} with a face; report: {report}")
    for result in results:
        if result.reason:
            print(f"{'failed' if result.status == 'failed' else 'incomplete'}: {result.source}: {result.reason}")
        if result.note:
            print(f"note: {result.source}: {result.note}")
    left_out = read_json_object(report).get("left_out", [])
    for item in left_out[:SHOWN]:
        print(f"left out: {item['path']} {item['reason']}")
    if len(left_out) > SHOWN:
        print(f"left out: {len(left_out)} files and folders, see the report for all")
    return 1 if total["failed"] else 3 if total["incomplete"] else 0
