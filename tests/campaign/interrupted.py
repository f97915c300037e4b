"""Run a command in a forked process that is stopped at a chosen moment."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Moment:
    """Choose when a signal comes, and which one.

    Args:
        signal: Signal to send.
        share: Place of the moment in an undisturbed run, from 0 to 1.
        by_change: Whether the share is one of the changes to the file system; otherwise it is one of the time.
    """

    signal: signal.Signals
    share: float
    by_change: bool


@dataclass(frozen=True)
class Ended:
    """Hold the end of a process: exit code (negative for a signal), output, seconds and changes of files."""

    code: int
    text: str
    seconds: float
    changes: int


def run_forked(
    function: Callable[[], Any],
    folder: Path,
    moment: Moment | None = None,
    whole: Ended | None = None,
    most_bytes: int | None = None,
) -> Ended:
    """Run a function in a child process, as a command would run it.

    Args:
        function: Returns the exit code.
        folder: Folder for the log.
        moment: When to send which signal; None for an undisturbed run.
        whole: End of the undisturbed run.
        most_bytes: Largest file that the process may write.
    """
    log, counted = folder / "log.txt", folder / "changes.txt"
    log.write_bytes(b"")
    begun, begin = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if not process:
        last = None if moment is None or whole is None or not moment.by_change else int(moment.share * whole.changes)
        _child(function, log, counted, begin, None if moment is None else moment.signal, last, most_bytes)
    os.close(begin)
    os.read(begun, 1)
    os.close(begun)
    started = time.monotonic()
    if moment and whole and not moment.by_change:
        while time.monotonic() - started < moment.share * whole.seconds and not os.waitid(
            os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT
        ):
            time.sleep(0.001)
        os.kill(process, moment.signal)
    _, status = os.waitpid(process, 0)
    seconds = time.monotonic() - started
    _wait_for_children(process)
    changes = int(counted.read_text()) if moment is None and most_bytes is None else 0
    text = re.sub(r"[^\n]*\r", "", log.read_text(errors="replace"))
    return Ended(os.waitstatus_to_exitcode(status), text, seconds, changes)


def _child(
    function: Callable[[], Any],
    log: Path,
    counted: Path,
    begin: int,
    number: signal.Signals | None,
    last: int | None,
    most_bytes: int | None,
) -> None:
    code = 1
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    changes, owner = 0, os.getpid()

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        if event in CHANGES or (event == "open" and arguments[2] & WRITING):
            changes += 1
            if number is not None and changes - 1 == last:
                os.kill(owner, number)  # also if the change is one of a worker

    try:
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        sys.addaudithook(count)
        os.write(begin, b"x")
        code = function() or 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if number is None and most_bytes is None:
            counted.write_text(str(changes))
        os._exit(code)


def _wait_for_children(process: int) -> None:
    """Wait until the processes that this one started have ended, too."""
    for _ in range(3000):
        if not any(_is_alive_in(path, process) for path in Path("/proc").glob("[0-9]*/stat")):
            return
        time.sleep(0.01)
    raise RuntimeError(f"children of process {process} live on")


def _is_alive_in(status: Path, group: int) -> bool:
    try:
        state, _, its_group = status.read_text().rpartition(")")[2].split()[:3]
    except OSError:  # it has just ended
        return False
    return state != "Z" and int(its_group) == group


class SmallDisk:
    """Mount a file system of a given size over a folder, where the machine allows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    def mount(self, size: int) -> bool:
        """Mount a disk of this many bytes; return whether it could be mounted."""
        command = ["mount", "-t", "tmpfs", "-o", f"size={max(size, 4096)}", "auvmae", str(self.folder)]
        self.mounted = subprocess.run(command, capture_output=True).returncode == 0
        return self.mounted

    def enlarge(self) -> None:
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,size=256m", str(self.folder)], check=True)

    def unmount(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)
        self.mounted = False
