"""Define the shared style of all figures, and save them."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ..system.files import whole_file

COLUMN_WIDTH = 3.5
"""Width in inches of one column of a two-column paper; the font sizes fit this width."""

STYLE: Any = {
    **{"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7},
    "text.parse_math": False,  # text between two $ in a file name is not a formula
}


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Save a figure atomically as PNG (300 dots per inch), and return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=300, metadata={"Software": None})
    return path
