"""Folders that a command writes: whole or not at all, and never in the place of what is not a model's."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


def check_output(output: Path, source: Path, overwrite: bool) -> None:
    """Refuse a folder that would take something else along.

    Raises:
        OSError: `output` is a file, is not empty and not to be overwritten, is no model's folder, or holds `source`.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if output.is_file():
        raise NotADirectoryError(f"{output} is a file: name a folder.")
    if not overwrite:
        raise FileExistsError(f"{output} is there already: name another folder, or add --overwrite.")
    if not (output / "config.json").is_file():
        raise FileExistsError(f"{output} has no config.json, so it is no model's folder and is not overwritten.")
    if source.resolve().is_relative_to(output):
        raise FileExistsError(f"{source} lies in {output}, which would be overwritten: name another folder.")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of `path` once the block ends without error."""
    temporary, old = (path.with_name(f"{path.name}.{os.getpid()}.{what}") for what in ("tmp", "old"))
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, `<name>.<pid>.tmp`; its file takes the place of `path` if the block ends without error."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file for writing that takes the place of `path` once the block ends without error."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        yield file


def save_json(content: dict[str, Any], path: Path) -> Path:
    """Write a file whole or not at all, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)
    return path
