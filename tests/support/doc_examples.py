"""Read the code examples of the documents, run them, and compare what they print with what the page shows.

* `python` blocks of a page run in order, in one namespace; `bash` blocks run with `bash -e`, in the same folder.
* A `text` block right after an example is what it printed. `...` in it stands for any text.
* `<!-- numbers vary -->` before a `text` block masks all numbers.
* `<!-- not run: REASON -->` before an example skips it; `doc_commands` still checks it.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .paths import ROOT

DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])

FENCE = re.compile(r"^( *)(```+|:::+) *(\S*)")
NOT_RUN = re.compile(r"<!-- not run: .+ -->")
NUMBERS_VARY = "<!-- numbers vary -->"
NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")


@dataclass
class Example:
    """One block of code of a page.

    Args:
        page: Name of the document, from the repository's root.
        line: Number of the block's first line.
        language: "python" or "bash".
        code: What is in the block.
        skipped: Whether it is marked as not run.
        printed: What the page says that it prints; None if the page says nothing.
        numbers_vary: Whether numbers in it are masked.
    """

    page: str
    line: int
    language: str
    code: str
    skipped: bool = False
    printed: str | None = None
    numbers_vary: bool = False

    def __str__(self) -> str:
        """Give page and line, as tests name it."""
        return f"{self.page}:{self.line}"


def read_examples(path: Path) -> list[Example]:
    """Read the blocks of a document in order, each with its output."""
    page = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    examples: list[Example] = []
    comment, follows = "", False  # `follows`: nothing but comments has come since the last example
    lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if not (fence := FENCE.match(line)):
            if line.strip():
                comment = line.strip()
                follows &= comment.startswith("<!--")
            continue
        indent, ticks, language = fence.groups()
        block = []
        for _, inner in lines:
            if inner.strip() == ticks:
                break
            block.append(inner.removeprefix(indent))
        code = "\n".join(block) + "\n"
        if language in ("python", "bash"):
            examples.append(Example(page, number, language, code, bool(NOT_RUN.fullmatch(comment))))
        elif language == "text" and follows:
            examples[-1].printed, examples[-1].numbers_vary = code, comment == NUMBERS_VARY
        comment, follows = "", language in ("python", "bash")
    return examples


def run_examples(examples: Iterable[Example], folder: Path) -> list[str]:
    """Run the examples of a page in a folder that is the working folder; returns where a page shows other output.

    Raises:
        subprocess.CalledProcessError: A command failed; its output is in the message.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "80",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    wrong = []
    for example in examples:
        if example.skipped:
            continue
        run = _run_python if example.language == "python" else _run_bash
        printed = run(example, folder, namespace, environment)
        if example.printed is not None and not matches(example.printed, printed, example.numbers_vary):
            wrong.append(f"{example} shows:\n{example.printed}\nbut printed:\n{printed}")
    return wrong


def _run_python(example: Example, folder: Path, namespace: dict[str, object], environment: Mapping[str, str]) -> str:
    code = compile("\n" * example.line + example.code, str(ROOT / example.page), "exec")  # its line in a traceback
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, namespace)
    return printed.getvalue()


def _run_bash(example: Example, folder: Path, namespace: dict[str, object], environment: Mapping[str, str]) -> str:
    command = ["bash", "-e", "-c", example.code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, example.code, done.stdout, done.stderr)
        error.add_note(f"{example}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        raise error
    return done.stdout


def matches(shown: str, printed: str, numbers_vary: bool = False) -> bool:
    """Compare a page's output with a real one; `...` in the page stands for any text.

    >>> matches("AU12 ... end", "AU12 0.5\\n0.6 end")
    True
    >>> matches("F1 71.2", "F1 68.9"), matches("F1  71.2", "F1 8.9", numbers_vary=True)
    (False, True)
    """
    shown, printed = (_normalised(text, numbers_vary) for text in (shown, printed))
    pattern = ".*".join(re.escape(part) for part in shown.split("..."))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def _normalised(text: str, numbers_vary: bool) -> str:
    if numbers_vary:  # their lengths change the width of a table, too
        text = re.sub(r"-{3,}", "---", re.sub(r"[ \t]+", " ", NUMBER.sub("#", text)))
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
