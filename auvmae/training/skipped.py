"""Clips that do not decode: passed over, counted, listed, and too many of them an error."""

import csv
from pathlib import Path

REPORT_FILE = "skipped_clips.csv"
ALWAYS_ALLOWED = 10


class SkippedClips:
    """What a run passed over, in this process.

    Args:
        folder: Gets `skipped_clips.csv` (columns `step`, `reason`), to which all processes of a run append.
        max_share: Share of the clips that may be passed over, in [0, 1]; ten of them may be in any case.
    """

    def __init__(self, folder: str | Path, max_share: float) -> None:
        self.report = Path(folder, REPORT_FILE)
        self.max_share = max_share
        self.seen = self.count = 0

    def add(self, reasons: list[str], clips: int, step: int) -> None:
        """Note what a batch passed over.

        Args:
            reasons: One sentence for each clip passed over.
            clips: Clips in the batch.
            step: Step of the run.

        Raises:
            RuntimeError: There were too many.
        """
        self.seen += clips
        self.count += len(reasons)
        if not reasons:
            return
        self.report.parent.mkdir(parents=True, exist_ok=True)
        with self.report.open("a", newline="") as file:
            writer = csv.writer(file)
            if not file.tell():
                writer.writerow(("step", "reason"))
            writer.writerows((step, reason) for reason in reasons)
        if self.count > max(ALWAYS_ALLOWED, self.max_share * (self.seen + self.count)):
            raise RuntimeError(
                f"{self.count} of {self.seen + self.count} clips do not decode, the last one: {reasons[-1]} All are "
                f"listed in {self.report}. Look whether the disk or the decoder is at fault; mend the files, take them "
                "out, or allow more with --max_skipped, and go on with --resume_from_checkpoint true."
            )
