"""Plot how two conditions differ within persons."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import COLUMN_WIDTH, STYLE


def plot_conditions(
    differences: NDArray[np.floating], au_names: Sequence[str], p: NDArray[np.floating], conditions: tuple[str, str]
) -> Figure:
    """Draw the difference in share of time of each person, and their mean.

    A star marks a significant difference.

    Args:
        differences: Share of time in the first minus the second condition, (P, N), in [-1, 1].
        au_names: Names of the N action units.
        p: Corrected p-values (N,).
        conditions: Names of the conditions.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN_WIDTH, 2.6), layout="constrained")
        axis = figure.subplots()
        places = np.arange(len(au_names))
        # people side by side, in the same order for every action unit
        offsets = np.linspace(-0.25, 0.25, len(differences))
        axis.axhline(0, color="0.6", linewidth=0.6)
        axis.scatter(
            (places + offsets[:, None]).ravel(), 100 * differences.ravel(), s=5, color="0.6", label="one person"
        )
        axis.hlines(100 * differences.mean(axis=0), places - 0.35, places + 0.35, color="C0", label="mean")
        for place in np.flatnonzero(p < 0.05):
            axis.annotate("*", (place, 1), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=11)
        axis.margins(y=0.15)
        axis.set_xticks(places, au_names, rotation=90 if len(au_names) > 8 else 0)
        axis.set_ylabel("difference in share of time\n(percentage points)")
        axis.set_title(f"{conditions[0]} - {conditions[1]}, {len(differences)} people; * p < 0.05 (Holm)")
        axis.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=7)
    return figure
