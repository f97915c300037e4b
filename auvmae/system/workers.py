"""Run jobs in worker processes, which end with the process that started them."""

import multiprocessing
import os
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait

from tqdm.auto import tqdm


def run_jobs(
    job: Callable[[int], None], count: int, num_proc: int | None, title: str, unit: str, progress: bool
) -> None:
    """Run `job(0)` to `job(count - 1)` in parallel, with a progress bar.

    Args:
        job: Function that can be pickled.
        count: Number of jobs.
        num_proc: Number of processes; None for the number of CPUs that may be used. With one, jobs run in this process.
        title: Text before the bar.
        unit: What one job makes, e.g. "video".
        progress: Whether to show the bar.
    """
    from .cpus import usable_cpus

    processes = min(num_proc or usable_cpus(), count)
    with tqdm(total=count, desc=title, unit=unit, disable=not progress) as bar:
        if processes <= 1:
            for index in range(count):
                job(index)
                bar.update()
            return
        # spawned workers would spend more time importing the package than drawing
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        workers = ProcessPoolExecutor(processes, context, end_with_parent)
        with warnings.catch_warnings(), workers as pool:
            # Python 3.12 warns that a fork may copy locked thread locks; the workers take none of these locks
            warnings.simplefilter("ignore", DeprecationWarning)
            jobs = [pool.submit(job, index) for index in range(count)]
            try:
                for done in as_completed(jobs):
                    done.result()
                    bar.update()
            except BaseException:
                pool.shutdown(cancel_futures=True)  # otherwise an interrupted run would finish all remaining jobs first
                raise


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
