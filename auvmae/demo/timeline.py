"""Draw the timeline as HTML, with a lane per action unit.

`timeline.js` moves the cursor, seeks, and shows or hides lanes. Colours are Gradio's variables, so that the timeline is
legible in its light and dark themes.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..inference.events import find_active
from ..inference.prediction import AUPrediction
from ..knowledge.facs import AU_NAMES, au_column, au_number

STYLE = Path(__file__).with_name("timeline.css").read_text()
SCRIPT = Path(__file__).with_name("timeline.js").read_text()
"""Script that runs once for the parent of the timeline, and finds the video by its id, `#overlay`."""

TURNED = '<i class="turned"></i>head out of range '
"""Legend of frames in which the head is turned further than in the training data."""

TICK_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
MAX_TICKS = 7


def format_timeline(prediction: AUPrediction, rate: float) -> str:
    """Draw the probabilities of one face over the time of its video.

    Args:
        prediction: Prediction with one row per frame.
        rate: Frames per second, for recordings without timestamps.
    """
    rows = prediction.rows.copy()
    if np.isnan(rows["timestamp"]).any():
        rows["timestamp"] = np.arange(len(rows)) / rate
    times = rows["timestamp"]
    end = float(times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1 / rate))
    edges = np.append(times, end) / end * 100
    events = replace(prediction, rows=rows).to_events()
    turned = prediction.in_range == 0
    untrusted = "".join(
        f'<rect class="{kind}" x="{edges[start]:.3f}" width="{edges[stop] - edges[start]:.3f}" height="100"/>'
        for kind, marked in (("absent", ~prediction.success), ("turned", turned))
        for start, stop in find_active(marked.astype(float), 0.5, 1)
    )
    lanes = []
    for name, threshold, values in zip(prediction.au_names, prediction.thresholds, rows["probs"].T, strict=True):
        own = events[events["au"] == au_column(name)]
        bands = "".join(
            f'<rect class="event" x="{onset / end * 100:.3f}" width="{(offset - onset) / end * 100:.3f}" height="100"/>'
            for onset, offset in zip(own["onset"], own["offset"], strict=True)
        )
        level = 100 - 100 * threshold
        lanes.append(
            f'<div class="lane" data-au="{escape(name)}">'
            f'<label><input type="checkbox" checked><b>{escape(name)}</b><span>{_title(name)}</span></label>'
            '<div class="plot"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
            f'{untrusted}{bands}<path class="threshold" d="M0 {level:.1f}H100"/>'
            f'<path class="curve" d="{_curve(edges, values)}"/></svg><i></i></div>'
            '<output title="probability at the cursor"></output></div>'
        )
    series = {
        "times": times.round(4).tolist(),
        "probs": [[None if np.isnan(value) else round(value, 2) for value in row] for row in rows["probs"].tolist()],
    }
    return (
        f'<div class="timeline" data-end="{end:.4f}" data-series="{escape(json.dumps(series))}">'
        '<div class="tools"><span class="legend"><i class="event"></i>present <i class="absent"></i>no face '
        f"{TURNED if turned.any() else ''}"
        '<i class="threshold"></i>threshold</span><button type="button" data-show="all">Show all</button>'
        f'<button type="button" data-show="none">Hide all</button></div>{"".join(lanes)}'
        '<div class="axis" role="slider" tabindex="0" aria-label="Time in the video" aria-valuemin="0" '
        f'aria-valuemax="{end:.2f}" aria-valuenow="0"><div class="plot">{"".join(_ticks(end))}<i></i></div></div></div>'
    )


def _title(name: str) -> str:
    return AU_NAMES.get(au_number(name) or 0, "").capitalize()


def _curve(edges: NDArray[np.floating], values: NDArray[np.floating]) -> str:
    """Draw an SVG path through the frame centres, with gaps where there is no face."""
    parts, drawn = [], False
    for x, value in zip((edges[:-1] + edges[1:]) / 2, values, strict=True):
        if not np.isnan(value):
            parts.append(f"{'L' if drawn else 'M'}{x:.2f} {100 - 100 * value:.1f}")
        drawn = not np.isnan(value)
    return "".join(parts)


def _ticks(end: float) -> Iterator[str]:
    step = next((step for step in TICK_STEPS if end / step <= MAX_TICKS), end)
    for time in np.arange(0, 0.94 * end, step).tolist():  # a later label would extend beyond the plot
        seconds = f"{time % 60:02.0f}" if step >= 1 else f"{time % 60:04.1f}"
        yield f'<span style="left:{time / end * 100:.2f}%">{time // 60:.0f}:{seconds}</span>'
