"""The curves that tell whether pre-training learns."""

import math
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from .style import COLUMN_WIDTH, STYLE

LOSSES = {
    "loss": {"color": "tab:blue", "label": "loss"},
    "loss_patch_mean": {"color": "0.4", "linestyle": "--", "label": "patch mean"},
    "loss_nearest_patch": {"color": "tab:orange", "linestyle": "--", "label": "nearest visible patch"},
}


def plot_losses(log_history: list[dict[str, Any]]) -> Figure:
    """Draw the loss beside what needs no learning, and below them the share of variance explained, over the steps.

    Args:
        log_history: Lines of the log of a `PretrainTrainer`, as in `trainer_state.json`; those without references,
            such as of an evaluation, are passed over.
    """
    lines = [line for line in log_history if "loss_patch_mean" in line]
    steps = [line["step"] for line in lines]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.5 * COLUMN_WIDTH, COLUMN_WIDTH), layout="constrained")
        losses, explained = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for name, look in LOSSES.items():
            losses.plot(steps, [line[name] for line in lines], linewidth=1, **look)
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
