"""Draw faces as bright squares on a dark background, and detect them.

The brightness of a square encodes the frame number.
"""

import os
import signal
import time

import numpy as np

from auvmae.faces.crop import TEMPLATE, CropRecipe
from auvmae.faces.detection import Face
from auvmae.video.reading import iter_frames
from auvmae.video.writing import VideoWriter

RECIPE = CropRecipe(size=32, detect_every=2, max_gap=0.12, smoothing=0.04, min_length=0.0)
TRAINED = RECIPE.to_dict() | {"detector": "square"}  # as stored in a processor, if `square` is in DETECTORS
SHAPE = (TEMPLATE - 0.5) * 0.5 + 0.5  # landmarks in the unit square; the crop extends beyond it by half of its side


class SquareDetector:
    """Detect the bright square; kill the process on an all-white frame."""

    def __init__(self, min_face=0.1, delay=0.0):
        self.delay = delay

    def detect(self, frame, near=None):
        time.sleep(self.delay)
        if frame.min() > 200:
            os.kill(os.getpid(), signal.SIGKILL)
        rows, columns = np.nonzero(frame[..., 0] > 90)
        if len(rows) < 16:
            return []
        corner = np.array([columns.min(), rows.min()], dtype=float)
        side = np.array([columns.max() + 1, rows.max() + 1]) - corner
        return [Face(np.array([*corner, *side]), corner + side * SHAPE, 0.99)]


class SlowDetector(SquareDetector):
    def __init__(self):
        super().__init__(delay=0.02)


def shade(number):
    return 120 + 12 * (number % 10)


def draw(number, there=True, size=(96, 128)):
    frame = np.full((*size, 3), 30, np.uint8)
    if there:
        frame[24:56, 30 + number // 2 : 62 + number // 2] = shade(number)
    return frame


def write_video(path, count=30, absent=(), size=(96, 128)):
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 25, size[1], size[0]) as writer:
        for number in range(count):
            writer.write(draw(number, number not in absent, size))
    return path


def read_shades(path):
    """Measure the brightness in the centre of each frame, where the square is."""
    return np.array([frame[12:20, 12:20].mean() for _, _, frame in iter_frames(path)])
