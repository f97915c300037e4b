"""Measure what a folder job costs per file besides the model.

    python benchmarks/many_files.py [FILES]

Each of FILES (default: 10000) empty video files gets a result. "list" searches the folder and names the outputs, as
every rank does at its start. "report" adds one result to a report of all others, as every rank does at its start and at
its end, one rank at a time.
"""

import sys
import tempfile
from pathlib import Path

from hardware import describe_machine
from timing import seconds

from auvmae.inference.predict_folder import REPORT_FILE
from auvmae.inference.recordings import find_recordings
from auvmae.system.folder_report import VideoResult, add_to_report, save_report

PER_FOLDER = 1000


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        videos, out = Path(name, "in"), Path(name, "out")
        for number in range(count):
            folder = videos / f"{number // PER_FOLDER:05d}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:07d}.mp4").touch()
        out.mkdir()
        listing = seconds(lambda: find_recordings([str(videos)], out))
        found = find_recordings([str(videos)], out)
        results = [
            VideoResult(str(video), str(target.file(".csv")), "done", frames=250, found=250) for video, target in found
        ]
        outputs = [result.output for result in results]
        save_report(out / REPORT_FILE, results)
        report = seconds(lambda: add_to_report(out / REPORT_FILE, outputs, results[:1]))
        size = (out / REPORT_FILE).stat().st_size
    print("\n| per file | cost |\n|---|---:|")
    print(f"| list | {listing / count * 1e3:.3f} ms |")
    print(f"| report | {report / count * 1e3:.3f} ms |")
    print(f"| report, size | {size / count:.0f} bytes |")


if __name__ == "__main__":
    main()
