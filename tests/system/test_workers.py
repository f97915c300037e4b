"""Test that no worker outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from auvmae.system import workers

# the module is executed by itself, as importing the package takes seconds
POOL = """
import multiprocessing, os, runpy, sys, time
from concurrent.futures import ProcessPoolExecutor
initializer = runpy.run_path(sys.argv[1])["end_with_parent"]
with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), initializer) as pool:
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_workers_end_with_a_killed_parent():
    command = [sys.executable, "-c", POOL, workers.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    for _ in range(500):
        with suppress(ProcessLookupError):
            os.kill(worker, 0)
            time.sleep(0.01)
            continue
        return
    os.kill(worker, signal.SIGKILL)
    raise AssertionError(f"worker {worker} lives on")
