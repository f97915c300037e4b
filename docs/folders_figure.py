"""Draw the folders of the package and the imports that are allowed."""

import json
from graphlib import TopologicalSorter
from itertools import cycle

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from tests.support.layout import MAY_IMPORT

STOREYS = ("ground", "material", "work", "outcome", "doors")
"""From the bottom to the top."""

FOLDERS: dict[str, tuple[float, str, str]] = {
    "cli": (1.5, "doors", "the auvmae\ncommand"),
    "demo": (4.03, "doors", "browser page\nand Space"),
    "runs": (1.5, "outcome", "flags to run\nfolder, card, Hub"),
    "conversion": (2.63, "outcome", "other formats,\nONNX"),
    "summaries": (4.03, "outcome", "measures and\nconditions"),
    "training": (0.93, "work", "Trainers and\ntechniques"),
    "evaluation": (1.93, "work", "scores and\ntables"),
    "inference": (3.03, "work", "recording to\nrows of AUs"),
    "plotting": (4.03, "work", "figures"),
    "data": (1.85, "material", "datasets to\nbatches"),
    "faces": (3.11, "material", "detect, track,\ncrop"),
    "model": (0.93, "ground", "the flat files:\ngo to the Hub"),
    "knowledge": (1.93, "ground", "AUs, FSM,\nthe loss"),
    "video": (3.03, "ground", "pixels in\nand out"),
    "system": (4.03, "ground", "files, threads,\nhardware"),
}
"""Folder -> its column, its storey, and what it is for."""

WAYS: dict[tuple[str, str], dict[str, float]] = {
    ("demo", "inference"): {"outcome": 3.33},
    ("runs", "data"): {"work": 1.43},
    ("evaluation", "knowledge"): {"material": 1.34},
    ("evaluation", "video"): {"material": 2.58},
    ("inference", "knowledge"): {"material": 2.48},
    ("inference", "model"): {"material": 2.38},
}
"""Arrow -> at which column it passes between the boxes of the storeys on its way."""

COLOURS = ("#0b6fa4", "#b3541e", "#3b7d23", "#8a3ffc", "#a2195b", "#5c6670", "#00736b")
WIDTH, HEIGHT = 0.86, 0.42


def direct_imports() -> dict[str, set[str]]:
    """List what each folder may import, without what its imports imply."""
    table = {folder: lower - {"__init__"} for folder, lower in MAY_IMPORT.items() if folder != "__init__"}
    implied = {folder: set().union(*(table[lower] for lower in table[folder])) for folder in table}
    for folder in TopologicalSorter(table).static_order():
        implied[folder] |= set().union(*(implied[lower] for lower in table[folder]))
    return {folder: table[folder] - implied[folder] for folder in table}


def describe_imports() -> str:
    """Return the arrows as JSON."""
    return json.dumps({folder: sorted(lower) for folder, lower in sorted(direct_imports().items())})


def plot_folders() -> Figure:
    """Draw a box per folder, row by row, and an arrow per direct import."""
    figure = Figure(figsize=(4.4, 5.2), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0.3, 4.54), ylim=(-0.36, 4.34))
    axes.axis("off")
    for row, storey in enumerate(STOREYS):
        axes.axhspan(row - 0.29, row + 0.29, color="#f0f3f6", zorder=0)
        axes.text(0.33, row + 0.27, storey, size=7.5, color="#57606a", ha="left", va="top", rotation=90, zorder=1)
    arrows = [(source, target) for source, lower in direct_imports().items() for target in lower]
    colours = dict(zip(FOLDERS, cycle(COLOURS), strict=False))
    for source, target in sorted(arrows):
        axes.add_patch(_arrow(source, target, arrows, colours[source]))
    for folder, (column, storey, clause) in FOLDERS.items():
        row = STOREYS.index(storey)
        corner = (column - WIDTH / 2, row - HEIGHT / 2)
        shape = FancyBboxPatch(corner, WIDTH, HEIGHT, "round,pad=0,rounding_size=0.06", zorder=4)
        shape.set(facecolor="white", edgecolor=colours[folder], linewidth=1.3)
        axes.add_patch(shape)
        axes.text(column, row + 0.1, folder, size=8.5, weight="bold", ha="center", va="center", zorder=5)
        axes.text(column, row - 0.075, clause, size=6.6, ha="center", va="center", zorder=5, linespacing=1.05)
    return figure


def _place(folder: str) -> tuple[float, int]:
    return FOLDERS[folder][0], STOREYS.index(FOLDERS[folder][1])


def _arrow(source: str, target: str, arrows: list[tuple[str, str]], colour: str) -> FancyArrowPatch:
    (x, row), (target_x, target_row) = _place(source), _place(target)
    if row == target_row:
        side = WIDTH / 2 if target_x > x else -WIDTH / 2
        points = [(x + side, row), (target_x - side, row)]
    else:
        leaving = [two for one, two in arrows if one == source and _place(two)[1] < row]
        coming = [one for one, two in arrows if two == target and _place(one)[1] > target_row]
        start = (x + _port(target, leaving, source), row - HEIGHT / 2)
        end = (target_x + _port(source, coming, target), target_row + HEIGHT / 2)
        lanes = WAYS.get((source, target), {}).items()
        levels = [(column, STOREYS.index(storey)) for storey, column in lanes]
        points = [start, *((column, level + edge) for column, level in levels for edge in (0.25, -0.25)), end]
    codes = [Path.MOVETO, *[Path.LINETO] * (len(points) - 1)]
    arrow = FancyArrowPatch(path=Path(points, codes), arrowstyle="-|>", mutation_scale=8, zorder=3)
    arrow.set(color=colour, linewidth=1.1, joinstyle="round")
    return arrow


def _port(other: str, others: list[str], folder: str) -> float:
    """Give each arrow its own place at a box, ordered by where the arrows lead."""

    def column(name: str) -> float:
        lanes = WAYS.get((folder, name)) or WAYS.get((name, folder)) or {}
        return next(iter(lanes.values()), _place(name)[0])

    order = sorted(others, key=lambda name: (column(name), name))
    return (order.index(other) + 1) / (len(order) + 1) * WIDTH - WIDTH / 2
