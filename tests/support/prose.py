"""Read the project's prose: documents, docstrings, comments, messages and help texts."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from .paths import ROOT

CODE = sorted(
    [*ROOT.glob("run_*.py"), *ROOT.glob("auvmae/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("docs/*.py")]
)
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("model_cards/*.md"), *ROOT.glob("auvmae/*/README.md")]
)

WORDS = {
    r"look(s|ed|ing)? for": "detect, search",
    r"tak(e|es|en|ing) off|took off": "subtract",
    r"deal|deals|dealt": "split, assign",
    r"(go|goes|went|gone|going) on": "resume, continue",
    r"wins? over|go(es)? over it": "override",
    r"end(s|ed)? in": "raise, end with",
    r"st(and|ands|ood) (beside|in|by|on|at)": "is beside, is in",
    r"data sets?": "dataset",
    r"pictures?": "figure, image",
    r"at rest": "neutral",
    r"by heart": "overfit",
    r"whom|whose heads?": "a clause with a noun",
    r"of which|what of|of them all": "a clause with a noun",
    r"spread": "standard deviation",
    r"told from": "distinguishable from",
    r"all-ones": "always positive",
    r"so many": "a number",
    r"if need be": "if it does not exist",
    r"beforehand|thereof|therein": "before, its, in it",
    r"the oftener|anew": "oversample, again",
}
"""Translated English -> the field's word."""

VERBS = set(Path(__file__).with_name("verbs.txt").read_text().split())
"""Verbs that a docstring may begin with; add yours."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Give line number and text of every docstring of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=True)
            if text is not None:
                yield node.body[0].lineno, text


def prose_of_code(path: Path) -> Iterator[tuple[int, str]]:
    """Give line number and text of every string and comment of a module."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


def prose_of_document(path: Path) -> Iterator[tuple[int, str]]:
    """Give line number and text of every line of a document outside of code blocks."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        if not fenced:
            yield number, line


def translated(lines: Iterator[tuple[int, str]]) -> list[str]:
    """List the places with a word of `WORDS`; what is within backquotes is code."""
    found = []
    for number, line in lines:
        text = re.sub(r"`[^`]*`", "", line)
        for pattern, better in WORDS.items():
            if match := re.search(rf"\b({pattern})\b", text, re.IGNORECASE):
                found.append(f"line {number}: {match[0]!r} (rather: {better}) in {line.strip()[:100]!r}")
    return found


def sentences(path: Path) -> Iterator[str]:
    """Give the sentences of a document's paragraphs and lists; no tables, no code."""
    paragraph: list[str] = []
    for _, line in [*prose_of_document(path), (0, "")]:
        text = line.strip()
        if not text or text.startswith(("|", "#", "!", "```", ":::", "---", "<")) or re.match(r"[-*] |\d+\. ", text):
            yield from _split(" ".join(paragraph))
            paragraph = []
        if text and not text.startswith(("|", "#", "!", "```", ":::", "---", "<")):
            paragraph.append(re.sub(r"^([-*]|\d+\.) ", "", text))


def _split(paragraph: str) -> list[str]:
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "code", paragraph))
    return [part.strip() for part in re.split(r"(?<=[.;:!?])\s", text) if part.strip()]
