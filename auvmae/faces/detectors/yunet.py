"""Detect faces with YuNet, from weights that the user provides."""

from pathlib import Path

import numpy as np

from ..face import Face, check_frame
from .mtcnn import DETECTION_SIDE

MIN_SCORE = 0.5
"""Lowest score of a face; trackers set their own bound above it."""


class YuNetDetector:
    """Detect faces with YuNet in OpenCV (`cv2.FaceDetectorYN`).

    Args:
        weights: File face_detection_yunet_*.onnx of the OpenCV model zoo.
        min_face: Height of the smallest face, as a fraction of the shorter side of the frame.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file does not hold a YuNet.
        ImportError: OpenCV is not installed.
    """

    def __init__(self, weights: str | Path, min_face: float = 0.1) -> None:
        try:
            import cv2
        except ImportError as error:
            raise ImportError(f"face detection needs the extra `faces`: pip install auvmae[faces] ({error})") from error
        if not Path(weights).is_file():
            raise FileNotFoundError(f"there is no file {weights} with the weights of the face detector")
        self.min_face = min_face
        try:
            self._net = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), MIN_SCORE)
            self._net.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            raise ValueError(
                f"{weights} does not hold a YuNet that OpenCV can run ({error.err or error}). Use a file such as "
                "face_detection_yunet_2023mar.onnx of the OpenCV model zoo."
            ) from error

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Detect the faces of one frame; `near` is not used, since a whole frame is quick.

        Raises:
            ValueError: The frame is not uint8 of shape (H, W, 3).
        """
        import cv2

        check_frame(frame)
        scale = min(1, DETECTION_SIDE / min(frame.shape[:2]))
        image = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1]  # to BGR
        self._net.setInputSize(image.shape[1::-1])
        _, found = self._net.detect(np.ascontiguousarray(image))
        smallest = self.min_face * min(frame.shape[:2])
        rows = np.empty((0, 15)) if found is None else found.astype(float)
        rows[:, :14] /= scale
        return [Face(row[:4], row[4:14].reshape(5, 2), float(row[14])) for row in rows if row[3] >= smallest]
