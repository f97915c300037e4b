"""Write files and folders atomically, and overwrite only model folders."""

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TextIO

from .leftovers import remove_leftovers_once, temporary_sibling

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

BLOCKS, BLOCK = 16, 1 << 16


def check_output(output: Path, source: Path, overwrite: bool) -> None:
    """Refuse an output folder if writing it would destroy other files.

    Raises:
        OSError: `output` is a file, is not empty and `overwrite` is False, is not a model folder, or contains `source`,
            or nothing can be written beside it.
    """
    if not output.is_file():
        check_writable(output.parent)
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


def check_writable(folder: Path) -> None:
    """Create a folder, and refuse it if no file can be written there.

    Raises:
        OSError: `folder` is a file, or cannot be created or written.
    """
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file. Choose a folder as the output.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):  # without a name on Linux, so that not even a kill leaves it
            pass
    except OSError as error:
        raise OSError(f"cannot write to {folder} ({error.strerror}). Choose another output folder.") from error


@contextmanager
def writable(folder: str | Path | None) -> Iterator[None]:
    """Check that a folder can be written; remove it if the block writes nothing.

    Args:
        folder: Output folder, see `check_writable`; None if nothing will be written.
    """
    if folder is None:
        yield
        return
    made = [path for path in (Path(folder), *Path(folder).parents) if not path.exists()]
    check_writable(Path(folder))
    try:
        yield
    except BaseException:
        for path in made:
            with suppress(OSError):  # not empty
                path.rmdir()
        raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Provide a new folder that replaces `path` if the block ends without error.

    What earlier processes left beside `path` when they were killed is removed.
    """
    remove_leftovers_once(path.parent.resolve())
    temporary, old = temporary_sibling(path), temporary_sibling(path, "old")
    temporary.mkdir(parents=True)
    try:
        with _naming(path):
            yield temporary
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Provide a temporary path that replaces `path` if the block succeeds.

    What earlier processes left beside `path` when they were killed is removed.
    """
    remove_leftovers_once(path.parent.resolve())
    temporary = temporary_sibling(path)
    try:
        with _naming(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that replaces `path` if the block ends without error."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        yield file


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes and machines from the block while this one is in it.

    The lock lies on a file that the block may replace; it is created empty if it does not exist. A process that dies
    holds no lock.

    Raises:
        OSError: The file system has no locks.
    """
    while True:
        with path.open("a") as file:
            try:
                if fcntl is None:
                    raise OSError("Windows has none")
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                raise OSError(
                    f"cannot lock {path} ({error.strerror or error}): give each rank an output folder of its own, or "
                    "one on a file system with locks"
                ) from error
            with path.open("a") as latest:  # opened, since a network file system may answer `stat` from memory
                same = os.path.sameopenfile(file.fileno(), latest.fileno())
            if same:
                yield
                return


def save_json(content: dict[str, Any], path: Path) -> Path:
    """Write a JSON file atomically, and create its folder if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(json.dumps(content, indent=2) + "\n")
    return path


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a helper file that holds a JSON object, {} if it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def save_sealed(content: dict[str, Any], path: Path) -> None:
    """Write a JSON object atomically, with a checksum of itself, for `read_sealed`."""
    with replacing(path) as file:
        json.dump(content | {"seal": _seal(content)}, file, indent=1)


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `save_sealed` wrote, {} if it is missing, damaged or changed."""
    found = read_json_object(path)
    seal = found.pop("seal", None)
    return found if seal == _seal(found) else {}


def _seal(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def checksums(paths: Iterable[Path]) -> dict[str, list[int]]:
    """Return size and CRC-32 of files by name, to tell later that they are whole.

    Of large files, only 16 blocks of 64 KiB from the first byte to the last are read.
    """
    found = {}
    for path in paths:
        size, crc = path.stat().st_size, 0
        with path.open("rb") as file:
            for number in range(BLOCKS):
                file.seek(max(size - BLOCK, 0) * number // (BLOCKS - 1) if size > BLOCKS * BLOCK else number * BLOCK)
                crc = zlib.crc32(file.read(BLOCK), crc)
        found[path.name] = [size, crc]
    return found


def are_whole(paths: Iterable[Path], expected: Any) -> bool:
    """Tell whether files exist and still have the checksums that were recorded."""
    try:
        return checksums(paths) == expected
    except OSError:
        return False


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error that does not, as on a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
