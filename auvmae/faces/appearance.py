"""Describe what a face looks like, to know it again after a brief hiding."""

import numpy as np

from .shots import normalise

LOOK_SIDE = 8

LOOK_SIZE = 3 * LOOK_SIDE**2

SAME_LOOK = 0.8
"""Minimum correlation of two looks of the same person, moments apart; for two people it is rarely as high."""

VISIBLE_LOOK = 0.4
"""Minimum correlation of the look in a frame with that of the detections around it, if the face is visible there."""


def look_at(image: np.ndarray | None, landmarks: np.ndarray) -> np.ndarray:
    """Describe the face with given landmarks (5, 2).

    Returns:
        Float32, shape (LOOK_SIZE,), with mean 0 and norm 1; zeros if nothing is to be seen.
    """
    import cv2

    empty = np.zeros(LOOK_SIZE, np.float32)
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    down = mouth - eyes
    size = float(np.hypot(*down))
    if image is None or not np.isfinite(size) or size < 1:
        return empty
    # little beside the face, whose background changes as it moves; four points per cell and axis are averaged
    side = 4 * LOOK_SIDE
    turn = np.array([[down[1], -down[0]], [down[0], down[1]]]) / size**2 * (side / 2.4)
    shift = side / 2 - turn @ ((eyes + mouth) / 2)
    fine = cv2.warpAffine(image, np.column_stack([turn, shift]), (side, side), borderMode=cv2.BORDER_REPLICATE)
    found = normalise(cv2.resize(fine, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA))
    return empty if found is None else found


def is_visible(image: np.ndarray | None, row: np.ndarray) -> bool:
    """Tell whether a frame shows a face that lies between two detections.

    Args:
        image: Pixels of the frame, or None.
        row: Interpolated row like `NO_FACE`; its look need not be normalised.
    """
    if image is None:
        return False
    look, expected = look_at(image, row[4:14].reshape(5, 2)), row[15:]
    return float(look @ expected) >= VISIBLE_LOOK * float(expected @ expected)


def is_same(look: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two looks are those of one person."""
    return float(look @ other) >= SAME_LOOK
