"""Translate action units into weights of the rig's expression shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...knowledge.facs import HIGHEST_INTENSITY
from .rig import FloatArray, Rig, single, without_side

SCALE = HIGHEST_INTENSITY


@dataclass(frozen=True)
class ActionUnit:
    """Hold one row of the table.

    Args:
        number: Number in FACS.
        appearance: What FACS coders see, in our words.
        shapes: Weights at full intensity. A name without a side stands for `_L` and `_R`, if the rig has both.
            Below 0, the shape takes back what the others move besides.
    """

    number: int
    appearance: str
    shapes: Mapping[str, float]


ACTION_UNITS = (
    ActionUnit(
        1,
        "The inner ends of the brows rise, and the middle of the forehead wrinkles.",
        {"browInnerUp": 1.15},
    ),
    ActionUnit(
        2,
        "The outer ends of the brows rise into an arch, and the sides of the forehead wrinkle.",
        {"browOuterUp": 1.0},
    ),
    ActionUnit(
        4,
        "The brows move down and together, with upright furrows between them.",
        {"browDown": 1.5},
    ),
    ActionUnit(
        5,
        "The upper lid rises, so that more of the eye shows above the iris.",
        {"eyeWide": 1.2},
    ),
    ActionUnit(
        6,
        "The cheeks rise and push the lower lids up; the eyes narrow, with crow's feet at their corners.",
        {"cheekRaiser": 1.1, "cheekSquint": 0.7, "eyeSquint": 0.3, "mouthUpperUp": -0.1},
    ),
    ActionUnit(
        7,
        "The lids tighten and the lower lid straightens, so that the eye narrows while the cheek stays.",
        {"eyeSquint": 1.5, "eyeBlink": 0.28},
    ),
    ActionUnit(
        9,
        "The nose wrinkles along its sides, its wings rise, and the brows come down.",
        {"noseSneer": 1.1, "browDown": 0.4, "mouthUpperUp": -0.85},
    ),
    ActionUnit(
        10,
        "The upper lip rises, most in its middle halves, and the fold beside the nose deepens at its top.",
        {"mouthUpperUp": 1.0},
    ),
    ActionUnit(
        12,
        "The corners of the lips move up and back, and the fold beside the nose lifts.",
        {"mouthSmile": 1.35},
    ),
    ActionUnit(
        14,
        "The corners of the lips tighten and sink in, with a dimple beside them.",
        {"mouthDimple": 0.9, "mouthFrown": 0.4, "mouthPress": 0.3},
    ),
    ActionUnit(
        15,
        "The corners of the lips move down, and the line of the mouth bends at its ends.",
        {"mouthFrown": 1.5},
    ),
    ActionUnit(
        17,
        "The chin boss rises and wrinkles, and pushes the lower lip up.",
        {"mouthShrugLower": 0.95},
    ),
    ActionUnit(
        20,
        "The corners of the lips move straight back, and the mouth becomes long and flat.",
        {"mouthStretch": 1.2, "mouthSmile": 0.28},
    ),
    ActionUnit(
        23,
        "The lips tighten: their red parts narrow and roll in, and the mouth is not longer.",
        {"mouthRollUpper": 0.5, "mouthRollLower": 0.6, "mouthPucker": 0.4},
    ),
    ActionUnit(
        24,
        "The lips press together and become thin, with a bulge above and below them.",
        {"mouthPress": 1.5, "mouthRollLower": 0.35, "mouthRollUpper": 0.3, "mouthStretch": 0.25},
    ),
    ActionUnit(
        25,
        "The lips part, and the teeth or the cavity of the mouth may show.",
        {"mouthLowerDown": 1.1, "mouthUpperUp": 0.4},
    ),
    ActionUnit(
        26,
        "The jaw drops by its own weight; the teeth part, and the chin comes down.",
        {"jawOpen": 0.62},
    ),
    ActionUnit(
        43,
        "The upper lid comes down until the eye is shut.",
        {"eyeBlink": 1.05},
    ),
)
"""Action unit -> shapes of the rig, in the order of the labels."""

NUMBERS = tuple(unit.number for unit in ACTION_UNITS)

LIPS_PART = NUMBERS.index(25)
"""Column of the action unit that is measured."""

INNER_LIPS = ((61, 67), (62, 66), (63, 65))
"""Pairs of landmarks above and below the opening of the mouth."""

CLOSED_LIPS = 0.08
"""Opening that still looks closed, in centimetres."""

OPEN_LIPS = 1.6
"""Opening beyond it that has full intensity, in centimetres."""

LIPS_CURVE = 0.6
"""Exponent of the intensity, because the first millimetres show most. A trace (1) is an opening of 0.19 cm."""

LIMITS = {"eyeBlink": 1.05, "jawOpen": 1.1}
"""Highest weight of a shape when several action units move it; others may have 1.5."""


def shape_matrix(rig: Rig, styles: Mapping[str, float] | None = None) -> FloatArray:
    """Compute the weights of shapes at full intensity of each action unit.

    Args:
        rig: Rig with the shapes of the table.
        styles: Factors on the weights of shapes, by their names without a side; 1 without an entry.

    Returns:
        float32 of shape (N, 2, E): action units, right and left side, shapes. A shape without sides is split evenly.
    """
    matrix = np.zeros((len(ACTION_UNITS), 2, len(rig.names)), np.float32)
    for row, unit in zip(matrix, ACTION_UNITS, strict=True):
        for shape, weight in unit.shapes.items():
            weight = weight * (styles or {}).get(shape, 1.0)
            if shape in rig.names:
                row[:, rig.names.index(shape)] += weight / 2
            else:
                row[0, rig.names.index(f"{shape}_R")] += weight
                row[1, rig.names.index(f"{shape}_L")] += weight
    return matrix


def expression_weights(rig: Rig, intensities: NDArray[Any], matrix: FloatArray | None = None) -> FloatArray:
    """Translate intensities into weights of shapes.

    Args:
        rig: Rig with the shapes of the table.
        intensities: Intensity of both sides (N,), or of the right and the left side (N, 2), in 0..5.
        matrix: Result of `shape_matrix`; computed if not given.

    Returns:
        Weights, float32 of shape (E,), within `LIMITS`.
    """
    matrix = shape_matrix(rig) if matrix is None else matrix
    sides = np.asarray(intensities, np.float32).reshape(len(ACTION_UNITS), -1)
    weights = np.einsum("ns,nse->e", np.broadcast_to(sides, (len(sides), 2)) / SCALE, matrix)
    highest = [LIMITS.get(without_side(name), 1.5) for name in rig.names]
    return np.minimum(weights, single(highest))


def lip_opening(vertices: NDArray[Any], rig: Rig) -> float:
    """Measure how far the inner lips are apart, in centimetres.

    Args:
        vertices: Vertices of the mesh before the head is turned, shape (V, 3).
        rig: Rig that says which vertices are landmarks.
    """
    height = vertices[rig.landmarks, 1]
    return float(np.mean([height[upper] - height[lower] for upper, lower in INNER_LIPS]))


def measure_lips_part(opening: float) -> float:
    """Return the intensity of AU25, measured from the opening of the lips.

    AU25 is measured, because the jaw, the upper lip, a smile and a resting face part the lips as well.

    Args:
        opening: Result of `lip_opening`, in centimetres.

    Returns:
        Intensity in 0..5.
    """
    return float(np.clip((opening - CLOSED_LIPS) / OPEN_LIPS, 0, 1)) ** LIPS_CURVE * SCALE
