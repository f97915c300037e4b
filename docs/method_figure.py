"""Draw the diagram of the method, on a drawn face.

Its frames, masks, labels and statistics come from the package itself.
"""

from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from auvmae.data.synthetic.dataset import LABELLED_AUS, render_subject
from auvmae.knowledge.facs import DISFA_AUS
from auvmae.knowledge.fsm import cooccurrence_matrix
from auvmae.masking import tube_mask
from auvmae.plotting.style import STYLE

SUBJECT, FRAMES, SIZE, PATCH = 9, range(20, 340, 40), 96, 12
BLUE, GREEN, ORANGE, GREY = "#dbe8f6", "#dff0e3", "#fdebd3", "#f0f0f0"


def mask_frames(frames: np.ndarray, mask_ratio: float) -> np.ndarray:
    """Draw the patches that a tube mask hides in grey; frames are (T, H, W, 3)."""
    side = SIZE // PATCH
    hidden = tube_mask(1, 1, side**2, mask_ratio, torch.Generator().manual_seed(0)).view(side, side).numpy()
    masked = frames.copy()
    masked[:, np.kron(hidden, np.ones((PATCH, PATCH), bool))] = 205
    return masked


class Canvas:
    """Place boxes, frames and arrows, in inches from the lower left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), facecolor="white")
        self.size = np.array([width, height])
        self.axis = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set(xlim=(0, width), ylim=(0, height))
        self.axis.set_axis_off()

    def box(self, x: float, y: float, width: float, height: float, text: str, color: str) -> None:
        """Draw a labelled box with its centre at (x, y)."""
        corner = (x - width / 2, y - height / 2)
        style = "round,pad=0,rounding_size=0.08"
        self.axis.add_patch(FancyBboxPatch(corner, width, height, style, facecolor=color, edgecolor="0.35", lw=0.8))
        self.axis.text(x, y, text, ha="center", va="center", linespacing=1.35)

    def arrow(self, start: tuple[float, float], stop: tuple[float, float], bend: float = 0.0, **look: Any) -> None:
        """Draw an arrow between two points."""
        style = {"arrowstyle": "-|>", "mutation_scale": 9, "color": "0.25", "lw": 1.0, "shrinkA": 0, "shrinkB": 0}
        connection = f"arc3,rad={bend}"
        self.axis.add_patch(FancyArrowPatch(start, stop, connectionstyle=connection, **(style | look)))

    def text(self, x: float, y: float, text: str, **look: Any) -> None:
        """Write at (x, y), centred unless `look` says otherwise."""
        self.axis.text(x, y, text, **({"ha": "center", "va": "center"} | look))

    def panel(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add an axis with its centre at (x, y)."""
        corner = (np.array([x, y]) - (width / 2, height / 2)) / self.size
        return self.figure.add_axes((*corner, *(np.array([width, height]) / self.size)))

    def strip(self, x: float, y: float, frames: np.ndarray, step: float, side: float) -> None:
        """Draw frames in a row that is centred at (x, y), `step` apart."""
        for position, frame in enumerate(frames):
            axis = self.panel(x + (position - (len(frames) - 1) / 2) * step, y, side, side)
            axis.imshow(frame)
            axis.set(xticks=[], yticks=[])


def draw_pretraining(canvas: Canvas, y: float, frames: np.ndarray) -> None:
    """Draw the masked autoencoder (Sec. 3.2) in a row at height `y`."""
    canvas.text(0.15, y + 0.52, "Pre-training on unlabelled face video", ha="left", weight="bold", fontsize=9)
    canvas.strip(1.15, y, frames[2:6], 0.5, 0.46)
    canvas.arrow((2.2, y), (2.62, y))
    canvas.strip(3.65, y, mask_frames(frames, 0.9)[2:6], 0.5, 0.46)
    canvas.text(3.65, y - 0.4, "tube mask: 90 % of the patches hidden", color="0.35", fontsize=7)
    canvas.arrow((4.7, y), (5.1, y))
    canvas.box(5.6, y, 0.95, 0.62, "video\nencoder", BLUE)
    canvas.arrow((6.1, y), (6.5, y))
    canvas.box(6.98, y, 0.92, 0.62, "decoder", GREY)
    canvas.arrow((7.46, y), (7.86, y))
    canvas.box(8.62, y, 1.48, 0.62, "reconstruct\nthe hidden patches", GREY)


def draw_levels(canvas: Canvas, y: float, frames: np.ndarray) -> None:
    """Draw the three input levels (Sec. 3.3), the lowest one at height `y`."""
    levels = (
        ("video level: every frame", frames, 0.27),
        ("frame level: every fourth frame", frames[::4], 1.08),
        ("patch level: half of the patches hidden", mask_frames(frames, 0.5), 0.27),
    )
    for place, (name, shown, step) in enumerate(levels):
        height = y + (2 - place) * 0.78
        canvas.strip(1.4, height, shown, step, 0.46)
        canvas.text(0.15, height + 0.32, name, ha="left", fontsize=7, color="0.35")
        canvas.arrow((2.68, height), (3.05, y + 0.78 + (1 - place) * 0.16))


def draw_finetuning(canvas: Canvas, y: float, frames: np.ndarray, labels: np.ndarray) -> None:
    """Draw the knowledge-guided classifier (Sec. 3.3, 3.4) above height `y`."""
    middle = y + 0.78
    canvas.text(0.15, y + 2.18, "Fine-tuning on coded video", ha="left", weight="bold", fontsize=9)
    draw_levels(canvas, y, frames)
    canvas.box(3.55, middle, 0.95, 0.62, "video\nencoder", BLUE)
    canvas.arrow((4.05, middle), (4.3, middle))
    canvas.box(4.72, middle, 0.8, 0.62, "AU head", GREEN)
    canvas.arrow((5.14, middle), (5.4, middle))

    timeline = canvas.panel(6.15, middle, 1.3, 1.3)
    timeline.imshow(labels.T, aspect="auto", cmap="Blues", vmin=0, vmax=1.3, interpolation="nearest")
    timeline.set_yticks(range(len(DISFA_AUS)), [f"AU{au}" for au in DISFA_AUS], fontsize=5)
    timeline.set_xticks([])
    timeline.tick_params(length=0, pad=1)
    canvas.text(6.15, middle + 0.8, "AU occurrence in every frame", fontsize=7, color="0.35")
    canvas.text(6.15, middle - 0.77, "time", fontsize=6, color="0.35")

    losses = (
        (1.0, "$L_{cls}$", "weighted cross-entropy\nwith the labels", BLUE),
        (0.0, "$L_{intra}$", "AU pairs within a frame\n(co-occurrence)", ORANGE),
        (-1.0, "$L_{inter}$", "AU pairs from frame to frame\n(state-machine transitions)", ORANGE),
    )
    for place, name, meaning, color in losses:
        height = middle + place * 0.72
        canvas.arrow((6.85, middle + place * 0.2), (7.15, height))
        canvas.box(8.27, height, 2.2, 0.52, "", color)
        canvas.text(7.42, height, name, fontsize=10)
        canvas.text(7.75, height, meaning, fontsize=7, ha="left", linespacing=1.35)


def draw_knowledge(canvas: Canvas, y: float, labels: np.ndarray) -> None:
    """Draw the prior knowledge (Eq. 3 and 6) at height `y`."""
    canvas.text(10.0, y + 1.72, "prior knowledge\nfrom training labels", fontsize=7, color="0.35")
    matrix = canvas.panel(10.0, y + 1.1, 0.78, 0.78)
    prior = cooccurrence_matrix(torch.as_tensor(labels, dtype=torch.float32)).numpy()
    matrix.imshow(np.where(np.eye(len(prior), dtype=bool), np.nan, prior), cmap="Oranges", vmin=0, vmax=0.8)
    matrix.set(xticks=[], yticks=[])
    canvas.arrow((9.58, y + 0.95), (9.4, y + 0.85))

    nodes = {"00": (9.76, y + 0.42), "10": (10.24, y + 0.42), "11": (10.24, y - 0.06), "01": (9.76, y - 0.06)}
    for first, start in nodes.items():
        for second, stop in nodes.items():
            if sum(a != b for a, b in zip(first, second, strict=True)) == 1:
                canvas.arrow(start, stop, 0.25, lw=0.7, mutation_scale=6, shrinkA=8, shrinkB=8, color="#c46a00")
    for name, (x, height) in nodes.items():
        canvas.text(x, height, name, fontsize=6.5, bbox={"boxstyle": "circle,pad=0.25", "fc": ORANGE, "ec": "0.35"})
    canvas.arrow((9.58, y + 0.1), (9.4, y + 0.06))


def plot_method() -> Figure:
    """Draw masked pre-training above knowledge-guided fine-tuning."""
    frames, intensities = render_subject(SUBJECT, num_frames=400, image_size=SIZE)
    columns = [LABELLED_AUS.index(au) for au in DISFA_AUS]
    labels = (intensities[:, columns] >= 2).astype(np.int64)
    shown = frames[list(FRAMES)]
    with matplotlib.rc_context(STYLE | {"text.parse_math": True, "mathtext.fontset": "cm"}):
        canvas = Canvas(10.6, 4.1)
        draw_pretraining(canvas, 3.4, shown)
        draw_finetuning(canvas, 0.35, shown, labels)
        draw_knowledge(canvas, 0.35, labels)
        canvas.arrow((5.6, 3.07), (3.55, 1.46), 0.12, linestyle="--", color="#2f6db3")
        canvas.text(5.25, 2.5, "weights", fontsize=7, color="#2f6db3")
    return canvas.figure
