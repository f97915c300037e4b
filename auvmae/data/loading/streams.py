"""Open videos that are read in order, from WebDataset shards or from the Hub."""

import glob
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import datasets
import fsspec

from ...video.container import VideoDecodeError
from ...video.reading import VIDEO_SUFFIXES
from ...weights import is_hub_name

TAR_BLOCK = 512
"""Size of the blocks of a tar file in bytes; two blocks of zeros end the file."""

BROKEN = (tarfile.TarError, EOFError, zlib.error)
"""What reading a damaged shard raises."""

VIDEO, NAME = "video", "name"
"""Columns of a stream."""


def open_stream(source: str) -> datasets.IterableDataset:
    """Open a stream of videos.

    Args:
        source: Folder of WebDataset shards, a pattern such as "shards/faces-*.tar", or another folder or a dataset of
            the Hub that `datasets.load_dataset` opens. Its "train" split is read.

    Returns:
        Rows with "video", {"bytes", "path"} of a file, and "name".

    Raises:
        ValueError: There is no shard, or not one column of videos, or a shard was cut short.
        OSError: The first shard is damaged.
    """
    shards = find_shards(source)
    for shard in shards:
        check_end(shard)
    files = [glob.escape(str(shard)) for shard in shards]
    kind: dict[str, Any] = {"path": "webdataset", "data_files": files} if shards else {"path": source}
    try:
        rows = datasets.load_dataset(**kind, split="train", streaming=True)
    except BROKEN as error:
        raise damaged(shards[0] if shards else source, error) from error
    except ValueError as error:  # e.g. the samples of a shard have different files
        hint = f" {shards[0]} must begin with videos alone, with one ending; see docs/pretraining.md." if shards else ""
        raise ValueError(f"{source} cannot be streamed: {error}{hint}") from error
    features = rows.features or {}
    columns = [name for name, feature in features.items() if _is_video(name, feature)]
    if not columns:
        raise ValueError(
            f"{source} has no column of videos, found {', '.join(features) or 'nothing'}. A sample of a shard needs a "
            "file such as NAME.mp4, where NAME has no dot; a dataset needs a column of the type Video."
        )
    if len(columns) > 1:
        raise ValueError(
            f"{source} has several columns of videos, {', '.join(columns)}, and only one can be read. In shards, a "
            "name must have no dot but the one before its ending, and all videos the same ending."
        )
    named = {columns[0]: VIDEO} | ({"__key__": NAME} if "__key__" in features else {})
    rows = rows.cast_column(columns[0], datasets.Video(decode=False)).select_columns(list(named))
    return rows.rename_columns({old: new for old, new in named.items() if old != new})


def is_local(source: str) -> bool:
    """Tell whether a stream can only be local."""
    return source.endswith(".tar") or not is_hub_name(source)


def find_shards(source: str) -> list[Path]:
    """List the tar files of a folder or a pattern, sorted; none for a dataset.

    Raises:
        ValueError: A pattern, or what can only be a local path, has no file.
    """
    if Path(source).is_dir():
        return sorted(Path(source).rglob("*.tar"))
    found = sorted(map(Path, glob.glob(source))) if source.endswith(".tar") else []
    if not found and is_local(source):
        raise ValueError(
            f"there are no shards {source}. Name a folder of .tar files, a pattern in quotes, or a dataset of the Hub "
            "as `owner/name`."
        )
    return found


def check_end(shard: Path) -> None:
    """Check that a tar file was not cut short.

    A reader takes the end of a file for the end of the archive, and would miss samples without a word.

    Raises:
        ValueError: The shard does not end with two blocks of zeros.
    """
    with shard.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2 * TAR_BLOCK))
        if size % TAR_BLOCK or file.read() != bytes(2 * TAR_BLOCK):
            raise ValueError(
                f"{shard} was cut short: after {size} bytes, it has no end of a tar file. Copy it again from its "
                "source, or pack it again."
            )


def damaged(source: object, error: Exception) -> OSError:
    """Build the error of a shard that ends too early."""
    return OSError(
        f"{source} was cut short or is damaged: {error}. Copy the shards again from their source, or pack them again."
    )


def name_of(row: dict[str, Any]) -> str:
    """Return the name of the video of a row."""
    return str(row.get(NAME) or (row[VIDEO] or {}).get("path") or "a video without a name")


@contextmanager
def video_file(row: dict[str, Any]) -> Iterator[Path]:
    """Provide the video of a row as a file, for the time of the block.

    Raises:
        VideoDecodeError: The row has no video, or a file that it names cannot be read. Errors in the block name the
            video instead of the file.
    """
    video = row[VIDEO] or {}
    name, path = name_of(row), video.get("path") or ""
    data = video.get("bytes")
    if data is None and path:
        try:
            with fsspec.open(path, "rb") as remote:
                data = remote.read()
        except OSError as error:
            raise VideoDecodeError.of(path, error) from error
    if not data:
        raise VideoDecodeError.of(name, "the sample has no video with the ending of the first ones")
    with NamedTemporaryFile(suffix=Path(path).suffix) as file:
        file.write(data)
        file.flush()
        try:
            yield Path(file.name)
        except VideoDecodeError as error:
            raise VideoDecodeError(str(error).replace(file.name, name)) from error


def _is_video(name: str, feature: Any) -> bool:
    # before datasets 4.1, videos in shards are plain bytes
    return isinstance(feature, datasets.Video) or f".{name.rpartition('.')[2].lower()}" in VIDEO_SUFFIXES
