"""Plot the pre-training loss, its references and reconstructed frames."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import COLUMN_WIDTH, STYLE

LOSSES = {
    "loss": {"color": "tab:blue", "label": "loss"},
    "loss_patch_mean": {"color": "0.4", "linestyle": "--", "label": "patch mean"},
    "loss_nearest_patch": {"color": "tab:orange", "linestyle": "--", "label": "nearest visible patch"},
}


def plot_losses(log_history: list[dict[str, Any]]) -> Figure:
    """Draw the loss, its untrained references and the variance explained by step.

    Args:
        log_history: Log entries of a `PretrainTrainer`, as in `trainer_state.json`. Entries without references, such as
            those of an evaluation, are skipped.
    """
    lines = [line for line in log_history if "loss_patch_mean" in line]
    steps = [line["step"] for line in lines]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.5 * COLUMN_WIDTH, COLUMN_WIDTH), layout="constrained")
        losses, explained = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for name, line_style in LOSSES.items():
            losses.plot(steps, [line[name] for line in lines], linewidth=1, **line_style)
        losses.set_ylim(bottom=0)
        losses.set_ylabel("mean squared error")
        figure.legend(*losses.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
        shares = [line.get("variance_explained", math.nan) for line in lines]
        explained.plot(steps, shares, color="tab:blue", linewidth=1)
        explained.axhline(0, color="0.4", linewidth=0.6, linestyle="--")
        explained.set_ylabel("variance explained")
        explained.set_xlabel("step")
        for axis in (losses, explained):
            axis.spines[["top", "right"]].set_visible(False)
    return figure


def plot_frame_rows(rows: dict[str, NDArray[Any]], frame_numbers: Sequence[int], caption: str) -> Figure:
    """Draw rows of frames, one text column wide.

    Args:
        rows: Label of a row -> its frames, uint8 of shape `(K, H, W, 3)`.
        frame_numbers: K frame numbers, shown above the columns.
        caption: Text below the figure.
    """
    frames = np.stack(list(rows.values()))  # (rows, K, H, W, 3)
    gap = max(1, frames.shape[3] // 24)
    frames = np.pad(frames, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    num_rows, num_columns, height, width, _ = frames.shape
    sheet = frames.swapaxes(1, 2).reshape(num_rows * height, num_columns * width, 3)[:-gap, :-gap]
    with matplotlib.rc_context(STYLE):
        # the labels take a quarter of the width
        row_height = 0.75 * COLUMN_WIDTH / num_columns * height / width
        figure = Figure(figsize=(COLUMN_WIDTH, num_rows * row_height + 0.6), layout="constrained")
        axis = figure.subplots()
        axis.imshow(sheet)
        axis.set_xticks(np.arange(num_columns) * width + (width - gap) / 2, [*map(str, frame_numbers)])
        axis.set_yticks(np.arange(num_rows) * height + (height - gap) / 2, list(rows))
        axis.tick_params(length=0, labeltop=True, labelbottom=False)
        axis.set_title("frame")
        figure.supxlabel(caption, x=0.02, ha="left", fontsize=6.5)
        axis.spines[:].set_visible(False)
    return figure
