"""Draw the figures of the documents, from the root of the repository.

python -m docs.figures faces         # the embedded faces
python -m docs.figures folders       # the folders of the package, for the contributors' page
python -m docs.figures method        # the diagram of the method
python -m docs.figures curves RUN    # the losses of a folder that run_pretrain.py wrote
python -m docs.figures page          # the page of `auvmae demo`; needs Chromium and its driver
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from auvmae.data.synthetic.dataset import render_subject
from auvmae.plotting.pretraining import plot_losses
from auvmae.plotting.style import save_figure

from .folders_figure import describe_imports, plot_folders
from .method_figure import plot_method
from .page_figure import save_page_figure

IMAGES = Path(__file__).parent / "images"


def draw_faces() -> None:
    """Draw twelve subjects, each at the frame where most of their AUs are active."""
    tiles = []
    for subject in range(12):
        frames, intensities = render_subject(subject)
        tiles.append(frames[(intensities >= 2).sum(axis=1).argmax()])
    rows = [np.concatenate(tiles[start : start + 6], axis=1) for start in (0, 6)]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.LANCZOS).save(IMAGES / "synthetic_faces.png")


def draw_curves(run: str) -> None:
    """Draw the losses of a pre-training run from its `trainer_state.json`."""
    state = json.loads(Path(run, "trainer_state.json").read_text())
    save_figure(plot_losses(state["log_history"]), IMAGES / "pretraining_curves.png")


def draw_folders() -> None:
    """Draw the folders and their imports, in few colours for a small file."""
    path = save_figure(plot_folders(), IMAGES / "folders.png")
    with Image.open(path) as figure:
        small = figure.convert("RGB").quantize(64)
    drawn = PngInfo()
    drawn.add_text("imports", describe_imports())  # by which a test sees that the figure is out of date
    small.save(path, optimize=True, pnginfo=drawn)


def draw_method() -> None:
    """Draw the diagram of the method, in few colours for a small file."""
    path = save_figure(plot_method(), IMAGES / "method.png")
    with Image.open(path) as figure:
        small = figure.resize((figure.width * 2 // 3, figure.height * 2 // 3), Image.Resampling.LANCZOS)
    small.convert("P", palette=Image.Palette.ADAPTIVE).save(path, optimize=True)


def main() -> None:
    """Draw the figure named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m docs.figures")
    commands = parser.add_subparsers(dest="figure", required=True)
    commands.add_parser("faces")
    commands.add_parser("folders")
    commands.add_parser("method")
    commands.add_parser("curves").add_argument("run", metavar="RUN")
    commands.add_parser("page")
    match parser.parse_args():
        case argparse.Namespace(figure="curves", run=run):
            draw_curves(run)
        case argparse.Namespace(figure="page"):
            save_page_figure(IMAGES / "demo.png")
        case argparse.Namespace(figure="folders"):
            draw_folders()
        case argparse.Namespace(figure="method"):
            draw_method()
        case _:
            draw_faces()


if __name__ == "__main__":
    main()
