"""Script what the faces of rendered videos do.

Half of the videos move action units that occur together in real faces, the other half moves them independently of each
other: a network that only sees the first kind takes AU6 for AU12, and one that only sees the second kind has never seen
a smile.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .action_units import ACTION_UNITS, NUMBERS, SCALE
from .rig import FloatArray, Rig, single

FRAME_RATE = 25

EXPRESSIONS = (
    (3.0, (6, 12)), (4.0, (6, 12, 25)), (1.5, (6, 12, 25, 26)), (2.5, (12,)), (2.0, (12, 25)), (1.0, (7, 12)),
    (3.0, (1, 2)), (1.5, (1, 2, 5)), (2.0, (1, 2, 5, 25, 26)), (0.7, (1,)), (0.6, (2,)), (1.5, (1, 4)),
    (1.5, (1, 4, 15)), (0.8, (1, 4, 15, 17)), (1.0, (1, 2, 4, 5, 20, 25)), (3.0, (4,)), (2.5, (4, 7)),
    (1.0, (4, 7, 9)), (1.0, (4, 9, 10, 17)), (0.8, (4, 5, 7, 23)), (0.7, (4, 17, 24)), (1.0, (6, 7, 9, 10, 25)),
    (1.0, (9,)), (1.0, (10,)), (1.0, (10, 25)), (1.5, (14,)), (0.8, (12, 14)), (1.2, (15,)), (1.2, (15, 17)),
    (1.0, (17,)), (0.8, (17, 23)), (1.0, (17, 24)), (1.2, (20,)), (1.0, (20, 25)), (0.8, (23,)), (1.0, (24,)),
    (1.5, (25,)), (2.5, (25, 26)), (0.6, (5, 25, 26)), (1.0, (7,)), (0.8, (5,)), (0.6, (4, 43)), (0.6, (43,)),
)  # fmt: skip
"""Frequency and action units of expressions, after the prototypes in the FACS manual."""

BLINK = NUMBERS.index(43)

BETWEEN = 12
"""Frames between two events. Faces rarely move so much, but in slower videos a network would learn what each portrait
does from its looks."""

APEX = 7
"""Mean length of an apex in frames."""

INDEPENDENT = 0.22
"""Probability that an action unit is active in a video of independent ones."""

STILL = 0.08
"""Share of the videos without any event but blinks."""

SPEECH = 0.33
"""Share of the videos in which the mouth speaks."""

UNEVEN = 0.2
"""Share of a video's action units that are one-sided or uneven, unless a tree is rendered with another one."""

JAW_AT_FULL = ACTION_UNITS[NUMBERS.index(26)].shapes["jawOpen"]
"""Weight of the open jaw at full intensity of AU26."""


@dataclass(frozen=True)
class Script:
    """Hold what the face does in one video.

    There are T frames, N action units and E expression shapes.

    Args:
        intensities: Intensity of the right and the left side in 0..5, float32 of shape (T, N, 2). AU25 only says what
            the lips do beside the other action units; its label is measured.
        extra: Weights of shapes that belong to no action unit, float32 of shape (T, E): the resting face, speech and
            small movements.
    """

    intensities: FloatArray
    extra: FloatArray


def write_script(
    rig: Rig, num_frames: int, rng: np.random.Generator, leave_out: Collection[str] = (), uneven: float = UNEVEN
) -> Script:
    """Draw the script of one video.

    Args:
        rig: Rig that names the shapes.
        num_frames: Frames, T, at `FRAME_RATE`.
        rng: Source of every draw.
        leave_out: "expressions" (the action units of all videos are independent), "speech", or both.
        uneven: Share of the action units that are one-sided or uneven, in [0, 1].
    """
    curves = np.zeros((num_frames, len(NUMBERS)))
    if rng.random() > STILL:
        for numbers, level in _draw_events(num_frames, "expressions" in leave_out, rng):
            curve = _draw_curve(num_frames, rng)
            for number in numbers:
                column = NUMBERS.index(number)
                peak = np.clip(level * np.exp(rng.normal(0, 0.3)) + rng.normal(0, 0.05), 0.05, 1)
                lag = int(rng.normal(0, 2))
                curves[:, column] = np.maximum(curves[:, column], peak * np.roll(curve, lag))
    curves[:, BLINK] = np.maximum(curves[:, BLINK], _draw_blinks(num_frames, rng))
    curves[:, NUMBERS.index(5)] *= 1 - np.clip(2 * curves[:, BLINK], 0, 1)  # shut lids cannot be raised
    intensities = single(SCALE * np.clip(curves, 0, 1)[:, :, None] * _draw_sides(rng, uneven))
    extra = _draw_rest(rig, num_frames, rng)
    if rng.random() < SPEECH and "speech" not in leave_out:
        jaw = _add_speech(extra, rig, rng)
        column = NUMBERS.index(26)
        spoken = np.clip(SCALE * (jaw - 0.03) / JAW_AT_FULL, 0, SCALE)
        intensities[:, column] = np.minimum(intensities[:, column] + spoken[:, None], SCALE)
    return Script(intensities, extra)


def _draw_events(num_frames: int, independent: bool, rng: np.random.Generator) -> list[tuple[tuple[int, ...], float]]:
    """Draw the action units of each event, and its level in 0..1."""
    if rng.random() < 0.5 and not independent:
        shares = np.array([share for share, _ in EXPRESSIONS])
        chosen = rng.choice(len(EXPRESSIONS), 1 + rng.poisson(num_frames / BETWEEN), p=shares / shares.sum())
        return [(EXPRESSIONS[index][1], float(rng.beta(1.3, 1.1))) for index in chosen]
    active = [number for number in NUMBERS if number != 43 and rng.random() < INDEPENDENT]
    return [
        ((number,), float(rng.uniform(0.08, 1)))
        for number in active
        for _ in range(1 + rng.poisson(num_frames / BETWEEN))
    ]


def _draw_curve(num_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw onset, apex and offset of an event as numbers in 0..1, (T,)."""
    onset, apex, offset = rng.integers(2, 9), 1 + int(rng.exponential(APEX)), rng.integers(2, 11)
    start = rng.integers(-(onset + apex) // 2, num_frames - onset // 2)
    time = np.arange(num_frames) - start
    rise, fall = np.clip(time / onset, 0, 1), np.clip((onset + apex + offset - time) / offset, 0, 1)
    curve = np.minimum(rise, fall)
    curve = curve * curve * (3 - 2 * curve)
    return np.asarray(curve * np.clip(1 + 0.08 * draw_walk(num_frames, 10, rng), 0, 1.2))


def _draw_blinks(num_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw how far the eyes are shut, (T,).

    Now and then they stay shut or half shut.
    """
    shut = np.zeros(num_frames)
    for _ in range(rng.poisson(num_frames / 40)):
        closing, still, opening = rng.integers(1, 4), rng.integers(0, 3), rng.integers(2, 6)
        if rng.random() < 0.15:
            still = rng.integers(5, 40)
        depth = 1.0 if rng.random() < 0.7 else rng.uniform(0.15, 1)
        time = np.arange(num_frames) - rng.integers(-2, num_frames)
        curve = np.minimum((time + 1) / (closing + 1), (closing + still + opening + 1 - time) / (opening + 1))
        shut = np.maximum(shut, depth * np.clip(curve, 0, 1))
    return shut


def _draw_sides(rng: np.random.Generator, uneven: float) -> NDArray[np.float64]:
    """Draw the factors of the right and the left side of each action unit, (N, 2)."""
    leaning = rng.random(len(NUMBERS)) < uneven
    lean = np.where(leaning, rng.uniform(-1, 1, len(NUMBERS)), rng.normal(0, 0.04, len(NUMBERS)))
    lean[[NUMBERS.index(number) for number in (17, 23, 24, 25, 26, 43)]] = 0
    return 1 - np.clip(np.stack([lean, -lean], axis=1), 0, 1)


def _draw_rest(rig: Rig, num_frames: int, rng: np.random.Generator) -> FloatArray:
    """Draw the resting face of a video and its small movements, (T, E).

    Nobody is quite neutral.
    """
    moving = [column for column, name in enumerate(rig.names) if not name.startswith("eyeLook")]
    extra = np.zeros((num_frames, len(rig.names)), np.float32)
    extra[:, moving] = np.clip(rng.normal(0, 0.045, len(moving)), -0.1, 0.1)
    for shape in ("mouthSmile", "mouthFrown", "browDown", "eyeSquint", "eyeBlink", "mouthPress"):
        weight = np.clip(rng.normal(0, 0.06), -0.12, 0.15)
        extra[:, rig.columns(shape)] += weight
    for column in rng.choice(moving, min(6, len(moving)), replace=False):
        extra[:, column] += single(0.035 * draw_walk(num_frames, 8, rng))
    return extra


def _add_speech(extra: FloatArray, rig: Rig, rng: np.random.Generator) -> NDArray[np.float64]:
    """Add the movements of the mouth in speech.

    Returns:
        Weight of the open jaw, (T,).
    """
    frames = len(extra)
    loud = np.clip(0.5 + draw_walk(frames, 20, rng), 0, 1)  # pauses between phrases
    jaw = np.clip(0.14 + 0.15 * draw_walk(frames, 3, rng), 0, 0.6) * loud
    for shape, reach in (
        ("mouthFunnel", 0.35), ("mouthPucker", 0.35), ("mouthRollLower", 0.2), ("mouthRollUpper", 0.2),
        ("mouthShrugUpper", 0.2), ("mouthLowerDown", 0.3), ("mouthUpperUp", 0.15), ("mouthStretch", 0.12),
        ("mouthPress", 0.12), ("jawForward", 0.2),
    ):  # fmt: skip
        weight = single(reach * loud * np.clip(draw_walk(frames, 4, rng), 0, 2))
        extra[:, rig.columns(shape)] += weight[:, None]
    extra[:, rig.names.index("jawOpen")] += single(jaw)
    if rng.random() < 0.5 and "mouthClose" in rig.names:  # lips that meet while the jaw is open, as in m and p
        meet = np.clip(2 * draw_walk(frames, 4, rng) - 1, 0, 1) * rng.uniform(0.5, 0.95)
        extra[:, rig.names.index("mouthClose")] += single(jaw * meet)
    return np.asarray(jaw)


def draw_walk(num_frames: int, period: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a smooth random curve, (T,).

    It turns about once in `period` frames. Its mean is 0 and its deviation about 1.
    """
    knots = rng.normal(0, 1, int(num_frames / period) + 4)
    place = np.arange(num_frames) / period + rng.random()
    left = place.astype(int)
    share = place - left
    share = share * share * (3 - 2 * share)
    return np.asarray(knots[left] * (1 - share) + knots[left + 1] * share)
