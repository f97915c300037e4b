"""Draw the scores of a clip and MediaPipe's channels over time."""

from typing import Any

import matplotlib
import numpy as np
import pandas
from matplotlib.figure import Figure
from real_faces_scores import CHANNELS, correlate

from auvmae.plotting.style import COLUMN_WIDTH, STYLE

OURS, THEIRS, CODED = "tab:blue", "tab:orange", "0.2"
COLUMNS = 3
LOWEST_TOP = 0.2
"""A channel that stays below this value is drawn on this scale, so that noise does not fill its panel."""


def plot_clip(
    clip: str,
    scores: pandas.DataFrame,
    present: pandas.DataFrame,
    channels: pandas.DataFrame,
    codes: pandas.DataFrame | None = None,
) -> Figure:
    """Draw one panel per action unit.

    Args:
        clip: Name of the clip.
        scores, present, channels: The clip's rows of the tables of `real_faces_scores`, with the index frame.
        codes: Codes on which both passes agree, with the index frame; None without codes.

    Returns:
        The figure. The score has its scale on the left, the channel on the right.
    """
    lines = -(-len(scores.columns) // COLUMNS)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * COLUMN_WIDTH, 1.15 * lines + 0.6), layout="constrained")
        panels = figure.subplots(lines, COLUMNS, sharex=True, squeeze=False).ravel()
        top = 1.0 if np.nanmax(scores.to_numpy(), initial=0) <= 1 else 5.0
        for panel, au in zip(panels, scores.columns, strict=False):
            _draw_score(panel, scores[au], present[au], top)
            title = au
            if au in channels:
                _draw_channel(panel.twinx(), channels[au])
                pairs = pandas.DataFrame({"score": scores[au], "channel": channels[au]}).dropna()
                rho = correlate(pairs["score"], pairs["channel"]) if len(pairs) > 1 else np.nan
                title += f"   {' '.join(dict.fromkeys(map(_shorten, CHANNELS[au])))}, Spearman {rho:.2f}"
            if codes is not None and au in codes:
                _draw_codes(panel, codes[au], top)
            panel.set_title(title, loc="left", pad=2)
        for panel in panels[len(scores.columns) :]:
            panel.set_visible(False)
        for panel in panels[max(0, len(scores.columns) - COLUMNS) : len(scores.columns)]:
            panel.set_xlabel("frame")
            panel.tick_params(labelbottom=True)
        figure.legend(handles=_legend(), loc="outside upper right", ncols=5, frameon=False)
        figure.suptitle(clip, x=0.01, ha="left", fontsize=9)
    return figure


def _shorten(channel: str) -> str:
    return channel.removesuffix("Left").removesuffix("Right")


def _draw_score(axis: Any, score: pandas.Series, present: pandas.Series, top: float) -> None:
    frames = score.index.to_numpy()
    axis.fill_between(frames, 0, top * present.to_numpy(), step="mid", color=OURS, alpha=0.15, linewidth=0)
    axis.plot(frames, score.to_numpy(), color=OURS, linewidth=0.9)
    axis.set_xlim(frames[0], frames[-1])
    axis.set_ylim(0, 1.18 * top)
    axis.set_yticks([0, top])
    axis.tick_params(axis="y", colors=OURS)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_channel(axis: Any, channel: pandas.Series) -> None:
    top = max(LOWEST_TOP, np.ceil(10 * channel.max()) / 10) if channel.notna().any() else LOWEST_TOP
    axis.plot(channel.index.to_numpy(), channel.to_numpy(), color=THEIRS, linewidth=0.9)
    axis.set_ylim(0, 1.18 * top)
    axis.set_yticks([0, top])
    axis.tick_params(axis="y", colors=THEIRS)
    axis.spines[["top", "left"]].set_visible(False)


def _draw_codes(axis: Any, codes: pandas.Series, top: float) -> None:
    for code, filled in ((1, CODED), (0, "white")):
        frames = codes.index[codes == code].to_numpy()
        place = np.full(len(frames), 1.09 * top)
        axis.scatter(frames, place, s=9, facecolor=filled, edgecolor=CODED, linewidth=0.5, clip_on=False)


def _legend() -> list[Any]:
    line, patch = matplotlib.lines.Line2D, matplotlib.patches.Patch
    dot: Any = {"color": "none", "marker": "o", "markersize": 3.5, "markeredgecolor": CODED, "markeredgewidth": 0.5}
    return [
        line([], [], color=OURS, linewidth=0.9, label="score"),
        patch(color=OURS, alpha=0.15, linewidth=0, label="detected"),
        line([], [], color=THEIRS, linewidth=0.9, label="MediaPipe"),
        line([], [], **dot, markerfacecolor=CODED, label="coded present"),
        line([], [], **dot, markerfacecolor="white", label="coded absent"),
    ]
