"""Forge miniature BP4D trees.

They have image folders with mixed zero padding, and codes with 9s in columns named by a header.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from .forge_disfa import numbered_frame, write_video

# the columns of the distributed files, protocol or not, in their order
AUS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 27, 28)
GRADED = (6, 10, 12, 14, 17)
# subject, task: (first coded frame, last, images in the sequence)
TASKS = {
    ("F001", "T1"): (3, 140, 150),
    ("F001", "T2"): (95, 104, 110),
    ("M007", "T1"): (1, 30, 40),
    ("M011", "T8"): (5, 25, 25),
    ("F007", "T1"): (8, 20, 24),
}


def codes(subject: str, task: str, length: int) -> np.ndarray:
    """Draw (length, 23) values 0, 1 and, occasionally, 9, fixed per recording."""
    rng = np.random.default_rng([ord(subject[0]), int(subject[1:]), int(task[1:])])
    values = rng.integers(0, 2, (length, len(AUS)))
    values[rng.random(values.shape) < 0.05] = 9
    return values


def forge_bp4d(
    root: Path,
    *,
    labels_folder: str = "AUCoding/AU_OCC",
    sequences: str = "Sequences(2D+3D)/",
    first_image: int = 1,
    padding: Callable[[int], int] = lambda number: 2 + number % 3,
    corner: str = "0",
    columns: tuple[int, ...] = AUS,
    video: str | None = None,
) -> dict[tuple[str, str], np.ndarray]:
    """Write a tree and return the codes in it, (frames, 23) by (subject, task).

    The image of coded frame f always shows the number f. If `first_image` is 0, its name is f - 1.
    """
    written = {}
    for (subject, task), (first, last, images) in TASKS.items():
        written[subject, task] = values = codes(subject, task, last - first + 1)
        rows = [[corner, *columns]]
        rows += [[frame, *(line[AUS.index(au)] for au in columns)] for frame, line in enumerate(values.tolist(), first)]
        csv = root / labels_folder / f"{subject}_{task}.csv"
        csv.parent.mkdir(parents=True, exist_ok=True)
        csv.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
        if video:
            path = root / sequences / video.format(subject=subject, task=task)
            write_video(path, [numbered_frame(number) for number in range(1, images + 1)], fps=25)
            continue
        folder = root / sequences / subject / task
        folder.mkdir(parents=True)
        for number in range(images):
            name = f"{number + first_image:0{padding(number)}d}.jpg"
            Image.fromarray(numbered_frame(number + 1)).save(folder / name, quality=95)
    return written


def write_intensities(root: Path) -> dict[tuple[str, str], dict[int, np.ndarray]]:
    """Write the intensity files of a tree, and return the values in them, 0 to 5 and 9, by recording and AU."""
    written = {}
    for (subject, task), (first, last, _) in TASKS.items():
        rng = np.random.default_rng([ord(subject[0]), int(subject[1:]), int(task[1:]), 1])
        written[subject, task] = {au: rng.choice([0, 1, 2, 3, 4, 5, 9], last - first + 1) for au in GRADED}
        for au, values in written[subject, task].items():
            path = root / f"AUCoding/AU_INT/AU{au:02d}/{subject}_{task}_AU{au:02d}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{frame},{value}\n" for frame, value in enumerate(values.tolist(), first)))
    return written
