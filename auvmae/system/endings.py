"""End a command with an exit code and at most one line, whatever stopped it.

Interruptions raise an exception, so that `finally` removes unfinished files: Ctrl-C KeyboardInterrupt, SIGTERM
SystemExit.
"""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED, PIPE_CLOSED = 130, 143, 141
"""Exit codes of Ctrl-C, SIGTERM and a closed pipe, as shells report them (128 + number of the signal)."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE = ("No space left on device", "os error 28", "PytorchStreamWriter failed writing", "unexpected pos")
"""What the messages of safetensors and PyTorch say if a disk is full; they raise no OSError."""


EXPECTED = (ValueError, OSError, FloatingPointError)
"""What wrong settings, files and data raise, with a message for the user."""


def run_command(command: Callable[[], Any], name: str, expected: tuple[type[Exception], ...] = ()) -> int:
    """Run a command and return its exit code.

    Ctrl-C, SIGTERM, a full disk, a killed worker and expected errors are reported in one line, a closed pipe not at
    all. Other errors are raised.

    Args:
        command: Function to run. If it returns an integer, this is the exit code, else 0.
        name: Beginning of the line.
        expected: Errors whose message is meant for the user; they end with exit code 2.
    """
    seen: list[int] = []
    try:
        with interruptible() as seen:
            try:
                code = command()
            finally:
                sys.stdout.flush()
        if signal.SIGINT in seen:  # a library has swallowed the exception
            raise KeyboardInterrupt
        return TERMINATED if signal.SIGTERM in seen else code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        _say(f"{name}: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except Exception as error:
        if signal.SIGINT in seen:  # of a pool whose processes ended, too
            _say(f"{name}: interrupted")
            return INTERRUPTED
        if signal.SIGTERM in seen:
            return TERMINATED
        if is_disk_full(error) or isinstance(error, expected):
            _drop_output()
            return failed(name, error)
        if isinstance(error, BrokenProcessPool):
            _say(f"{name}: a worker process was killed (out of memory?). Use fewer processes, and run it again.")
            return 1
        raise


def failed(name: str, error: Exception) -> int:
    """Print an expected error in one line, and return the exit code.

    Returns:
        1 for a full disk, else 2.
    """
    text = str(error)
    if text.startswith("Caught ") and " in DataLoader worker " in text:  # with the traceback of the worker
        text = text.rstrip().rsplit("\n", 1)[-1].partition(": ")[2]
    _say(f"{name}: {text}")
    return 1 if is_disk_full(error) else 2


def ends_run(error: BaseException) -> bool:
    """Tell whether all other videos would fail, too (full disk, closed pipe)."""
    return isinstance(error, BrokenPipeError) or is_disk_full(error)


def is_disk_full(error: BaseException | None) -> bool:
    """Tell whether an error, or one that led to it, was a full disk or quota."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # an error that is raised again may lead to itself
        if getattr(error, "errno", None) in DISK_FULL or any(text in str(error) for text in NO_SPACE):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Raise an exception in the block at Ctrl-C and SIGTERM.

    The list holds the signals received. An exception that comes while Python runs a destructor is lost. The signal
    is therefore sent again. What an interrupted constructor left half-built may fail in its destructor, which is not
    printed.
    """
    seen: list[int] = []
    owner = os.getpid()

    def stop(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a fork that inherited this handler
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        seen.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(TERMINATED)

    def lost(unraisable: "sys.UnraisableHookArgs") -> None:
        if seen and isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit):
            threading.Timer(0.05, os.kill, (owner, seen[-1])).start()
        elif not seen:
            sys.__unraisablehook__(unraisable)

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    hook, sys.unraisablehook = sys.unraisablehook, lost
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    except BaseException as error:
        if seen:
            traceback.clear_frames(error.__traceback__)  # half-built objects end here, under our hook
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        _drop_output()


def _drop_output() -> None:
    """Discard what standard streams still hold if it cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the interpreter would complain at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
