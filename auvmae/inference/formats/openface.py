"""Write predictions in the columns of OpenFace 2."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...knowledge.facs import au_column, au_label

if TYPE_CHECKING:
    import pandas

ROW = ["frame", "face_id", "timestamp", "confidence", "success"]
POSE = ["pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"]
"""Columns of the pose of the head."""

GRADED_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""Action units that OpenFace grades, as `AU01_r`. It detects them and AU28, as `AU01_c`."""


def openface_table(table: "pandas.DataFrame", au_names: Sequence[str]) -> "pandas.DataFrame":
    """Convert the table of a prediction to the columns of OpenFace 2.

    Args:
        table: Result of `AUPrediction.to_dataframe`.
        au_names: Its N names.

    Returns:
        Columns frame (from 1), face_id, timestamp, confidence, success, pose_Tx ... (millimetres), pose_Rx ...
        (radians), AU01_r ... (intensity, 0 to 5), AU01_c ... (0, 1). The action units are those of OpenFace, empty
        where the prediction lacks them, and all others of the prediction. There are no AU01_r if the model grades no
        intensities. In a frame without a face, face_id, pose and action units are 0. All names but the first begin with
        a space, as in OpenFace 2.0 and 2.1.
    """
    expected = {"r": GRADED_AUS, "c": (*GRADED_AUS, 28)}
    names = [*ROW, *POSE]
    for suffix, aus in expected.items():
        own = [f"{au_column(name)}_{suffix}" for name in au_names if f"{au_column(name)}_{suffix}" in table]
        if own:
            names += sorted({*own, *(f"{au_column(au_label(au))}_{suffix}" for au in aus)})
    found = table.reindex(columns=names)
    found["frame"] += 1
    found["face_id"] = found["face_id"].clip(lower=0)
    found.loc[found["success"] == 0, [name for name in names if name in table and name not in ROW]] = 0
    return found.rename(columns={name: f" {name}" for name in names[1:]})
