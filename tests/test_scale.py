"""Many files and several processes: every clip once, memory that does not grow, and a killed run that goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .data.forge_disfa import numbered_frame, write_video
from .test_distributed import LAUNCH, ROOT

pytestmark = pytest.mark.slow


def forge_videos(folder: Path, number: int) -> Path:
    """One small video under many names: hard links, so that thousands are made at once."""
    folder.mkdir()
    template = write_video(
        folder.parent / "template.mp4", [numbered_frame(index) for index in range(8)], codec="libx264"
    )
    for index in range(number):
        (folder / f"{index // 500:02d}").mkdir(exist_ok=True)
        os.link(template, folder / f"{index // 500:02d}" / f"{index:05d}.mp4")
    return folder


def epoch(videos: Path, output: Path, *more: str, processes: int = 2) -> tuple[int, list[dict[str, Any]]]:
    """Exit code, and what each process wrote."""
    launch = [*LAUNCH, "--module"] if processes > 1 else ["-m"]
    command = [sys.executable, *launch, "tests.distributed_epoch", str(videos), str(output), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    written = [Path(f"{output}-{process}.json") for process in range(processes)]
    if not all(path.exists() for path in written):
        assert finished.returncode, finished.stderr
        return finished.returncode, []
    return finished.returncode, [json.loads(path.read_text()) for path in written]


def names(seen: dict[str, Any]) -> list[str]:
    return [Path(clip.split(" from ")[0]).stem for clips in seen["clips"].values() for clip in clips]


def test_two_processes_see_every_clip_once_in_memory_that_does_not_grow(tmp_path):
    memory = {}
    for number in (200, 2000):
        code, seen = epoch(forge_videos(tmp_path / f"{number}", number), tmp_path / f"run{number}")
        assert code == 0
        assert [one["world_size"] for one in seen] == [2, 2]
        assert sorted(names(seen[0]) + names(seen[1])) == [f"{index:05d}" for index in range(number)]
        assert names(seen[0]) != sorted(names(seen[0]))  # shuffled
        memory[number] = [max(one["worker_memory"]) for one in seen]
    for small, large in zip(memory[200], memory[2000], strict=True):
        assert large - small < 4096  # kilobytes; 1,800 rows as Python objects would be more


def test_a_killed_run_goes_on_with_what_it_had_not_seen(tmp_path):
    videos = forge_videos(tmp_path / "videos", 400)
    _, (whole,) = epoch(videos, tmp_path / "whole", processes=1)
    code, nothing = epoch(videos, tmp_path / "killed", "27", processes=1)
    assert (code, nothing) == (-signal.SIGKILL, [])
    assert sorted(path.name for path in (tmp_path / "killed").glob("checkpoint-*")) == [
        "checkpoint-10",
        "checkpoint-20",
    ]
    _, (resumed,) = epoch(videos, tmp_path / "killed", processes=1)
    assert resumed["losses"] == pytest.approx(whole["losses"], rel=1e-6)
    assert resumed["clips"] == {step: clips for step, clips in whole["clips"].items() if int(step) >= 20}
