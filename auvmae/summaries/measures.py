"""Measure how long, how strongly and how often each action unit is present."""

import numpy as np
import pandas
from numpy.typing import NDArray

from ..inference.events import EventRule, frame_spans
from ..inference.prediction import AUPrediction
from ..inference.rows import SIDES
from ..knowledge.facs import au_column


def sums_of(prediction: AUPrediction) -> pandas.DataFrame:
    """Sum up the frames and events of every face and action unit.

    Frames without a face are missing: they count neither as time with an action unit nor as time without it.

    Args:
        prediction: Prediction of a recording. Unless `every_face` was set, it shows one person, so that all its faces
            are summed up together, as face -1.

    Returns:
        One row per face and action unit, with columns face, au ("AU01"), and what `measures_of` adds up.

    Raises:
        ValueError: If the recording has no timestamps, and its frames therefore no duration.
    """
    events = prediction.to_events(EventRule())
    rows, present = prediction.rows, prediction.occurrence == 1
    seconds = _frame_seconds(rows)
    absent = seconds[~prediction.success].sum()  # a frame without a face has a single row
    graded = "intensities" in (rows.dtype.names or ())
    grades = rows["intensities"] if graded else np.full(present.shape, np.nan)
    sides = {side: rows[side] if side in (rows.dtype.names or ()) else np.full(present.shape, np.nan) for side in SIDES}
    events["slope"] = _slopes(events, prediction)
    faces = np.where(prediction.success, rows["face_id"] if prediction.provenance.get("every_face") else -1, -2)
    within = prediction.in_range
    tables = []
    for face in np.unique(faces[faces > -2]).tolist():
        own = faces == face
        time = seconds[own, None]
        table = pandas.DataFrame(
            {
                "face": face,
                "au": [au_column(name) for name in prediction.au_names],
                "seconds": time.sum(),
                "seconds_without_face": absent,
                "seconds_with_range": seconds[own & (within >= 0)].sum(),
                "seconds_out_of_range": seconds[own & (within == 0)].sum(),
                "present_seconds": (time * present[own]).sum(axis=0),
                "intensity_seconds": (time * grades[own]).sum(axis=0),
                "peak_intensity": grades[own].max(axis=0),
                **{f"{side}_seconds": (time * values[own]).sum(axis=0) for side, values in sides.items()},
            }
        )
        theirs = events if face == -1 else events[events["face_id"] == face]
        by_au = theirs.groupby("au").agg(
            events=("onset", "size"),
            event_seconds=("duration", "sum"),
            slopes=("slope", "count"),
            slope_sum=("slope", "sum"),
        )
        # without events, pandas does not know that the columns are numbers
        tables.append(table.join(by_au.reindex(table["au"]).astype(float).fillna(0), on="au"))
    return pandas.concat(tables, ignore_index=True) if tables else pandas.DataFrame(columns=["face", "au"])


def measures_of(sums: pandas.DataFrame, by: list[str]) -> pandas.DataFrame:
    """Add up sums, and derive the measures.

    Args:
        sums: Rows of `sums_of`, of any number of recordings, with further columns.
        by: Columns that tell the groups apart, such as person and condition.

    Returns:
        One row per group and action unit, in the order of their first appearance: the columns of `by`, au, and

        * seconds with the face, and seconds_without_face, without any;
        * share_out_of_range, with the head turned further than in the training data, of the seconds in which this is
          known; NaN if there are none, as for crops without an index;
        * share_of_time with the action unit, a fraction of `seconds`;
        * mean_intensity and peak_intensity in 0..5; NaN if the model grades none;
        * asymmetry, (left - right) / (left + right) of the mean intensities of the subject's sides: 1 if only the left
          side moves, -1 if only the right side does; NaN if the prediction has no sides;
        * events, events_per_minute of `seconds`, mean_event_seconds (NaN without events);
        * onset_slope, the mean rise from onset to apex, in grades per second.
    """
    keys = [*by, "au"]
    groups = sums.groupby(keys, sort=False, dropna=False)
    added = groups.sum(numeric_only=True).assign(peak_intensity=groups["peak_intensity"].max())
    left, right = (groups[f"{side}_seconds"].sum(min_count=1) for side in SIDES)
    measures = pandas.DataFrame(
        {
            "seconds": added["seconds"],
            "seconds_without_face": added["seconds_without_face"],
            "share_out_of_range": added["seconds_out_of_range"] / added["seconds_with_range"],
            "share_of_time": added["present_seconds"] / added["seconds"],
            "mean_intensity": groups["intensity_seconds"].sum(min_count=1) / added["seconds"],
            "peak_intensity": added["peak_intensity"],
            "asymmetry": (left - right) / (left + right),
            "events": added["events"].astype(int),
            "events_per_minute": 60 * added["events"] / added["seconds"],
            "mean_event_seconds": added["event_seconds"] / added["events"],
            "onset_slope": added["slope_sum"] / added["slopes"],
        }
    )
    return measures.reset_index()


def _frame_seconds(rows: np.ndarray) -> NDArray[np.float64]:
    """Return how long the frame of each row lasts, in seconds, float (R,)."""
    _, first, numbers = np.unique(rows["frame"], return_index=True, return_inverse=True)
    starts, ends = frame_spans(rows["timestamp"][first])
    return (ends - starts)[numbers]


def _slopes(events: pandas.DataFrame, prediction: AUPrediction) -> NDArray[np.float64]:
    """Return the rise of the intensity per second from each event's onset to its apex.

    It is NaN if the event begins with its apex, or there are no intensities.
    """
    rows = prediction.rows
    if "intensities" not in (rows.dtype.names or ()) or events.empty:
        return np.full(len(events), np.nan)
    places = pandas.Series(np.arange(len(rows)), index=pandas.MultiIndex.from_arrays([rows["face_id"], rows["frame"]]))
    columns = {au_column(name): column for column, name in enumerate(prediction.au_names)}
    column = events["au"].map(columns).to_numpy()
    onset, apex = (
        rows["intensities"][places.loc[[*zip(events["face_id"], events[frame], strict=True)]].to_numpy(), column]
        for frame in ("onset_frame", "apex_frame")
    )
    seconds = (events["apex"] - events["onset"]).to_numpy(dtype=float)
    return np.divide(apex - onset, seconds, out=np.full(len(events), np.nan), where=seconds > 0)
