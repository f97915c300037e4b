"""Collect the faces and values of a stream in the rows of a prediction."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.recfunctions import assign_fields_by_name
from numpy.typing import NDArray

from ..faces.crop import CroppedFrame
from ..faces.pose import head_pose

NO_FACE_ID = -1
"""`face_id` of a frame without a face."""

POSE_DIGITS = 4

VALUES = {"probs": "p", "intensities": "r", "left": "L_r", "right": "R_r", "raw": "raw"}
"""Fields with a value of each action unit, and the ends of their columns in tables, such as AU12_p."""

SIDES = ("left", "right")

NOWHERE = [np.nan] * 4, [np.nan] * 6
"""Box and pose of no face."""

UNSEEN = np.full((5, 2), np.nan), (np.nan, np.nan)
"""Landmarks of no face, and an unknown frame size."""


def collect_rows(
    stream: Iterable[tuple[CroppedFrame, NDArray[np.floating] | None]], count: int, values: Sequence[str]
) -> np.ndarray:
    """Collect the stream of `AUDetector.stream`, for `count` action units.

    `values` are those of the detector.
    """
    kind = row_type(count, values)
    found = np.fromiter(
        (_to_row(cropped, found, (len(values), count)) for cropped, found in stream),
        [*kind.descr, ("landmarks", "f8", (5, 2)), ("frame_size", "f8", (2,))],
    )
    rows = np.empty(len(found), kind)
    assign_fields_by_name(rows, found)
    # rounded only here, so that no table shows a pose on the wrong side of the range
    rows["pose"] = head_pose(found["landmarks"], found["box"], found["frame_size"]).round(POSE_DIGITS)
    return rows


def row_type(count: int, values: Iterable[str]) -> "np.dtype[np.void]":
    """Return the type of a row.

    Args:
        count: Number of action units.
        values: Names of fields. Those in `VALUES` become fields of the row, in this order.
    """
    fields = [("frame", "i8"), ("face_id", "i4"), ("timestamp", "f8"), ("confidence", "f4"), ("box", "f4", (4,))]
    fields += [("pose", "f8", (6,))]
    return np.dtype([*fields, *((name, "f8", (count,)) for name in values if name in VALUES)])


def _to_row(cropped: CroppedFrame, values: NDArray[np.floating] | None, shape: tuple[int, int]) -> tuple[Any, ...]:
    face = cropped.face
    if face is None or values is None:
        return cropped.index, NO_FACE_ID, cropped.timestamp, 0.0, *NOWHERE, *np.full(shape, np.nan), *UNSEEN
    # rounded only here, so that no output shows a probability on the wrong side of its threshold
    rounded = np.round(values, 6).reshape(shape)
    size = cropped.frame_size or UNSEEN[1]
    place = face.box, NOWHERE[1]  # the pose is estimated for all rows at once
    return cropped.index, face.track, cropped.timestamp, face.confidence, *place, *rounded, face.landmarks, size
