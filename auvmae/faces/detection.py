"""Detect the faces of one frame.

`FaceDetector` is the protocol, `MTCNNDetector` its default implementation, and `DETECTORS` the registry for others.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType

import numpy as np

from .detectors.mtcnn import MTCNNDetector
from .detectors.yunet import YuNetDetector
from .face import Face, FaceDetector

MOST_THREADS = 4
"""Maximum number of detection threads, and of detections that run ahead of a tracked face.

It is small because threads share the GIL, and each of them holds frames in memory."""

DETECTORS: dict[str, Callable[[float], FaceDetector]] = {"mtcnn": MTCNNDetector}
"""Name -> constructor, called with `min_face`. Register a detector here to use its name in a `CropRecipe`."""


def load_detector(name: str, min_face: float = 0.1) -> FaceDetector:
    """Build a detector of `DETECTORS` by name, or a YuNet from its weights.

    Args:
        name: Name in `DETECTORS`, or path of an .onnx file with the weights of YuNet.
        min_face: Height of the smallest face, as a fraction of the shorter side of the frame.

    Raises:
        ValueError: The name is unknown, or the file does not hold a YuNet.
        FileNotFoundError: The file does not exist.
        ImportError: A dependency of the detector is not installed.
    """
    if name.endswith(".onnx"):
        return YuNetDetector(name, min_face)
    if name not in DETECTORS:
        known = ", ".join(sorted(DETECTORS))
        raise ValueError(f"unknown face detector {name!r}; choose from {known}, or give the .onnx file of a YuNet")
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
