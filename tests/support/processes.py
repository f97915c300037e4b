"""Define the command that launches two processes on a CPU, and what dead processes leave."""

import os

from auvmae.system.leftovers import temporary_sibling

# ecosystem.md, wall 4: `--cpu --num_processes 2` would silently run one process
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def dead_sibling(path, kind="tmp"):
    """The name of what a process that is dead now would have left beside `path`."""
    found = temporary_sibling(path, kind)
    return found.with_name(found.name.replace(f".{os.getpid()}-", ".999999999-"))
