"""Find out from the structure of a video file whether a part of it is missing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

UNKNOWN_SIZES = {0, 0xFFFFFFFF}
"""Sizes that a writer leaves behind if it cannot go back to the header."""

PACKETS = (188, 192, 204)
"""Bytes of an MPEG transport packet, with and without time code or error correction."""

SEGMENT = 0x18538067
"""Kind of the Matroska element that holds all frames."""

OGG_PAGE = 65307
"""Maximum size of an Ogg page in bytes."""


def missing_end(path: Path, container_format: str) -> str:
    """Tell how a file shows that it is cut off, or that its tables are damaged.

    Args:
        path: Video file.
        container_format: FFmpeg's name of the container, such as "mov,mp4,m4a,3gp,3g2,mj2".

    Returns:
        The reason, for a message. Empty if the file is complete, or its container cannot tell.
    """
    size = path.stat().st_size
    for name, check in _CHECKS.items():
        if name in container_format.split(","):
            with path.open("rb") as file:
                return check(file, size)
    return ""


def _declares(end: int, size: int) -> str:
    return f"it has {size} bytes, and its header declares {end}" if end > size else ""


def _check_mp4(file: BinaryIO, size: int) -> str:
    at, moov = 0, (0, 0)
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        moov = (at, int.from_bytes(head[:4], "big")) if head[4:8] == b"moov" else moov
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length < 8:  # 0: up to the end of the file
            return ""
        at += length
    if at > size:
        return _declares(at, size)
    file.seek(moov[0])
    return _check_tables(file.read(moov[1]), size)


def _check_tables(box: bytes, size: int) -> str:
    """Compare the tables of frames in a box of MP4 with each other and the file."""
    listed = {}
    for kind, content in _boxes(box[8:]):
        if kind in (b"trak", b"mdia", b"minf") and (problem := _check_tables(bytes(8) + content, size)):
            return problem
        if kind == b"stbl":
            listed = dict(_boxes(content))
    try:
        sizes, times, chunks = (_numbers(listed[name]) for name in (b"stsz", b"stts", b"stsc"))
        offsets = _numbers(listed.get(b"stco") or listed[b"co64"])
        each, count = sizes[0], sizes[1]
        total = each * count if each else int(sizes[2 : 2 + count].sum())
        firsts, lengths = np.append(chunks[1::3], offsets[0] + 1), chunks[2::3]
        counts = {int(count), int(times[1::2].sum()), int(np.diff(firsts) @ lengths)}
    except (KeyError, IndexError, ValueError):  # of a box without frames, or of another kind of track
        return "" if not listed else "its table of frames is incomplete"
    if total > size:
        return f"its table of frames lists {total} bytes, and it has {size}"
    if len(counts) > 1 or (not each and len(sizes) < 2 + count):
        return f"its tables list {' or '.join(map(str, sorted(counts)))} frames"
    return ""


def _numbers(content: bytes) -> np.ndarray:
    """Read the numbers of a table of MP4 behind its version and flags."""
    return np.frombuffer(content[4 : len(content) // 4 * 4], ">u4").astype(np.int64)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length


def _check_riff(file: BinaryIO, size: int) -> str:
    at = 0
    while at + 12 <= size:  # a recording above 1 GB has several lists
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or length in UNKNOWN_SIZES:
            return ""
        at += 8 + length
    return _declares(at, size)


def _check_matroska(file: BinaryIO, size: int) -> str:
    def number() -> tuple[int, int]:
        """Read a number of variable length, and the value of its marker bit."""
        first = file.read(1)
        width = 9 - first[0].bit_length() if first and first[0] else 1
        return int.from_bytes(first + file.read(width - 1), "big"), 1 << 7 * width

    file.seek(0)
    while file.tell() < size:
        kind, _ = number()
        marked, marker = number()
        length = marked - marker
        if kind == SEGMENT:
            unknown = length == marker - 1  # written live
            return "" if unknown else _declares(file.tell() + length, size)
        file.seek(length, os.SEEK_CUR)
    return ""


def _check_asf(file: BinaryIO, size: int) -> str:
    head = file.read(65536)
    at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))  # the file properties object
    flags = int.from_bytes(head[at + 88 : at + 92], "little")
    if at < 0 or flags & 1:  # broadcast: the size is not known
        return ""
    return _declares(int.from_bytes(head[at + 40 : at + 48], "little"), size)


def _check_transport(file: BinaryIO, size: int) -> str:
    return "" if any(size % packet == 0 for packet in PACKETS) else "its last transport packet is incomplete"


def _check_flv(file: BinaryIO, size: int) -> str:
    at = 9 + 4
    while at + 11 <= size:
        file.seek(at)
        at += 11 + int.from_bytes(file.read(4)[1:], "big") + 4
    return _declares(at, size)


def _check_ogg(file: BinaryIO, size: int) -> str:
    file.seek(max(0, size - OGG_PAGE))
    tail = file.read()
    page = tail.rfind(b"OggS")
    segments = tail[page + 26] if 0 <= page < len(tail) - 27 else 0
    length = 27 + segments + sum(tail[page + 27 : page + 27 + segments])
    ended = page >= 0 and tail[page + 5] & 4 and page + length <= len(tail)
    return "" if ended else "its last page is missing"


_CHECKS: dict[str, Callable[[BinaryIO, int], str]] = {
    "mp4": _check_mp4,
    "avi": _check_riff,
    "matroska": _check_matroska,
    "asf": _check_asf,
    "mpegts": _check_transport,
    "flv": _check_flv,
    "ogg": _check_ogg,
}
