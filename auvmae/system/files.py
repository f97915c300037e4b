"""Write files and folders atomically, and overwrite only model folders."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


def check_output(output: Path, source: Path, overwrite: bool) -> None:
    """Refuse an output folder if writing it would destroy other files.

    Raises:
        OSError: `output` is a file, is not empty and `overwrite` is False, is not a model folder, or contains `source`.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if output.is_file():
        raise NotADirectoryError(f"{output} is a file. Choose a folder as the output.")
    if not overwrite:
        raise FileExistsError(f"{output} already exists. Choose another folder, or add --overwrite.")
    if not (output / "config.json").is_file():
        raise FileExistsError(f"{output} has no config.json, so it is not a model folder and will not be overwritten.")
    if source.resolve().is_relative_to(output):
        raise FileExistsError(f"{source} is inside {output}, which would be overwritten. Choose another folder.")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Provide a new folder that replaces `path` if the block ends without error."""
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
    """Provide a path `<name>.<pid>.tmp` that replaces `path` if the block succeeds."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that replaces `path` if the block ends without error."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        yield file


def save_json(content: dict[str, Any], path: Path) -> Path:
    """Write a JSON file atomically, and create its folder if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)
    return path
