"""Plot AU co-occurrence, transitions and occurrence rates (Figs. 3 to 6)."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from .style import COLUMN_WIDTH, STYLE


def plot_cooccurrence(panels: dict[str, NDArray[Any]], au_names: Sequence[str]) -> Figure:
    """Draw co-occurrence matrices on a shared colour scale (Figs. 3, 6a and 6b).

    Args:
        panels: Title -> `(N, N)` matrix in [0, 1]; NaN (undefined pairs) is drawn grey.
        au_names: Names of the N AUs.
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
    """Draw how often each pair of AUs changes its state per frame (Fig. 6c and d).

    Self-loops hold about 99 % of the probability mass and would dominate a figure of all 16 transitions. The figure
    shows 1 minus the sum of the self-loops, in percent.

    Args:
        panels: Title -> `(N, N, 16)` tensor of `auvmae.knowledge.fsm.transition_tensor`.
        au_names: Names of the N AUs.
    """
    # in a self-loop the low and high bit pairs are equal: 0, 5, 10, 15
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


def plot_occurrence(rates: dict[str, NDArray[Any]], au_names: Sequence[str]) -> Figure:
    """Draw the occurrence rate of each AU as grouped bars (Fig. 5).

    Args:
        rates: Label of a bar -> `(N,)` fractions in [0, 1], e.g. before and after augmentation.
        au_names: Names of the N AUs.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN_WIDTH, 2.2), layout="constrained")
        axis = figure.subplots()
        width = 0.8 / len(rates)
        for position, (name, values) in enumerate(rates.items()):
            places = np.arange(len(au_names)) + (position - (len(rates) - 1) / 2) * width
            bars = axis.bar(places, 100 * values, width, color=f"C{position}", label=name)
            # a label of two digits is as wide as a bar of 12 AUs
            axis.bar_label(bars, [f"{100 * value:.0f}" for value in values], fontsize=5, padding=1)
        axis.set_xticks(range(len(au_names)), au_names, rotation=90 if len(au_names) > 8 else 0)
        axis.set_ylabel("occurrence rate (% of coded frames)")
        axis.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper center", ncols=len(rates), frameon=False)
    return figure


# (off, off) at the lower left, then counterclockwise, so that each side of the square changes one AU
NODES = {0: (-1, -1), 1: (1, -1), 3: (1, 1), 2: (-1, 1)}
RADIUS = 0.38
CURVES: dict[int, list[Any]] = {
    3: [Path.MOVETO, Path.CURVE3, Path.CURVE3],
    4: [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
}


def plot_state_machine(transitions: NDArray[Any], pair: tuple[str, str]) -> Figure:
    """Draw the 16 transitions of a pair of AUs as a graph (Fig. 4).

    Self-loops hold nearly all of the probability mass. Width and colour of an arrow therefore show the distribution of
    the next state *given that the state changes*. The numbers are the joint probabilities, in percent.

    Args:
        transitions: `(16,)`, the pair's entry of `auvmae.knowledge.fsm.transition_tensor`.
        pair: Names of the two AUs, the first and the second bit of a state.
    """
    joint = np.asarray(transitions, dtype=float).reshape(4, 4).T  # [from, to]: the low two bits are the state at t
    leaving = joint * ~np.eye(4, dtype=bool)
    leaving = 100 * leaving / np.maximum(leaving.sum(1, keepdims=True), np.finfo(float).tiny)
    colors = ScalarMappable(Normalize(0, 100), matplotlib.colormaps["viridis_r"])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN_WIDTH, COLUMN_WIDTH * 1.12), layout="constrained")
        axis = figure.subplots()
        for start, center in NODES.items():
            active = "\n".join(name for bit, name in enumerate(pair) if start >> bit & 1) or "neither"
            axis.add_patch(Circle(center, RADIUS, facecolor="white", edgecolor="black", zorder=3))
            axis.text(*center, f"{start & 1}{start >> 1}\n{active}", ha="center", va="center", fontsize=7, zorder=4)
            for stop in np.flatnonzero(joint[start]).tolist():
                share, percent = leaving[start, stop], _percent(joint[start, stop])
                if start == stop:
                    _draw_arrow(axis, _loop(np.array(center)), 1.2, "0.6", percent, 0.5)
                else:
                    # labels of the diagonals are nearer to the start, away from the crossing
                    at = 0.5 if start ^ stop != 3 else 0.27
                    curve = _bend(np.array(center), np.array(NODES[stop]))
                    _draw_arrow(axis, curve, 0.8 + share / 40, colors.to_rgba(share), percent, at)
        axis.set(xlim=(-1.8, 1.8), ylim=(-1.72, 1.72), aspect="equal")
        axis.set_axis_off()
        axis.set_title(f"{pair[0]} and {pair[1]} from frame t to t + 1 (% of all transitions)")
        label = "next state, given a change (%)"
        figure.colorbar(colors, ax=axis, location="bottom", label=label, shrink=0.8, aspect=30)
    return figure


def _bend(first: NDArray[Any], last: NDArray[Any]) -> NDArray[Any]:
    """Compute a quadratic curve between two nodes, bent to the right, `(3, 2)`."""
    along = (last - first) / np.linalg.norm(last - first)
    right = 0.34 * np.array([along[1], -along[0]])
    aside = 2 * right / np.abs(last - first).sum()  # half on the diagonals, which end between two sides
    start, stop = first + RADIUS * (along + aside), last - RADIUS * (along - aside)
    return np.stack([start, (first + last) / 2 + right, stop])


def _loop(center: NDArray[Any]) -> NDArray[Any]:
    """Compute a cubic curve from the rim of a node outwards and back, `(4, 2)`."""
    out = center / np.linalg.norm(center)
    side = np.array([out[1], -out[0]])
    shape = np.array([[0.30, 0.23], [0.95, 0.6], [0.95, -0.6], [0.30, -0.23]])
    return center + shape @ np.stack([out, side])


def _draw_arrow(axis: Any, points: NDArray[Any], width: float, color: Any, text: str, at: float) -> None:
    """Draw an arrow along a Bezier curve, with its number at position `at` in [0, 1]."""
    style = f"-|>,head_width={1.2 + width / 2},head_length={2.2 + width / 2}"
    axis.add_patch(FancyArrowPatch(path=Path(points, CURVES[len(points)]), arrowstyle=style, lw=width, color=color))
    while len(points) > 1:  # de Casteljau's algorithm for a point of the curve
        points = (1 - at) * points[:-1] + at * points[1:]
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axis.text(*points[0], text, ha="center", va="center", fontsize=6.5, zorder=5, bbox=box)


def _percent(probability: float) -> str:
    """Format a probability in percent, such as 72.1, 4.15, 0.12 or 0.003."""
    percent = 100 * probability
    return f"{percent:.1f}" if percent >= 10 else f"{percent:.2f}" if percent >= 0.1 else f"{percent:.1g}"
