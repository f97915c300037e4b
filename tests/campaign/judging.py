"""Run the product in this process, and judge what it said and left."""

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from auvmae.cli.main import main

RIGHT, FEWER, REFUSED, FAULT = "right", "fewer rows, and said", "one clear sentence", "FAULT"
OUTCOMES = (RIGHT, FEWER, REFUSED, FAULT)
DONE, FAILED, UNUSABLE, INCOMPLETE = 0, 1, 2, 3
"""Exit codes of the commands."""

RAW = re.compile(
    r"\b(KeyError|TypeError|IndexError|AttributeError|AssertionError|RuntimeError|UnicodeDecodeError|JSONDecodeError|"
    r"ZeroDivisionError|OverflowError|MemoryError|RecursionError|struct\.error|Arrow\w+|SafetensorError)\b"
)
"""Names of exceptions that tell a programmer something, and a user nothing."""

LEFTOVER = re.compile(r"\.tmp\b|\.old\b|\.part$|\.lock$|^tmp|~$|\.incomplete|unfinished")
MOST_LINES = 4
LAYOUT_LINES = 40
"""A wrong folder layout is answered with the expected and the actual tree."""


class Fault(Exception):
    """Report what a run must never do.

    Args:
        kind: "silent", "traceback", "unclear", "leftover", "exit code", "input changed" or "training".
        detail: What was seen.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


@dataclass(frozen=True)
class Ran:
    """Hold the exit code of a command and everything it printed."""

    code: int
    text: str


def run_command(*argv: str | Path) -> Ran:
    """Run `auvmae` with these arguments in this process."""
    return run_function(lambda: main([str(part) for part in argv]))


def run_function(function: Callable[[], int | None]) -> Ran:
    """Run a function, and capture its output at the level of file descriptors.

    Raises:
        Fault: An exception left the function, which a user would see as a traceback.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile() as captured:
        for number in (1, 2):
            os.dup2(captured.fileno(), number)
        error = ""
        try:
            code = function() or 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
            error = "" if isinstance(left.code, int | None) else f"{left.code}\n"
        except Exception:
            code, error = 1, traceback.format_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
        captured.seek(0)
        text = captured.read().decode(errors="replace") + error
    text = re.sub(r"[^\n]*\r", "", text)  # progress bars
    if "Traceback (most recent call last)" in text:
        raise Fault("traceback", text.strip().splitlines()[-1][:300])
    return Ran(code, text)


def check_sentence(ran: Ran, *names: str, most_lines: int = MOST_LINES) -> str:
    """Check that a refusal is short, in words, and names the file; return the message.

    Raises:
        Fault: It is not.
    """
    starts = ("auvmae ", "failed: ", "incomplete: ", "damaged: ", "run_finetune", "__main__.py: error: ")
    lines = ran.text.strip().splitlines()
    first = next(
        (number for number, line in enumerate(lines) if line.startswith(starts) and "usage:" not in line), None
    )
    if first is None:
        raise Fault("unclear", f"exit code {ran.code} without a message: {ran.text.strip()[-200:]!r}")
    message = "\n".join(lines[first:])
    layout = "Expected:" in message and "Found:" in message
    if len(lines) - first > (LAYOUT_LINES if layout else most_lines):
        raise Fault("unclear", f"{len(lines) - first} lines: {message[:300]!r}")
    if RAW.search(message):
        raise Fault("unclear", f"a bare exception: {message[:300]!r}")
    if names and not any(name in message for name in names):
        raise Fault("unclear", f"names none of {names}: {message[:300]!r}")
    return message


def check_leftovers(folder: Path) -> None:
    """Check that a run left no temporary file in a folder, nor in the folder for temporary files.

    Raises:
        Fault: There is one.
    """
    for root in (folder, Path(tempfile.gettempdir())):
        names = [path.relative_to(root).as_posix() for path in root.rglob("*")]
        left = [name for name in names if root != folder or LEFTOVER.search(name.rpartition("/")[2])]
        if left:
            raise Fault("leftover", ", ".join(sorted(left)[:5]))


def digests(folder: Path) -> dict[str, str]:
    """Hash every file under a folder, by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def check_unchanged(folder: Path, before: dict[str, str]) -> None:
    """Check that a run changed none of its inputs.

    Raises:
        Fault: It did.
    """
    after = digests(folder)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        raise Fault("input changed", ", ".join(changed[:5]))
