"""Plot AU labels and predicted probabilities over time."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import COLUMN_WIDTH, STYLE


def plot_timeline(
    probs: NDArray[Any],
    labels: NDArray[Any],
    au_names: Sequence[str],
    title: str = "",
    thresholds: Sequence[float] | None = None,
    seconds: NDArray[Any] | None = None,
    meaning: tuple[str, str] = ("coded present", "not coded"),
) -> Figure:
    """Draw the labels of one video as bars above the probability of each AU.

    Args:
        probs: `(frames, N)` in [0, 1]; NaN is not drawn.
        labels: `(frames, N)`: 0, 1 or -100 (not coded, drawn grey).
        au_names: Names of the N AUs.
        title: Title of the figure.
        thresholds: Decision thresholds of the N AUs, drawn as lines; 0.5 by default.
        seconds: `(frames + 1,)`, ascending: the start of each frame and the end of the last one. If None, the axis
            shows frame numbers.
        meaning: Legend entries for labels of 1 and -100.
    """
    edges = np.arange(len(probs) + 1) if seconds is None else seconds
    thresholds = [0.5] * len(au_names) if thresholds is None else thresholds
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2 * COLUMN_WIDTH, 0.5 * len(au_names) + 0.8), layout="constrained")
        axes = figure.subplots(len(au_names), 1, sharex=True, squeeze=False)[:, 0]
        for axis, name, prob, label, threshold in zip(axes, au_names, probs.T, labels.T, thresholds, strict=True):
            axis.stairs(prob, edges, color="tab:blue", linewidth=1, baseline=None, label="probability")
            axis.axhline(threshold, color="0.7", linewidth=0.6, linestyle=":", label="threshold")
            _draw_runs(axis, edges, label == 1, "tab:orange", meaning[0])
            _draw_runs(axis, edges, label == -100, "0.8", meaning[1])
            axis.set_ylim(-0.05, 1.35)
            axis.set_yticks([0, 1])
            axis.set_ylabel(name, rotation=0, ha="right", va="center")
            axis.spines[["top", "right"]].set_visible(False)
        axes[-1].set_xlabel("frame" if seconds is None else "time (s)")
        axes[-1].set_xlim(edges[0], edges[-1])
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=len(names), frameon=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=8)
    return figure


def _draw_runs(axis: Any, edges: NDArray[Any], active: NDArray[Any], color: str, label: str) -> None:
    turns = edges[np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))]
    spans = [(start, stop - start) for start, stop in turns.reshape(-1, 2)]
    axis.broken_barh(spans, (1.12, 0.18), color=color, label=label)
