"""Name temporary files after their process, and remove those of dead processes.

The temporary sibling of `X` is `X.<process>-<start>-<machine>-<number>.tmp`. Whoever reads the name can thus tell
whether its process still runs, even if its number was given to another process since.
"""

import itertools
import os
import platform
import re
import shutil
import time
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

import psutil

NAME = re.compile(
    r"(?P<name>.+)\.(?P<pid>\d+)-(?P<start>\d+)-(?P<machine>[0-9a-f]{8})-\d+\.(?P<kind>tmp|old)", re.DOTALL
)
LONGEST = 255
"""Longest file name in bytes on common file systems."""
PATIENCE = 7 * 24 * 3600
"""Age in seconds at which a file of another machine, whose processes are unknown, counts as left over."""
_numbers = itertools.count()


def temporary_sibling(path: Path, kind: str = "tmp") -> Path:
    """Return an unused path beside `path`; a name too long for that is shortened.

    Args:
        path: File or folder to write.
        kind: "tmp" for what replaces `path`, "old" for what it replaces.
    """
    owner = f".{_owner(os.getpid())}-{next(_numbers)}.{kind}"
    name = os.fsencode(path.name)[: LONGEST - len(owner)].decode("utf-8", errors="ignore")
    return path.with_name(name + owner)


def remove_leftovers(folder: Path) -> None:
    """Remove what dead processes left in a folder, and put back what they moved aside.

    Files of living processes stay, and so do those of other machines until they are a week old.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            if (found := NAME.fullmatch(entry.name)) and _is_left_over(found, entry):
                _remove(Path(entry), found)


@cache
def remove_leftovers_once(folder: Path) -> None:
    """Remove the leftovers in a folder at the first call only."""
    remove_leftovers(folder)


def _remove(path: Path, found: re.Match[str]) -> None:
    with suppress(OSError):  # another run may have been quicker
        if found["kind"] == "old" and not path.with_name(found["name"]).exists():
            path.rename(path.with_name(found["name"]))
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _is_left_over(found: re.Match[str], entry: os.DirEntry[str]) -> bool:
    if found["machine"] != _machine():
        with suppress(OSError):
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > PATIENCE
        return False
    try:
        process = psutil.Process(int(found["pid"]))
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):  # orphans in a container that reaps none
            return True
        start = process.create_time()
    except (psutil.NoSuchProcess, OverflowError):
        return True
    except psutil.Error:
        return False
    return abs(start - int(found["start"])) > 2  # the system's clock may have been set meanwhile


@cache
def _owner(pid: int) -> str:
    return f"{pid}-{psutil.Process(pid).create_time():.0f}-{_machine()}"


@cache
def _machine() -> str:
    """Hash the machine and the container, which number their own processes."""
    namespace = "/proc/self/ns/pid"
    container = os.readlink(namespace) if os.path.lexists(namespace) else ""
    return sha256(f"{platform.node()} {container}".encode()).hexdigest()[:8]
