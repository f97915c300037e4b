"""Crop aligned faces from a stream of frames, following a recipe.

The same recipe gives the same crops in dataset preparation and in prediction, so the processor of a checkpoint stores
its recipe (`CropRecipe.to_dict`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_type_hints

import numpy as np

from ..video.reading import IMAGE_FOLDER_FPS, Frame
from .detection import FaceDetector, load_detector
from .multi_face_tracking import track_faces
from .smoothing import TrackedFace
from .tracking import delay_in_frames, track_face

TEMPLATE = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.58], [-0.42, 1.10], [0.42, 1.10]]) / 3 + [0.5, 0.32]
"""Positions of the five landmarks in a crop with margin 0, as fractions of its side.

The side is three eye distances, the height of MTCNN's box. The positions are the mean face of MTCNN over nine clips of
eight people, made symmetric."""


@dataclass(frozen=True)
class CropRecipe:
    """Hold all settings that determine a face crop.

    Args:
        detector: Name in `faces.DETECTORS`.
        size: Side of the square crop in pixels; even, because H.264 has no odd sizes.
        margin: Margin added on each side, as a fraction of the tight crop (brows to chin).
        face, search, detect_every, max_gap, smoothing, min_length, min_confidence: See `tracking.track_face`.
        min_face: Height of the smallest face to detect, as a fraction of the shorter side of the frame.

    Raises:
        ValueError: A value is out of range.

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
    max_gap: float = 0.4
    smoothing: float = 0.08
    min_length: float = 0.2
    min_confidence: float = 0.9
    min_face: float = 0.1

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(CropRecipe).items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
                raise ValueError(f"{name} must be {_KINDS[kind]}, found {value!r}")
        problems = {
            "size": (self.size >= 16 and self.size % 2 == 0) or "an even number of at least 16",
            "margin": 0 <= self.margin <= 2 or "in [0, 2]",
            "face": self.face in ("tracked", "largest") or '"tracked" or "largest"',
            "search": self.search in ("near", "frame") or '"near" or "frame"',
            "detect_every": self.detect_every >= 1 or "at least 1",
            "max_gap": 0 <= self.max_gap <= 2 or "in [0, 2] seconds (earlier recipes counted frames)",
            "smoothing": 0 <= self.smoothing <= 0.5 or "in [0, 0.5] seconds (earlier recipes counted frames)",
            "min_length": 0 <= self.min_length <= 2 or "in [0, 2] seconds",
            "min_confidence": 0 <= self.min_confidence <= 1 or "in [0, 1]",
            "min_face": 0 < self.min_face <= 1 or "in (0, 1]",
        }
        for name, wanted in problems.items():
            if wanted is not True:
                raise ValueError(f"{name} must be {wanted}, found {getattr(self, name)!r}")

    @property
    def delay(self) -> int:
        """Return the maximum delay of `iter_crops`, in frames at 25 frames per second.

        At other rates it grows in proportion, except for `detect_every`; above 60 frames per second it does not grow.
        """
        return delay_in_frames(self.detect_every, self.max_gap, self.smoothing, self.min_length, IMAGE_FOLDER_FPS)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON; `CropRecipe(**fields)` restores the recipe."""
        return asdict(self)


_KINDS = {str: "a text", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class CroppedFrame:
    """Hold one frame of a recording with its face crop.

    Args:
        index: Index of the frame in its video, or the integer file stem of an image.
        timestamp: Time in seconds; NaN for images.
        face: Smoothed face in pixels of the whole frame; None without a face.
        crop: RGB crop, uint8 of shape (size, size, 3); None without a face.
        frame_size: Width and height of the whole frame in pixels; None if they are unknown.
    """

    index: int
    timestamp: float
    face: TrackedFace | None
    crop: np.ndarray | None
    frame_size: tuple[int, int] | None = None


def iter_crops(
    frames: Iterable[Frame], recipe: CropRecipe, detector: FaceDetector | None = None, every_face: bool = False
) -> Iterator[CroppedFrame]:
    """Crop the face of each frame of a stream.

    The crops lag behind the input by a bounded number of frames (see `track_face`).

    Args:
        frames: Frame stream, as from `video.iter_frames`.
        recipe: Settings of the crops.
        detector: Detector that replaces the one named in the recipe.
        every_face: Track all faces (see `track_faces`) instead of the one selected by the recipe's `face`.

    Yields:
        One `CroppedFrame` per frame, in order. With `every_face`, a frame with several faces gives one for each face.
    """
    detector = detector or load_detector(recipe.detector, recipe.min_face)
    names = ("search", "detect_every", "max_gap", "smoothing", "min_length", "min_confidence")
    settings = {name: getattr(recipe, name) for name in names}
    tracked: Iterable[tuple[Frame, Sequence[TrackedFace | None]]]
    if every_face:
        tracked = track_faces(frames, detector, **settings)
    else:
        one = track_face(frames, detector, face=recipe.face, **settings)
        tracked = ((frame, [face]) for frame, face in one)
    for (index, timestamp, frame), faces in tracked:
        for face in faces or [None]:
            crop = None if face is None or frame is None else align(frame, face.landmarks, recipe.size, recipe.margin)
            yield CroppedFrame(index, timestamp, face, crop, None if frame is None else frame.shape[1::-1])


def align(frame: np.ndarray, landmarks: np.ndarray, size: int, margin: float) -> np.ndarray:
    """Crop an upright face by a similarity transform of its landmarks to `TEMPLATE`.

    The transform is the least-squares fit to all five landmarks, so that no single landmark can make the crop jump.
    Beyond the edge of the frame, its last pixels are repeated.

    Args:
        frame: uint8, shape (H, W, 3).
        landmarks: Float, shape (5, 2), in pixels of the frame.
        size: Side of the crop in pixels.
        margin: See `CropRecipe`.

    Returns:
        uint8 of shape (size, size, 3).
    """
    import cv2

    target = ((TEMPLATE - 0.5) / (1 + 2 * margin) + 0.5) * size
    # points as complex numbers: multiplication rotates and scales, addition shifts
    source, goal = (points[:, 0] + 1j * points[:, 1] for points in (landmarks, target))
    centred = source - source.mean()
    turn = np.vdot(centred, goal - goal.mean()) / np.vdot(centred, centred)
    # warpAffine samples single points, so shrinking needs a finer grid that is averaged afterwards
    grid = max(1, int(np.ceil(1 / abs(turn))))
    turn, shift = turn * grid, (goal.mean() - turn * source.mean()) * grid
    # (0, 0) is the centre of the first pixel in OpenCV, and its corner here
    shift += turn * (0.5 + 0.5j) - (0.5 + 0.5j)
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    crop = cv2.warpAffine(
        frame, matrix, (size * grid, size * grid), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return crop if grid == 1 else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
