"""Draw the README's picture of the embedded faces: `python docs/pictures.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

from auvmae.data.synthetic import render_subject


def main() -> None:
    """Twelve subjects, each at the frame where most of their action units are active."""
    tiles = []
    for subject in range(12):
        frames, intensities = render_subject(subject)
        tiles.append(frames[(intensities >= 2).sum(axis=1).argmax()])
    rows = [np.concatenate(tiles[start : start + 6], axis=1) for start in (0, 6)]
    sheet = Image.fromarray(np.concatenate(rows))
    path = Path(__file__).parent / "images" / "synthetic_faces.png"
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.LANCZOS).save(path)


if __name__ == "__main__":
    main()
