"""Convert docstrings to what Sphinx reads.

They are written as Markdown with the sections of Google's style.
"""

import re
from typing import Any

from sphinx.application import Sphinx

TYPE = re.compile(r" *`?[\w.]+(\[[^\]]*\])?( \| [\w.]+(\[[^\]]*\])?)*`?:")
"""A type before the text of Returns, such as "`BaseModelOutput`:" or "dict[str, float]:"."""


def mark_code_blocks(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Make an indented block after an empty line a code block, as it is in Markdown."""
    marked: list[str] = []
    for line in lines:
        before = [text for text in marked if text]
        opens = line.startswith("    ") and marked and not marked[-1]
        if opens and before and not before[-1].startswith((" ", "Args:", "Example")):
            marked += ["::", ""]
        marked.append(line)
    lines[:] = marked


def keep_sentences(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep a colon in the text of Returns from making the words before it a type."""
    for number, line in enumerate(lines[1:], 1):
        if lines[number - 1].strip() in ("Returns:", "Yields:") and not TYPE.match(line):
            indent = len(line) - len(line.lstrip())
            lines[number] = f"{line[:indent]}: {line[indent:]}"  # an empty type


def shorten_arrays(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write `ndarray` for `NDArray[...]`, as docstrings give shape and dtype."""
    long = re.compile(r"(~?(?:numpy\.)?ndarray)\[(?:~?typing\.)?tuple\[[^\]]*\], (?:~?(?:numpy\.)?)dtype\[[^\]]*\]\]")
    return long.sub(r"\1", signature or "") or signature, long.sub(r"\1", returns or "") or returns


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hooks, those of docstrings before Napoleon reads the sections."""
    app.connect("autodoc-process-docstring", mark_code_blocks, priority=400)
    app.connect("autodoc-process-docstring", keep_sentences, priority=400)
    app.connect("autodoc-process-signature", shorten_arrays)
    return {"parallel_read_safe": True}
