"""Finding faces in several frames at once: what takes the most time of a prediction with a small model or on a GPU."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType

import numpy as np

from .detection import Face, FaceDetector

MOST_THREADS = 4
"""They share Python's lock, each holds frames, and who follows a face looks so many detections ahead at most."""


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
