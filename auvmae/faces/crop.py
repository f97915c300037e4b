"""Face crops from a stream of frames: the recipe, and the aligned pictures.

The same recipe gives the same pictures while a data set is prepared and while a recording streams through prediction,
so a checkpoint's processor stores it (`CropRecipe.to_dict`).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..video.reading import Frame
from .detection import FaceDetector, load_detector
from .multi_face_tracking import track_faces
from .tracking import TrackedFace, track_face

TEMPLATE = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.58], [-0.42, 1.10], [0.42, 1.10]]) / 3 + [0.5, 0.32]
"""Where the five landmarks lie in the crop at margin 0, as shares of its side, which is three eye distances (the height
of MTCNN's box): MTCNN's mean face over nine clips of eight people, made symmetric."""


@dataclass(frozen=True)
class CropRecipe:
    """Everything that decides what a face crop looks like.

    Args:
        detector: name in `faces.DETECTORS`.
        size: side of the square crop in pixels, even (H.264 has no odd sizes).
        margin: what is added on each side, as a share of the tight crop (brows to chin).
        face, search, detect_every, max_gap, smoothing, min_confidence: as in `tracking.track_face`.
        min_face: height of the smallest face looked for, as a share of the frame's shorter side.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> CropRecipe(**CropRecipe(size=112).to_dict()) == CropRecipe(size=112)
        True
    """

    detector: str = "mtcnn"
    size: int = 224
    margin: float = 0.05
    face: str = "tracked"
    search: str = "near"
    detect_every: int = 3
    max_gap: int = 10
    smoothing: float = 2.0
    min_confidence: float = 0.9
    min_face: float = 0.1

    def __post_init__(self) -> None:
        problems = {
            "size": (self.size >= 16 and self.size % 2 == 0) or "an even number from 16",
            "margin": 0 <= self.margin <= 2 or "in [0, 2]",
            "face": self.face in ("tracked", "largest") or '"tracked" or "largest"',
            "search": self.search in ("near", "frame") or '"near" or "frame"',
            "detect_every": self.detect_every >= 1 or "at least 1",
            "max_gap": self.max_gap >= 0 or "at least 0",
            "smoothing": 0 <= self.smoothing <= 100 or "in [0, 100]",
            "min_confidence": 0 <= self.min_confidence <= 1 or "in [0, 1]",
            "min_face": 0 < self.min_face <= 1 or "in (0, 1]",
        }
        for name, wanted in problems.items():
            if wanted is not True:
                raise ValueError(f"{name} must be {wanted}, found {getattr(self, name)!r}")

    @property
    def delay(self) -> int:
        """Frames that `iter_crops` runs behind its input at most."""
        return self.detect_every + self.max_gap + math.ceil(3 * self.smoothing)

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON; `CropRecipe(**fields)` is the way back."""
        return asdict(self)


@dataclass(frozen=True)
class CroppedFrame:
    """One frame of a recording and its face crop.

    Args:
        index: index of the frame in its video; the integer stem of an image's name.
        timestamp: in seconds, NaN for images.
        face: the steady face in pixels of the whole frame, None without one.
        crop: uint8 of shape (size, size, 3), RGB, None without a face.
    """

    index: int
    timestamp: float
    face: TrackedFace | None
    crop: np.ndarray | None


def iter_crops(
    frames: Iterable[Frame], recipe: CropRecipe, detector: FaceDetector | None = None, every_face: bool = False
) -> Iterator[CroppedFrame]:
    """Crop the face out of each frame of a stream, a bounded number of frames (see `track_face`) behind it.

    Args:
        frames: as `video.iter_frames` gives them.
        recipe: what the crops look like.
        detector: used in place of the recipe's.
        every_face: follow all faces (see `track_faces`), not the one that the recipe's `face` chooses.

    Yields:
        One `CroppedFrame` per frame, in order; with `every_face` one for each of its faces, if there are any.
    """
    detector = detector or load_detector(recipe.detector, recipe.min_face)
    settings = {name: getattr(recipe, name) for name in ("detect_every", "max_gap", "smoothing", "min_confidence")}
    tracked: Iterable[tuple[Frame, Sequence[TrackedFace | None]]]
    if every_face:
        tracked = track_faces(frames, detector, **settings)
    else:
        one = track_face(frames, detector, face=recipe.face, search=recipe.search, **settings)
        tracked = ((frame, [face]) for frame, face in one)
    for (index, timestamp, frame), faces in tracked:
        for face in faces or [None]:
            crop = None if face is None else align(frame, face.landmarks, recipe.size, recipe.margin)
            yield CroppedFrame(index, timestamp, face, crop)


def align(frame: np.ndarray, landmarks: np.ndarray, size: int, margin: float) -> np.ndarray:
    """Cut a face out upright: shift, turn and scale so that its landmarks come closest to `TEMPLATE`.

    All five landmarks decide together (least squares), so that no single one can make the crop jump. Beyond the frame's
    edge its last pixels are repeated.

    Args:
        frame: uint8, shape (H, W, 3).
        landmarks: shape (5, 2), in pixels of the frame.
        size: side of the crop in pixels.
        margin: as in `CropRecipe`.

    Returns:
        uint8 of shape (size, size, 3).
    """
    import cv2

    target = ((TEMPLATE - 0.5) / (1 + 2 * margin) + 0.5) * size
    # points as complex numbers: multiplying turns and scales, adding shifts
    here, there = (points[:, 0] + 1j * points[:, 1] for points in (landmarks, target))
    centred = here - here.mean()
    turn = np.vdot(centred, there - there.mean()) / np.vdot(centred, centred)
    # warpAffine samples single points: shrinking by more than 1 needs a finer grid, averaged afterwards
    grid = max(1, int(np.ceil(1 / abs(turn))))
    turn, shift = turn * grid, (there.mean() - turn * here.mean()) * grid
    # pixel (0, 0) of OpenCV is the middle of a pixel whose corner is our (0, 0)
    shift += turn * (0.5 + 0.5j) - (0.5 + 0.5j)
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    crop = cv2.warpAffine(
        frame, matrix, (size * grid, size * grid), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return crop if grid == 1 else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
