"""Script the action units of synthetic faces.

A script sets when each AU is active, its intensity and duration, and which AUs occur together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...knowledge.facs import DISFA_AUS

# The rate of an expression is its number of occurrences per BLOCK frames.
BLOCK = 340


class Family(NamedTuple):
    """Hold the expressions of one part of the face.

    An expression is a rate and the AUs that it moves. `apex` bounds the length of the apex in frames (lowest,
    highest + 1). The expressions of a subject are drawn by systematic sampling along the row, in which the entries of
    one AU are neighbours.
    """

    expressions: tuple[tuple[float, tuple[int, ...]], ...]
    apex: tuple[int, int] = (24, 61)


FAMILIES: dict[str, tuple[Family, ...]] = {
    # every AU is active in 15 to 25 % of the frames; its rates add up to about one, so few subjects lack it
    "balanced": (
        Family(((0.35, (1,)), (0.55, (1, 2)), (0.30, (1, 2, 25, 26)), (0.40, (2,)))),
        Family(((0.10, (1, 4)), (0.60, (4,)), (0.50, (4, 9)), (0.60, (9,)))),
        Family(((0.40, (6,)), (0.45, (6, 12)), (0.40, (6, 12, 25)), (0.15, (12, 25)), (0.35, (12,)))),
        Family(((0.25, (25,)), (0.50, (25, 26)), (0.50, (26,)))),
    ),
    # rates and co-occurrences of DISFA's first training fold, as far as its published label weights reveal them
    "disfa": (
        Family(((0.13, (1,)), (0.205, (1, 2)), (0.01, (2,)))),
        Family(((0.02, (1, 4)), (1.04, (4,)), (0.17, (4, 9)), (0.10, (9,)))),
        Family(
            ((0.02, (6,)), (0.07, (6, 25)), (0.27, (6, 12, 25)), (0.25, (12, 25)), (0.11, (12,))),
            apex=(36, 121),
        ),
        Family(((0.45, (25,)), (0.40, (25, 26)), (0.18, (26,))), apex=(36, 121)),
    ),
}
# A raised brow hides a lowered one, so the two overlap only within an expression above.
ANTAGONISTS = {1: {4}, 2: {4}, 4: {1, 2}}
REST = 10  # minimum number of frames between two events of one AU
LONGEST_RAMPS = 24  # maximum number of frames that onset, offset and their jitter add to an apex

PEAKS, PEAK_RATES = (2, 3, 4, 5), (0.08, 0.27, 0.35, 0.30)


def script_intensities(
    subject_index: int, num_frames: int, rng: np.random.Generator, rates: str = "balanced"
) -> NDArray[np.float32]:
    """Script continuous intensities of the eight AUs over one video.

    Args:
        subject_index: Index of the subject; it distributes the expressions evenly over the subjects.
        num_frames: Number of frames T.
        rng: Generator of everything else: times, durations, peaks.
        rates: Key of `FAMILIES`.

    Returns:
        `float32` of shape `(T, 8)` in 0..5, columns in the order of `DISFA_AUS`. Rounded, they are the labels.
    """
    intensity = np.zeros((num_frames, len(DISFA_AUS)), np.float32)
    for expression, bounds in _choose_expressions(FAMILIES[rates], subject_index, num_frames, rng):
        columns = [DISFA_AUS.index(au) for au in expression]
        rivals = {DISFA_AUS.index(other) for au in expression for other in ANTAGONISTS.get(au, ())} - set(columns)
        apex = int(rng.integers(*bounds))
        for start in rng.integers(-apex // 3, max(num_frames - 2 * apex // 3, 1), 200):
            around = slice(max(start - REST, 0), max(start + apex + LONGEST_RAMPS + REST, 0))
            if not intensity[around, [*columns, *rivals]].any():
                for column in columns:
                    _add_event(intensity[:, column], start, apex, rng)
                break
    return intensity


def _choose_expressions(
    families: tuple[Family, ...], subject_index: int, num_frames: int, rng: np.random.Generator
) -> list[tuple[tuple[int, ...], tuple[int, int]]]:
    """Choose the AUs and the apex bounds of every event of a video."""
    chosen: list[tuple[tuple[int, ...], tuple[int, int]]] = []
    for row, (expressions, bounds) in enumerate(families):
        edges = np.cumsum([rate for rate, _ in expressions]) * num_frames / BLOCK
        # golden-ratio steps distribute the first sample evenly over any number of subjects
        phase = (0.618034 * subject_index + 0.25 * row) % 1
        ticks = np.arange(phase, edges[-1], 1.0)
        chosen += [(expressions[i][1], bounds) for i in np.searchsorted(edges, ticks, side="right")]
    # expressions with the most AUs come first, because they are the hardest to place
    order = sorted(rng.permutation(len(chosen)), key=lambda i: -len(chosen[i][0]))
    return [chosen[i] for i in order]


def _add_event(track: NDArray[np.float32], start: int, apex: int, rng: np.random.Generator) -> None:
    """Add onset, apex and offset of one AU in place, cut at the ends of the video."""
    start, apex = start + int(rng.integers(0, 5)), apex + int(rng.integers(-4, 5))
    onset, offset = rng.integers(4, 9, 2)
    peak = rng.choice(PEAKS, p=PEAK_RATES)
    time = np.arange(len(track)) - start
    rise, fall = np.clip(time / onset, 0, 1), np.clip((onset + apex + offset - time) / offset, 0, 1)
    # with 0.3, a held peak still rounds to the same intensity
    sway = 0.3 * np.sin(time / rng.uniform(5, 12) + rng.uniform(0, 6))
    ramp = np.minimum(rise, fall)
    np.maximum(track, np.clip(ramp * (peak + sway), 0, 5), out=track)
