"""Damage bytes as disks, transfers and half-finished copies do."""

from collections.abc import Callable

from numpy.random import Generator

INDEX_TAGS = (b"moov", b"stts", b"stsz", b"stco", b"ctts", b"idx1", b"avih", b"strh", b"\x1cS\xbbk", b"\x16T\xaek")
"""Where containers keep their tables: MP4's boxes, AVI's chunks, Matroska's cues and tracks."""


def mutate(data: bytes, rng: Generator, donor: bytes) -> tuple[str, bytes]:
    """Damage a file in one way, chosen at random.

    Args:
        data: Content of the intact file.
        rng: Generator that decides everything.
        donor: Content of another intact file, for blocks and joined files.

    Returns:
        The name of the mutation, and the damaged content.
    """
    names = [*MUTATIONS]
    name = names[rng.integers(len(names))]
    return name, MUTATIONS[name](data, rng, donor)


def _block(data: bytes, rng: Generator) -> tuple[int, int]:
    """Draw a block of up to a quarter of the file."""
    size = int(rng.integers(1, max(2, len(data) // 4)))
    if rng.random() < 0.5:
        size = min(size, 512)  # a sector
    start = int(rng.integers(0, max(1, len(data) - size)))
    return start, start + size


def _noise(data: bytes, rng: Generator, start: int, stop: int, count: int) -> bytes:
    damaged = bytearray(data)
    for _ in range(count):
        damaged[rng.integers(start, max(start + 1, min(stop, len(damaged))))] = rng.integers(256)
    return bytes(damaged)


def _flip_bits(data: bytes, rng: Generator, donor: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def _zero_block(data: bytes, rng: Generator, donor: bytes) -> bytes:
    start, stop = _block(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def _remove_block(data: bytes, rng: Generator, donor: bytes) -> bytes:
    start, stop = _block(data, rng)
    return data[:start] + data[stop:]


def _double_block(data: bytes, rng: Generator, donor: bytes) -> bytes:
    start, stop = _block(data, rng)
    return data[:stop] + data[start:]


def _swap_blocks(data: bytes, rng: Generator, donor: bytes) -> bytes:
    size = max(1, len(data) // int(rng.integers(4, 64)))
    first, second = sorted(rng.integers(0, max(1, len(data) // size), 2) * size)
    return (
        data[:first]
        + data[second : second + size]
        + data[first + size : second]
        + (data[first : first + size] + data[second + size :] if second > first else data[first + size :])
    )


def _foreign_block(data: bytes, rng: Generator, donor: bytes) -> bytes:
    start, stop = _block(data, rng)
    return data[:start] + donor[start:stop] + data[stop:]


def _cut_off(data: bytes, rng: Generator, donor: bytes) -> bytes:
    return data[: rng.integers(0, len(data))]


def _spoil_header(data: bytes, rng: Generator, donor: bytes) -> bytes:
    return _noise(data, rng, 0, 256, int(rng.integers(1, 9)))


def _spoil_index(data: bytes, rng: Generator, donor: bytes) -> bytes:
    found = [place for tag in INDEX_TAGS if (place := data.find(tag)) >= 0]
    start = found[rng.integers(len(found))] + 4 if found else max(0, len(data) - 300)
    return _noise(data, rng, start, start + 200, int(rng.integers(1, 5)))


def _join(data: bytes, rng: Generator, donor: bytes) -> bytes:
    return data + donor


MUTATIONS: dict[str, Callable[[bytes, Generator, bytes], bytes]] = {
    "flipped bits": _flip_bits,
    "zeroed block": _zero_block,
    "removed block": _remove_block,
    "doubled block": _double_block,
    "swapped blocks": _swap_blocks,
    "foreign block": _foreign_block,
    "cut off": _cut_off,
    "spoiled header": _spoil_header,
    "spoiled index": _spoil_index,
    "joined files": _join,
}
