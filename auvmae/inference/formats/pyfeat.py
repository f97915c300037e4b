"""Write predictions in the columns of Py-Feat's `Fex`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...knowledge.facs import au_column

if TYPE_CHECKING:
    import pandas

BOX = ["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore"]
POSE = ["Pitch", "Roll", "Yaw", "X", "Y", "Z"]
EMOTIONS = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
LANDMARKS = [f"{axis}_{number}" for axis in "xy" for number in range(68)]


def fex_table(table: "pandas.DataFrame", au_names: Sequence[str], media: str) -> "pandas.DataFrame":
    """Convert the table of a prediction to the columns of Py-Feat's `Fex`.

    Args:
        table: Result of `AUPrediction.to_dataframe`.
        au_names: Its N names.
        media: Path or name of the recording.

    Returns:
        Columns frame (from 0), face_id, approx_time ("MM:SS"), FaceRectX, FaceRectY, FaceRectWidth, FaceRectHeight,
        FaceScore, AU01 ... (probabilities), Pitch, Roll and Yaw (radians; positive up, to the person's right, and
        tilted to the person's right), X, Y, Z, the emotions, the landmarks, and input (`media`). What was not predicted
        is NaN, as from a Py-Feat detector without that model. So are all columns without a face.
    """
    import pandas

    found = table["success"] == 1
    whole = [None if np.isnan(time) else divmod(int(time), 60) for time in table["timestamp"]]
    columns: dict[str, Any] = {
        "frame": table["frame"],
        "face_id": table["face_id"],
        "approx_time": ["" if time is None else "{:02d}:{:02d}".format(*time) for time in whole],
    }
    columns |= zip(BOX, (table[f"box_{name}"] for name in "xywh"), strict=False)
    columns["FaceScore"] = table["confidence"].where(found)
    columns |= {au_column(name): table[f"{au_column(name)}_p"] for name in au_names}
    columns |= dict.fromkeys([*POSE, *EMOTIONS, *LANDMARKS], np.nan)
    # OpenFace's axes point right, down and away from the camera; Py-Feat's signs are those of the person
    columns |= {"Pitch": -table["pose_Rx"], "Roll": -table["pose_Rz"], "Yaw": table["pose_Ry"]}
    return pandas.DataFrame({**columns, "input": media})


def as_fex(table: "pandas.DataFrame", au_names: Sequence[str]) -> "pandas.DataFrame":
    """Convert the result of `fex_table` to a `Fex`, if Py-Feat is installed."""
    try:
        from feat import Fex
    except ImportError:
        return table
    fex: pandas.DataFrame = Fex(
        table,
        au_columns=[au_column(name) for name in au_names],
        emotion_columns=EMOTIONS,
        facebox_columns=BOX,
        landmark_columns=LANDMARKS,
        facepose_columns=POSE,
        time_columns=["frame"],
        detector="AU-vMAE",
        au_model="AU-vMAE",
    )
    return fex
