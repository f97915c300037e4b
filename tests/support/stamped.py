"""Write videos whose frames show their number, in any container and codec that PyAV can write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS = 6


def stamped(number: int, width: int = 128, height: int = 96) -> np.ndarray:
    """Draw a number below 64 as six bright or dark blocks, uint8 of shape (H, W, 3)."""
    picture = np.full((height, width, 3), 128, np.uint8)
    for bit in range(BITS):
        picture[8:40, 16 * bit : 16 * bit + 16] = 235 if number >> bit & 1 else 20
    return picture


def number_of(picture: np.ndarray) -> int:
    """Read the number of a frame."""
    return sum(1 << bit for bit in range(BITS) if picture[16:32, 16 * bit + 4 : 16 * bit + 12].mean() > 128)


def write_stamped(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    count: int = 40,
    size: tuple[int, int] = (128, 96),
    pixels: str = "yuv420p",
    container: str | None = None,
    adapt: Callable[[Any], None] = lambda stream: None,
    change: Callable[[int, Any], None] = lambda number, packet: None,
) -> Path:
    """Write `count` stamped frames.

    Args:
        path: File to write.
        codec: Encoder.
        options: Options of the encoder.
        count: Number of frames, at most 64.
        size: Width and height.
        pixels: Pixel format.
        container: Format, if the suffix does not tell it.
        adapt: Function that sets up the stream.
        change: Function that changes a packet before it is written, by its number.
    """
    with av.open(str(path), "w", format=container) as target:
        stream: Any = target.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt, stream.options = pixels, options or {}
        stream.codec_context.thread_count = 1
        adapt(stream)
        pictures = [av.VideoFrame.from_ndarray(stamped(number, *size), format="rgb24") for number in range(count)]
        packets = [packet for picture in [*pictures, None] for packet in stream.encode(picture)]
        for number, packet in enumerate(packets):
            change(number, packet)
            target.mux(packet)
    return path
