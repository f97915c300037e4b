"""Pictures: prior beside learned knowledge (the paper's Fig. 6) and labels above probabilities over time."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ..system.files import whole_file

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
