"""Convert decoded frames to the RGB pixels that a player shows."""

import threading
from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import Interpolation, VideoReformatter

from .wide_colour import is_wide, to_bt709

_THREAD = threading.local()

MAX_ASPECT = 8
"""Pixels that are wider or higher than this are a mistake of the writer, and count as square."""


def to_rgb(frame: Any, stream: Any) -> np.ndarray:
    """Convert a decoded frame to what a player shows, uint8 of shape (H, W, 3).

    The whole display matrix is applied, pixels become square, and HDR and BT.2020 become BT.709.

    Args:
        frame: Frame of PyAV.
        stream: Its video stream.
    """
    if not hasattr(_THREAD, "reformatter"):  # `frame.reformat` would set up the conversion again for every frame
        _THREAD.reformatter = VideoReformatter()
    width = max(int(frame.width * pixel_aspect(stream)), 1)
    wide = is_wide(frame)
    # one thread: threads do not survive a fork, and a worker of a data loader would wait for them forever
    pixels = _THREAD.reformatter.reformat(
        frame,
        width=width,
        format="rgb48le" if wide else "rgb24",
        interpolation=Interpolation.BILINEAR if width == frame.width else Interpolation.BICUBIC,
        threads=1,
    ).to_ndarray()
    if wide:
        pixels = to_bt709(pixels, frame.color_trc)
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    return np.ascontiguousarray(pixels if matrix is None else show(pixels, np.frombuffer(matrix, np.int32)))


def pixel_aspect(stream: Any) -> Fraction:
    """Return width / height of a stored pixel.

    The container overrules the codec, as in players.
    """
    for source in (stream, stream.codec_context):
        aspect = source.sample_aspect_ratio
        if aspect and 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
            return Fraction(aspect)
    return Fraction(1)


def show(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror (H, W, 3) pixels by the nine numbers of a display matrix.

    A stored pixel (x, y) is shown at (a x + c y, b x + d y). Angles between quarter turns, which players do not show
    either, are rounded.

    >>> show(np.arange(2).reshape(1, 2, 1), np.array([-1, 0, 0, 0, 1, 0, 0, 0, 1])).ravel()
    array([1, 0])
    """
    a, b, _, c, d = matrix[:5].tolist()
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
