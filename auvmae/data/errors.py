"""What goes wrong when a data set is read, said so that it can be put right."""

from pathlib import Path
from textwrap import dedent

MAX_LISTED = 24


class DatasetLayoutError(ValueError):
    """A folder that is not laid out as its data set is."""

    @classmethod
    def of(cls, problem: str, expected: str, root: Path | None) -> "DatasetLayoutError":
        """The error that says what is wrong, draws the tree expected, and lists what was found under `root`."""
        found = "(no folder was given)" if root is None else f"{root}\n{_draw_tree(root)}"
        return cls(f"{problem}\n\nExpected:\n{dedent(expected).strip()}\n\nFound:\n{found}")


class LabelError(ValueError):
    """A label file that cannot be read, or that disagrees with its video."""

    @classmethod
    def at(cls, path: Path, line: int | None, found: str, remedy: str) -> "LabelError":
        """The error that names file, line (from 1; None for the whole file), what is there and what should be."""
        return cls(f"{path}{'' if line is None else f', line {line}'}: found {found}. {remedy}")


def _draw_tree(root: Path) -> str:
    if not root.is_dir():
        return "    (a file)" if root.exists() else "    (it does not exist)"
    lines = []
    for entry in sorted(root.iterdir()):
        lines.append(f"    {entry.name}{'/' if entry.is_dir() else ''}")
        if entry.is_dir():
            lines += [f"        {child.name}{'/' if child.is_dir() else ''}" for child in sorted(entry.iterdir())[:3]]
    lines = [*lines[:MAX_LISTED], "    ..."] if len(lines) > MAX_LISTED else lines
    return "\n".join(lines) or "    (it is empty)"
