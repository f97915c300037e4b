"""Draw contact sheets, so that FACS coders can judge the table of action units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .action_units import ACTION_UNITS, NUMBERS, expression_weights
from .drawing.rendering import Portrait, Shot
from .drawing.wrinkles import Wrinkles

INTENSITIES = (1, 3, 5)
"""Intensities that a sheet shows of each action unit."""

BLOCKS = 3
"""Action units beside each other."""


def draw_sheet(portrait: Portrait, intensities: Sequence[float] = INTENSITIES) -> NDArray[np.uint8]:
    """Draw every action unit of the table alone, at several intensities.

    Args:
        portrait: Portrait to animate.
        intensities: Intensities in 0..5, from left to right.

    Returns:
        RGB, uint8 of shape (rows of the sheet * size, columns * size, 3).
    """
    import cv2

    cells, wrinkles = [], Wrinkles(0)
    for column, unit in enumerate(ACTION_UNITS):
        for intensity in intensities:
            one = np.zeros(len(NUMBERS), np.float32)
            one[column] = intensity
            weights = expression_weights(portrait.renderer.mesh.rig, one)
            frame = portrait.render(Shot(weights, wrinkles=wrinkles.shade(one))).frame
            label = f"AU{unit.number}={intensity:g}"
            for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(frame, label, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, width, cv2.LINE_AA)
            cells.append(frame)
    across = BLOCKS * len(intensities)
    cells += [np.zeros_like(cells[0])] * (-len(cells) % across)
    return np.vstack([np.hstack(cells[start : start + across]) for start in range(0, len(cells), across)])
