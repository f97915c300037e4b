"""Draw the pictures of the docs.

python docs/pictures.py            # the embedded faces of the README
python docs/pictures.py RUN        # the curves of docs/pretraining.md, of a folder that run_pretrain.py wrote
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from auvmae.data.synthetic.dataset import render_subject
from auvmae.plotting.pretraining import plot_losses
from auvmae.plotting.style import save_figure

IMAGES = Path(__file__).parent / "images"


def draw_faces() -> None:
    """Twelve subjects, each at the frame where most of their action units are active."""
    tiles = []
    for subject in range(12):
        frames, intensities = render_subject(subject)
        tiles.append(frames[(intensities >= 2).sum(axis=1).argmax()])
    rows = [np.concatenate(tiles[start : start + 6], axis=1) for start in (0, 6)]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.LANCZOS).save(IMAGES / "synthetic_faces.png")


def draw_curves(run: str) -> None:
    """The losses of a pre-training run, from its `trainer_state.json`."""
    state = json.loads(Path(run, "trainer_state.json").read_text())
    save_figure(plot_losses(state["log_history"]), IMAGES / "pretraining_curves.png")


if __name__ == "__main__":
    draw_curves(sys.argv[1]) if len(sys.argv) > 1 else draw_faces()
