"""End worker processes with the process that started them."""

import multiprocessing
import os
import threading
from multiprocessing.connection import wait


def end_with_parent() -> None:
    """Exit this worker process as soon as its parent process has ended.

    Pass it as the `initializer` of a pool. Otherwise the workers of a killed process wait for jobs forever, or keep
    writing files that the next run writes, too.
    """
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)
