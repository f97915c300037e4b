"""Convert HDR and wide-gamut pixels (HLG, PQ, BT.2020) to BT.709."""

from functools import lru_cache
from typing import Any

import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc

WHITE = 203
"""Luminance in cd/m2 that becomes white (ITU-R BT.2408); brighter highlights are clipped."""

GAMMA = 2.4
"""Exponent of the display curve of BT.709 and BT.2020 (ITU-R BT.1886)."""

BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
"""ITU-R BT.2087."""


def is_wide(frame: Any) -> bool:
    """Tell whether the colours of a frame are not those of BT.709 or BT.601."""
    curves = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67, ColorTrc.BT2020_10, ColorTrc.BT2020_12)
    return frame.color_trc in curves or frame.color_primaries == ColorPrimaries.BT2020


def to_bt709(pixels: np.ndarray, curve: int) -> np.ndarray:
    """Convert BT.2020 pixels of a transfer curve, uint16 (H, W, 3), to BT.709, uint8.

    Luminance is kept up to the reference white of 203 cd/m2, so that what was graded for SDR looks as in SDR.
    """
    light = _to_light(curve)[pixels] @ BT2020_TO_BT709.T
    np.clip(light, 0, 1, out=light)
    light *= 65535
    light += 0.5
    return _from_light()[light.astype(np.uint16)]


@lru_cache
def _to_light(curve: int) -> np.ndarray:
    """Tabulate the light of each 16-bit value, 1 for white."""
    value = np.linspace(0, 1, 65536)
    if curve == ColorTrc.SMPTE2084:
        root = value ** (32 / 2523)
        light = (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305) * 10000 / WHITE
    elif curve == ColorTrc.ARIB_STD_B67:
        scene = np.where(value <= 0.5, value**2 / 3, (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        light = scene**1.2 * 1000 / WHITE  # on a display of 1000 cd/m2; the gamma by channel, as FFmpeg's zscale does
    else:
        light = value**GAMMA
    return light.astype(np.float32)


@lru_cache
def _from_light() -> np.ndarray:
    return np.rint(255 * np.linspace(0, 1, 65536) ** (1 / GAMMA)).astype(np.uint8)
