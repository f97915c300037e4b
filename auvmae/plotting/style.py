"""Pictures: prior beside learned knowledge (the paper's Fig. 6) and labels above probabilities over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..video.writing import whole_file

COLUMN_WIDTH = 3.5
"""Width of one column of a two-column paper, in inches; text in figures is sized for it."""

STYLE: Any = {
    **{"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7},
    "text.parse_math": False,  # what is between two $ in the name of a file is no formula
}


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG (300 dots per inch), whole or not at all, and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=300, metadata={"Software": None})
    return path


def plot_cooccurrence(panels: dict[str, NDArray[Any]], au_names: Sequence[str]) -> Figure:
    """Draw co-occurrence matrices side by side on one colour scale (Fig. 3, Fig. 6a and b).

    Args:
        panels: Title -> `(N, N)` matrix in [0, 1]; NaN (undefined pairs) stays grey.
        au_names: N names.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN_WIDTH * len(panels), COLUMN_WIDTH * 0.95), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, matrix) in zip(axes, panels.items(), strict=True):
            image = _matrix(axis, matrix, au_names, title, vmin=0, vmax=1)
            for row, column in np.ndindex(matrix.shape):
                value = matrix[row, column]
                if row != column and np.isfinite(value):
                    color = "black" if value > 0.6 else "white"
                    text = f"{value:.2f}".lstrip("0")
                    axis.text(column, row, text, ha="center", va="center", color=color, fontsize=5.5)
        figure.colorbar(image, ax=list(axes), label="P(both | at least one)", shrink=0.9)
    return figure


def plot_transitions(panels: dict[str, NDArray[Any]], au_names: Sequence[str]) -> Figure:
    """Draw what changes between consecutive frames (Fig. 6c and d): a pair's probability of leaving its state.

    Self-loops hold about 99 % of the mass, so that a picture of all 16 states would show nothing else: drawn is
    1 minus their sum, in percent.

    Args:
        panels: Title -> `(N, N, 16)` tensor as of `auvmae.knowledge.fsm.transition_tensor`.
        au_names: N names.
    """
    # a state (i, j) that stays has equal low and high bit pairs: 0, 5, 10, 15
    changes = {title: 100 * (1 - tensor[..., [0, 5, 10, 15]].sum(-1)) for title, tensor in panels.items()}
    top = max(float(np.nanmax(change)) for change in changes.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN_WIDTH * len(panels), COLUMN_WIDTH * 0.95), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, change) in zip(axes, changes.items(), strict=True):
            image = _matrix(axis, change, au_names, title, vmin=0, vmax=top)
        figure.colorbar(image, ax=list(axes), label="state changes per frame (%)", shrink=0.9)
    return figure


def _matrix(axis: Any, matrix: NDArray[Any], au_names: Sequence[str], title: str, vmin: float, vmax: float) -> Any:
    shown = np.ma.masked_invalid(np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix))
    axis.set_facecolor("0.85")
    image = axis.imshow(shown, vmin=vmin, vmax=vmax, cmap="viridis")
    ticks = range(len(au_names))
    axis.set_xticks(ticks, au_names, rotation=90)
    axis.set_yticks(ticks, au_names)
    axis.set_title(title)
    return image


def plot_timeline(
    probs: NDArray[Any],
    labels: NDArray[Any],
    au_names: Sequence[str],
    title: str = "",
    thresholds: Sequence[float] | None = None,
    seconds: NDArray[Any] | None = None,
    meaning: tuple[str, str] = ("coded present", "not coded"),
) -> Figure:
    """Draw one video: per AU, the stretches in which it is present as bars above the probability over time.

    Args:
        probs: `(frames, N)` in [0, 1]; NaN is left out.
        labels: `(frames, N)`: 0, 1, or -100 (not coded, drawn grey).
        au_names: N names.
        title: Above the picture.
        thresholds: N probabilities to draw; 0.5 by default.
        seconds: `(frames + 1,)`, ascending: when each frame begins, and when the last one ends; frame numbers if None.
        meaning: What labels of 1 and of -100 are called.
    """
    edges = np.arange(len(probs) + 1) if seconds is None else seconds
    thresholds = [0.5] * len(au_names) if thresholds is None else thresholds
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2 * COLUMN_WIDTH, 0.5 * len(au_names) + 0.8), layout="constrained")
        axes = figure.subplots(len(au_names), 1, sharex=True, squeeze=False)[:, 0]
        for axis, name, prob, label, threshold in zip(axes, au_names, probs.T, labels.T, thresholds, strict=True):
            axis.stairs(prob, edges, color="tab:blue", linewidth=1, baseline=None, label="probability")
            axis.axhline(threshold, color="0.7", linewidth=0.6, linestyle=":", label="threshold")
            _runs(axis, edges, label == 1, "tab:orange", meaning[0])
            _runs(axis, edges, label == -100, "0.8", meaning[1])
            axis.set_ylim(-0.05, 1.35)
            axis.set_yticks([0, 1])
            axis.set_ylabel(name, rotation=0, ha="right", va="center")
            axis.spines[["top", "right"]].set_visible(False)
        axes[-1].set_xlabel("frame" if seconds is None else "seconds")
        axes[-1].set_xlim(edges[0], edges[-1])
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=len(names), frameon=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=8)
    return figure


def _runs(axis: Any, edges: NDArray[Any], active: NDArray[Any], color: str, label: str) -> None:
    turns = edges[np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))]
    spans = [(start, stop - start) for start, stop in turns.reshape(-1, 2)]
    axis.broken_barh(spans, (1.12, 0.18), color=color, label=label)
