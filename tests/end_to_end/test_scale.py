"""Test many files on several processes: each clip is seen once, memory stays flat, and a killed run resumes."""

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..support.forge_disfa import numbered_frame, write_video
from ..support.paths import ROOT
from ..support.processes import LAUNCH

pytestmark = pytest.mark.slow


def forge_videos(folder: Path, number: int) -> Path:
    """Create thousands of small videos quickly, as hard links to one file."""
    folder.mkdir()
    template = write_video(
        folder.parent / "template.mp4", [numbered_frame(index) for index in range(8)], codec="libx264"
    )
    for index in range(number):
        (folder / f"{index // 500:02d}").mkdir(exist_ok=True)
        os.link(template, folder / f"{index // 500:02d}" / f"{index:05d}.mp4")
    return folder


def epoch(videos: Path, output: Path, *more: str, processes: int = 2) -> tuple[int, list[dict[str, Any]]]:
    """Run one epoch, and return the exit code and the output of each process."""
    launch = [*LAUNCH, "--module"] if processes > 1 else ["-m"]
    command = [sys.executable, *launch, "tests.support.distributed_epoch", str(videos), str(output), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    written = [Path(f"{output}-{process}.json") for process in range(processes)]
    if not all(path.exists() for path in written):
        assert finished.returncode, finished.stderr
        return finished.returncode, []
    return finished.returncode, [json.loads(path.read_text()) for path in written]


def names(seen: dict[str, Any]) -> list[str]:
    return [Path(clip.split(" from ")[0]).stem for clips in seen["clips"].values() for clip in clips]


def test_two_processes_see_every_clip_once(tmp_path):
    code, seen = epoch(forge_videos(tmp_path / "videos", 2000), tmp_path / "run")
    assert code == 0
    assert [one["world_size"] for one in seen] == [2, 2]
    assert sorted(names(seen[0]) + names(seen[1])) == [f"{index:05d}" for index in range(2000)]
    assert names(seen[0]) != sorted(names(seen[0]))  # shuffled


def worker_memory(videos: Path, output: Path, *more: str) -> float:
    """Measure the private memory of the loader's worker over steps 10 to 20, in kB.

    The number of clips is the same however many files there are.
    """
    code, (seen,) = epoch(videos, output, "--unprobed", "--max_steps", "20", *more, processes=1)
    assert code == 0
    return statistics.median(seen["worker_memory"][10:])


def test_memory_of_a_worker_does_not_grow_with_the_number_of_files(tmp_path):
    few, many = (forge_videos(tmp_path / f"{number}", number) for number in (400, 20_000))
    base = worker_memory(few, tmp_path / "few")
    grown = worker_memory(many, tmp_path / "many") - base
    # The bound is measured with a worker that holds 20,000 rows as Python objects (10 MB; `grown` was at most 0.4).
    assert grown < (worker_memory(many, tmp_path / "hoarded", "--hoard") - base) / 4


def test_a_killed_run_goes_on_with_what_it_had_not_seen(tmp_path):
    videos = forge_videos(tmp_path / "videos", 400)
    _, (whole,) = epoch(videos, tmp_path / "whole", processes=1)
    code, nothing = epoch(videos, tmp_path / "killed", "--kill_at", "27", processes=1)
    assert (code, nothing) == (-signal.SIGKILL, [])
    assert sorted(path.name for path in (tmp_path / "killed").glob("checkpoint-*")) == [
        "checkpoint-10",
        "checkpoint-20",
    ]
    _, (resumed,) = epoch(videos, tmp_path / "killed", processes=1)
    assert resumed["losses"] == pytest.approx(whole["losses"], rel=1e-6)
    assert resumed["clips"] == {step: clips for step, clips in whole["clips"].items() if int(step) >= 20}
