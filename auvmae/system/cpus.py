"""Count the CPUs that this process may use, and give as many threads to the model."""

import os
import sys
from pathlib import Path, PurePosixPath


def usable_cpus(root: Path = Path("/")) -> int:
    """Count the CPUs that this process may use.

    These are the CPUs of its affinity, or fewer if a control group (version 1 or 2) limits the time on them. A part of
    a CPU does not count, but there is at least one.

    Args:
        root: Folder with `proc` and `sys`.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *(int(limit) for limit in _limits(root))]))


def default_processes() -> int:
    """Count the CPUs for each of the processes that `torchrun` started here."""
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, usable_cpus() // (int(local) if local.isdigit() and int(local) else 1))


def set_threads(threads: int | None) -> None:
    """Set the number of threads of torch, and of all that follow it.

    Args:
        threads: Number of threads; by default OMP_NUM_THREADS if it is set, else at most `usable_cpus`.
    """
    import torch

    if threads is None and os.environ.get("OMP_NUM_THREADS"):
        return
    torch.set_num_threads(threads or min(torch.get_num_threads(), usable_cpus()))


def wait_asleep() -> None:
    """Set threads to sleep while they wait, if torch is not imported yet.

    By default, they keep their CPU busy for a while. If another process holds the CPU of a thread that they wait for,
    each of the many short waits of a small model then lasts a time slice. A policy that the environment sets is kept.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & {*os.environ} and "torch" not in sys.modules:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # read when the library of torch is loaded


def _limits(root: Path) -> list[float]:
    """List the limits of the control groups of this process, in CPUs."""
    found = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # inside a container, the group's own folder may be the root of what is mounted
        mounts = [
            root / "sys/fs/cgroup",
            *((root / "sys/fs/cgroup" / name) for name in (controllers, "cpu") if controllers),
        ]
        for folder in (mount / str(part).lstrip("/") for mount in mounts for part in _with_parents(path)):
            words = _read(folder / "cpu.max").split() or [
                _read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
            ]
            if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
                found.append(int(words[0]) / int(words[1]))
    return found


def _with_parents(path: str) -> list[PurePosixPath]:
    return [PurePosixPath(path), *PurePosixPath(path).parents]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
