"""Define what a face is, and what a face detector does."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Face:
    """Hold one detected face, in pixels of its frame.

    The origin is the top left corner of the frame; x points right, y points down.

    Args:
        box: Float, shape (4,): x, y of the top left corner, width, height. It may extend beyond the frame.
        landmarks: Float, shape (5, 2): x and y of the left eye, the right eye, the tip of the nose, the left and the
            right corner of the mouth. Left and right are those of the image.
        confidence: Detection confidence in [0, 1].
    """

    box: np.ndarray
    landmarks: np.ndarray
    confidence: float


def check_frame(frame: np.ndarray) -> None:
    """Check the dtype and the shape of a frame.

    Raises:
        ValueError: The frame is not uint8 of shape (H, W, 3).
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"a frame must be uint8 of shape (H, W, 3), found {frame.dtype} of shape {frame.shape}")


class FaceDetector(Protocol):
    """Define the interface of a face detector."""

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Detect the faces of one frame.

        Args:
            frame: RGB, uint8, shape (H, W, 3).
            near: Recent box of a face, as in `Face.box`. Only faces near this box are needed. A detector may search
                there alone, which is faster, or search the whole frame.

        Returns:
            The faces in any order; empty if there are none.
        """
        ...
