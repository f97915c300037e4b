"""Repeat a short run, killed a little later each time; run by `test_kill.py`.

python -m tests.support.killed_run FOLDER

A run is killed before every second change to the file system, in training and in saving alike. A change opens a file
for writing, renames or removes it, or creates or removes a folder. The killed runs leave FOLDER/00, FOLDER/02, ...
"""

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from auvmae.training.trainer import train

from .tiny_training import pretrainer

FIELDS = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "save_total_limit": 1}
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
WRITING = os.O_WRONLY | os.O_RDWR


def train_until(folder: Path, moment: int) -> None:
    """Train in this process, which is killed before its file-system change number `moment`."""
    moments = itertools.count()

    def kill(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and arguments[2] & WRITING and str(arguments[0]).startswith(str(folder))
        if (writes or event in CHANGES) and next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer = pretrainer(folder, resume_from_checkpoint="true", **FIELDS)
    sys.addaudithook(kill)
    train(trainer)


def main(folder: Path) -> None:
    """Kill runs until one finishes."""
    torch.set_num_threads(1)
    for moment in itertools.count(step=2):
        child = os.fork()  # the parent never trains, as autograd does not survive a fork
        if not child:
            train_until(folder / f"{moment:02d}", moment)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
