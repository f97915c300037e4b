"""Split the files of a job over the processes of a launcher."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

POLL = 0.2
"""Seconds between two looks whether the other ranks have ended."""


@dataclass(frozen=True)
class Split:
    """Number this process among those that share a job.

    Args:
        rank: Number of this process, from 0.
        world: Number of processes.
        names: Environment variables that say so, for messages.
    """

    rank: int = 0
    world: int = 1
    names: str = ""

    def share(self, items: Sequence[Item], unit: str) -> list[Item]:
        """List the items of this process, and print their number.

        These are every `world`-th item from the `rank`-th.

        Args:
            items: All items, in the same order in each process.
            unit: What an item is, in the plural.
        """
        mine = [*items[self.rank :: self.world]]
        where = f"rank {self.rank} of {self.world} ({self.names})"
        print(f"{where} does {len(mine)} of {len(items)} {unit}", file=sys.stderr, flush=True)
        return mine


ALONE = Split()
"""The split of a process that does all."""


def read_split(environment: Mapping[str, str] = os.environ) -> Split:
    """Read from the environment which share of a job this process does.

    RANK and WORLD_SIZE (`torchrun`, `accelerate launch`) come before SLURM_PROCID and SLURM_STEP_NUM_TASKS (`srun`);
    a batch script itself has no step and is not split. Each task of a SLURM array does its share of the files, and its
    own processes split that share.

    Raises:
        ValueError: A number is missing, is none, or does not fit the others.
    """
    if "SLURM_STEP_NUM_TASKS" in environment and not _is_launched(environment):
        own = _read(environment, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    else:
        own = _read(environment, "RANK", "WORLD_SIZE")
    if not environment.get("SLURM_ARRAY_TASK_ID"):
        return own
    array = _read_array(environment)
    names = ", ".join(split.names for split in (array, own) if split.world > 1)
    return Split(array.rank * own.world + own.rank, array.world * own.world, names)


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of this process on its machine, which chooses its GPU.

    Raises:
        ValueError: The number is none.
    """
    if _is_launched(environment):
        return _number(environment, "LOCAL_RANK", 0) if environment.get("LOCAL_RANK") else 0
    with_step = environment.get("SLURM_STEP_NUM_TASKS") and environment.get("SLURM_LOCALID")
    return _number(environment, "SLURM_LOCALID", 0) if with_step else 0


@contextmanager
def ending_together(split: Split) -> Iterator[None]:
    """Wait for the other ranks at the end, where an early end would stop them.

    `torchrun` and `accelerate launch` stop all ranks once one of them ends with an error, and one failed video is an
    error. They are not waited for if the block raises.
    """
    if split.world == 1 or "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    import torch.distributed

    store, _, world = next(torch.distributed.rendezvous("env://"))
    yield
    try:
        ended = store.add("auvmae_ended", 1)
        while ended < world:
            time.sleep(POLL)
            ended = store.add("auvmae_ended", 0)
    except RuntimeError:  # its process has ended, after all others or because one was killed
        return


def _is_launched(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("RANK") or environment.get("WORLD_SIZE"))


def _read(environment: Mapping[str, str], rank: str, world: str) -> Split:
    given = [name for name in (rank, world) if environment.get(name)]
    if not given:
        return ALONE
    if len(given) == 1:
        (missing,) = {rank, world} - {*given}
        raise ValueError(
            f"{given[0]}={environment[given[0]]} is set without {missing}: set both, or unset {given[0]} to do all "
            "files in one process"
        )
    count, number = _number(environment, world, 1), _number(environment, rank, 0)
    if number >= count:
        raise ValueError(
            f"{rank}={number} must be below {world}={count}: number the processes from 0 to {count - 1}, or unset both"
        )
    return Split(number, count, f"{rank}, {world}" if count > 1 else "")


def _read_array(environment: Mapping[str, str]) -> Split:
    first, task = _number(environment, "SLURM_ARRAY_TASK_MIN", 0), _number(environment, "SLURM_ARRAY_TASK_ID", 0)
    count = _number(environment, "SLURM_ARRAY_TASK_COUNT", 1)
    step = _number(environment, "SLURM_ARRAY_TASK_STEP", 0) if environment.get("SLURM_ARRAY_TASK_STEP") else 1
    rank, rest = divmod(task - first, step or 1)
    if rest or not 0 <= rank < count:
        raise ValueError(
            f"SLURM_ARRAY_TASK_ID={task} does not fit an array of {count} tasks from {first} in steps of {step or 1}: "
            f"submit an array without gaps, such as --array=0-{count - 1}; finished files are skipped"
        )
    return Split(rank, count, "SLURM_ARRAY_TASK_ID")


def _number(environment: Mapping[str, str], name: str, lowest: int) -> int:
    text = environment.get(name, "")
    if not (text.isascii() and text.isdigit() and int(text) >= lowest):
        raise ValueError(
            f"{name} must be a whole number from {lowest}, found {text!r}: correct it, or unset the variables of the "
            "launcher to do all files in one process"
        )
    return int(text)
