"""Run mutants in forked processes, which may hang or crash without harm to the others.

Each mutant has a process of its own, forked from one that has imported everything and run nothing.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from auvmae.faces.detection import DETECTORS

from ..support.drawn_faces import SquareDetector
from .bases import write_bases
from .judging import FAULT, Fault
from .mutants import checkpoints, helper_files, labels, results, settings, videos

KINDS: dict[str, Callable[..., Any]] = {
    "video": videos.prepare,
    "labels": labels.prepare,
    "checkpoint": checkpoints.prepare,
    "settings": settings.prepare,
    "helper file": helper_files.prepare,
    "result": results.prepare,
}
ORDER = ("video", "labels", "video", "checkpoint", "video", "settings", "video", "labels", "helper file", "result")
"""The kind of a mutant is this one, by the last digit of its number."""


def run_campaign(
    numbers: Iterable[int],
    seed: int,
    kinds: Iterable[str] | None = None,
    workers: int = 2,
    timeout: float = 120,
    keep: Path | None = None,
) -> list[dict[str, Any]]:
    """Run the mutants with these numbers, and return one result for each, in order."""
    torch.set_num_threads(1)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    chosen = [number for number in numbers if kinds is None or ORDER[number % len(ORDER)] in kinds]
    with tempfile.TemporaryDirectory(prefix="auvmae-campaign-") as name:
        root = Path(name)
        started = {_fork(lambda: write_bases(root / "bases"), root / "bases.txt"): (0, time.monotonic())}
        if (status := _wait(started, 600)[1]) != 0:
            raise RuntimeError(f"the intact inputs cannot be written (status {status}):\n{_read(root / 'bases.txt')}")
        waiting, running, found = chosen[::-1], dict[int, tuple[int, float]](), dict[int, dict[str, Any]]()
        while waiting or running:
            while waiting and len(running) < workers:
                number = waiting.pop()
                work = root / str(number)
                work.mkdir()
                job = _fork(lambda number=number, work=work: _run(number, seed, root / "bases", work), work / "log.txt")
                running[job] = number, time.monotonic()
            number, status = _wait(running, timeout)
            found[number] = _result(number, root / str(number), status)
            if keep:
                shutil.copytree(root / str(number), keep / str(number), dirs_exist_ok=True)
            shutil.rmtree(root / str(number), ignore_errors=True)
            if sys.stderr.isatty():
                print(f"\r{len(found)}/{len(chosen)}", end="", file=sys.stderr)
        return [found[number] for number in chosen]


def _fork(function: Callable[[], Any], log: Path) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    os.setsid()
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(output, number)
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(running: dict[int, tuple[int, float]], timeout: float) -> tuple[int, int | str]:
    """Wait for the next process to end; return its mutant, and its exit status or "hang"."""
    while True:
        for process, (number, started) in running.items():
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended or time.monotonic() - started > timeout:
                if not ended:
                    os.killpg(process, signal.SIGKILL)
                    os.waitpid(process, 0)
                del running[process]
                return number, os.waitstatus_to_exitcode(status) if ended else "hang"
        time.sleep(0.005)


def _run(number: int, seed: int, bases: Path, work: Path) -> None:
    """Prepare, run and judge one mutant in this process."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(work / "temporary")
    cache = work / "cache"
    os.environ |= {"HF_HOME": str(cache), "HF_DATASETS_CACHE": str(cache / "datasets")}
    logging.set_verbosity_warning()
    (work / "temporary").mkdir()
    DETECTORS["square"] = SquareDetector
    kind = ORDER[number % len(ORDER)]
    what, judge = KINDS[kind](np.random.default_rng([seed, number]), bases, work)
    _save(work, {"what": what})
    started = time.monotonic()
    try:
        outcome, fault, detail = judge(), "", ""
    except Fault as error:
        outcome, fault, detail = FAULT, error.kind, error.detail
    seconds = round(time.monotonic() - started, 2)
    _save(work, {"what": what, "outcome": outcome, "fault": fault, "detail": detail, "seconds": seconds})


def _save(work: Path, content: dict[str, Any]) -> None:
    (work / "result.json").write_text(json.dumps(content))


def _result(number: int, work: Path, status: int | str) -> dict[str, Any]:
    found = json.loads(_read(work / "result.json") or "{}")
    result = {"number": number, "kind": ORDER[number % len(ORDER)], **found}
    if status == "hang" or (isinstance(status, int) and status < 0):
        detail = "killed after the timeout" if status == "hang" else f"ended by signal {-int(status)}"
        result |= {"outcome": FAULT, "fault": "hang" if status == "hang" else "crash", "detail": detail}
    elif status:
        raise RuntimeError(f"mutant {number} ({found.get('what')}): the campaign failed:\n{_read(work / 'log.txt')}")
    return result


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
