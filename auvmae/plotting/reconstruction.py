"""Pictures of what the masked autoencoder sees and makes of it (the appendix's Fig. 1)."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import COLUMN_WIDTH, STYLE


def plot_frame_rows(rows: dict[str, NDArray[Any]], frame_numbers: Sequence[int], caption: str) -> Figure:
    """Draw rows of frames, as wide as a column of text.

    Args:
        rows: Label of a row -> its frames, uint8 of shape `(K, H, W, 3)`.
        frame_numbers: K numbers, above the columns.
        caption: Below the picture.
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
