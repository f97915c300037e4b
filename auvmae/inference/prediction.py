"""Hold the prediction of a recording, with its tables, events and figures."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.recfunctions import assign_fields_by_name
from numpy.typing import NDArray

from ..faces.crop import CroppedFrame
from ..faces.pose import in_range
from ..knowledge.facs import au_column
from ..system.files import read_json_object, replacing
from .calibration import Calibration, find_shifts, shift_probs
from .events import EventRule, find_events
from .formats.elan import format_eaf
from .formats.openface import POSE
from .formats.pyfeat import as_fex, fex_table
from .formats.tables import why_not_loaded, write_table
from .rows import NO_FACE_ID, SIDES, VALUES, collect_rows, row_type

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


def provenance_path(table: str | Path) -> Path:
    """Return the provenance path of a table.

    It is `X.provenance.json` for `X.csv` or `X.parquet`.
    """
    return Path(table).with_suffix(".provenance.json")


@dataclass(frozen=True)
class AUPrediction:
    """Hold the action units of a recording, one row per frame and face.

    Args:
        rows: Structured array (R,), sorted by frame, then face. Its fields are
            frame (int, index in the video, from 0; for an image folder the image number), face_id (int, from 0; -1 in
            the only row of a frame without a face), timestamp (seconds in the recording's clock; NaN without a clock),
            confidence (of the face, in [0, 1]; 0 without a face, or where a short gap of the detector was bridged), box
            (4: x, y, width, height in pixels of the frame), pose (6: place in mm and rotation in radians, see
            `faces.pose.head_pose`), probs (N, in [0, 1], six decimals), intensities (N, in 0..5, if the model grades
            them; calibration leaves them as they are), left and right (N, intensities of the sides of the subject's
            face, if they were asked for; NaN for an action unit without sides) and, after calibration, raw (N, the
            probabilities before it). All but the first four are NaN without a face.
        au_names: N names, e.g. ["AU1", "AU12"].
        thresholds: N lowest probabilities at which an action unit counts as present.
        provenance: How the rows were produced, in JSON types.
    """

    rows: np.ndarray
    au_names: list[str]
    thresholds: list[float]
    provenance: dict[str, Any]

    @classmethod
    def collect(
        cls,
        stream: Iterable[tuple[CroppedFrame, NDArray[np.floating] | None]],
        au_names: list[str],
        thresholds: list[float],
        provenance: dict[str, Any],
        values: Sequence[str] = ("probs",),
    ) -> "AUPrediction":
        """Collect the stream of `AUDetector.stream`, keeping about 100 bytes per row.

        `values` are those of the detector.
        """
        rows = collect_rows(stream, len(au_names), values)
        return cls(rows, au_names, thresholds, provenance)

    @classmethod
    def load(cls, path: str | Path, provenance: dict[str, Any] | None = None) -> "AUPrediction":
        """Load a table that `save` has written, and its provenance.

        Values have the digits of the table.

        Args:
            path: The table.
            provenance: Its provenance; by default that of the file beside it.

        Raises:
            FileNotFoundError: If the table or its provenance does not exist.
            ValueError: If either is damaged, or the prediction was interrupted.
        """
        import pandas

        path = Path(path)
        provenance = read_json_object(provenance_path(path)) if provenance is None else provenance
        if path.is_file() and not ("au_names" in provenance and "thresholds" in provenance):
            if not provenance_path(path).is_file():
                unknown = f"{path} has no {provenance_path(path).name}, so its thresholds are unknown"
                raise FileNotFoundError(why_not_loaded(path) or unknown)
            raise ValueError(f"{provenance_path(path)} is damaged or unfinished: run `auvmae predict` again")
        names = provenance.get("au_names", [])
        columns = [au_column(name) for name in names]
        try:
            table = pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path)
            fields: dict[str, NDArray[Any]] = {
                name: table[name].to_numpy() for name in ("frame", "face_id", "timestamp", "confidence")
            }
            fields["box"] = table[[f"box_{name}" for name in "xywh"]].to_numpy()
            fields["pose"] = table[[*POSE]].to_numpy()
            for field, suffix in VALUES.items():
                found = [f"{column}_{suffix}" for column in columns]
                if field in SIDES and any(column in table for column in found):
                    fields[field] = table.reindex(columns=found).to_numpy(float)  # not every action unit has sides
                elif field == "probs" or any(column in table for column in found):
                    fields[field] = table[found].to_numpy()
            rows = np.empty(len(table), row_type(len(names), fields))
            for field, values in fields.items():
                rows[field] = values
        except KeyError as error:
            raise ValueError(f"{path} is no table of `auvmae predict`: {error.args[0]}") from error
        except (ValueError, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path} cannot be read: {error}") from error
        return cls(rows, names, provenance["thresholds"], provenance)

    def calibrated(self, calibration: Calibration) -> "AUPrediction":
        """Return a copy with the person's neutral baseline subtracted, see `calibration`.

        All outputs use the calibrated probabilities. `rows["raw"]` keeps those of the model. The provenance records the
        settings and the logits subtracted per face. A calibrated prediction is calibrated again from its raw values.
        `uncalibrated` undoes the calibration.

        Raises:
            ValueError: If the neutral interval shows no face, or the recording has no timestamps.
        """
        raw = self.uncalibrated()
        shifts = find_shifts(raw.rows, self.thresholds, calibration, self.provenance["source"]["name"])
        return raw.shifted(shifts, calibration.to_dict())

    def shifted(self, shifts: dict[int, NDArray[np.float64]], calibration: dict[str, Any]) -> "AUPrediction":
        """Return a copy with logits (N,) subtracted from each face, given by `face_id`.

        `calibration` tells in JSON types where they come from. See `calibrated`.
        """
        raw = self.uncalibrated()
        rows = np.empty(len(raw.rows), [*raw.rows.dtype.descr, ("raw", "f8", (len(self.au_names),))])
        assign_fields_by_name(rows, raw.rows)
        rows["raw"] = raw.rows["probs"]
        for face, shift in shifts.items():
            own = rows["face_id"] == face
            rows["probs"][own] = shift_probs(rows["raw"][own], shift)
        provenance = raw.provenance | {
            "calibration": calibration,
            "logits_taken_off": {str(face): shift.round(6).tolist() for face, shift in shifts.items()},
        }
        return replace(self, rows=rows, provenance=provenance)

    def uncalibrated(self) -> "AUPrediction":
        """Return a copy with the probabilities of the model, or itself if uncalibrated."""
        if not self._has("raw"):
            return self
        rows = np.empty(len(self.rows), self.rows.dtype.descr[:-1])  # raw is the last field
        assign_fields_by_name(rows, self.rows)
        rows["probs"] = self.rows["raw"]
        provenance = {name: value for name, value in self.provenance.items() if name != "logits_taken_off"}
        return replace(self, rows=rows, provenance=provenance | {"calibration": None})

    @property
    def success(self) -> NDArray[np.bool_]:
        """Mark the rows with a face, bool (R,)."""
        return self.rows["face_id"] != NO_FACE_ID

    @property
    def occurrence(self) -> NDArray[np.int8]:
        """Apply the thresholds, int8 (R, N).

        1 if the probability reaches its threshold, 0 if not, -100 without a face.
        """
        present = (self.rows["probs"] >= np.asarray(self.thresholds)).astype(np.int8)
        present[~self.success] = -100
        return present

    @property
    def in_range(self) -> NDArray[np.int8]:
        """Tell where the head is turned no further than in the training data, int8 (R,).

        1 or 0; -100 without a face or a pose, and everywhere if the range of the checkpoint is unknown.
        """
        known = self.provenance.get("pose_range")
        if known is None:
            return np.full(len(self.rows), -100, np.int8)
        return np.where(np.isnan(self.rows["pose"][:, 3]), -100, in_range(self.rows["pose"], known)).astype(np.int8)

    def to_dataframe(self) -> "pandas.DataFrame":
        """Convert the rows to a table with columns like those of OpenFace.

        Returns:
            Columns frame, face_id, timestamp, confidence, success (1 with a face), AU01_c ... (0, 1), AU01_p ...
            (probability), AU01_r ... (intensity in 0..5, two decimals, if the model grades intensities), AU01_L_r ...
            and AU01_R_r ... (likewise, of the subject's left and right side, if they were asked for), after calibration
            AU01_raw ... (probability before it), box_x, box_y, box_w, box_h, pose_Tx, pose_Ty, pose_Tz (millimetres),
            pose_Rx, pose_Ry, pose_Rz (radians), and in_range (0, 1, if the checkpoint knows the poses of its training
            data). All but the first five are empty without a face. Frames are counted from 0; OpenFace counts from 1.
        """
        import pandas

        columns: dict[str, Any] = {
            "frame": self.rows["frame"],
            "face_id": self.rows["face_id"].astype(np.int64),
            "timestamp": self.rows["timestamp"].round(6),
            "confidence": self.rows["confidence"].astype(float).round(4),
            "success": self.success.astype(np.int64),
        }
        for name, values in zip(self.au_names, self.occurrence.T, strict=True):
            columns[f"{au_column(name)}_c"] = pandas.array(values, "Int8")
            columns[f"{au_column(name)}_c"][~self.success] = pandas.NA
        sides = self.provenance.get("side_checks") or {}
        for field, suffix in VALUES.items():
            if self._has(field):
                for name, values in zip(self.au_names, self.rows[field].T, strict=True):
                    if field not in SIDES or name in sides:
                        columns[f"{au_column(name)}_{suffix}"] = values.round(2) if suffix.endswith("r") else values
        for name, values in zip("xywh", self.rows["box"].astype(float).round(2).T, strict=True):
            columns[f"box_{name}"] = values
        columns |= zip(POSE, self.rows["pose"].T, strict=True)
        if self.provenance.get("pose_range") is not None:
            within = self.in_range
            columns["in_range"] = pandas.array(within, "Int8")
            columns["in_range"][within < 0] = pandas.NA
        return pandas.DataFrame(columns)

    def to_fex(self, media: str | None = None) -> "pandas.DataFrame":
        """Convert the rows to Py-Feat's `Fex`, or to a plain `DataFrame` without Py-Feat.

        Args:
            media: Path of the recording, which `Fex.plot_detections` opens. The default is its name.

        Returns:
            Columns as for `formats.pyfeat.fex_table`. A `Fex` knows which are its AUs, pose, face box, emotions and
            landmarks.
        """
        table = fex_table(self.to_dataframe(), self.au_names, media or self.provenance["source"]["name"])
        return as_fex(table, self.au_names)

    def to_events(self, rule: EventRule | None = None) -> "pandas.DataFrame":
        """Find the AU events, see `events.find_events`.

        Raises:
            ValueError: If the recording has no timestamps.
        """
        return find_events(self.rows, self.au_names, self.thresholds, rule or EventRule())

    def to_eaf(self, media: str, rule: EventRule | None = None, start: float | None = None) -> str:
        """Format the events as an ELAN document for `media`, see `elan.format_eaf`.

        `start` is the timestamp of the recording's first frame. The default is that of the first row.
        """
        if start is None:
            start = float(self.rows["timestamp"][0]) if len(self.rows) else 0.0
        return format_eaf(self.to_events(rule), self.au_names, media, self._overlap, start)

    def save(self, path: str | Path, table: str | None = None) -> Path:
        """Write the table and its provenance, each atomically.

        Args:
            path: Path of the table; its folder is created.
            table: "csv", "parquet", or one of the formats that `load` does not read, "openface" and "feat". The default
                is the suffix of `path`.

        Raises:
            ValueError: If there is no such format.
        """
        path = Path(path)
        write_table(path, table or path.suffix[1:], self.to_dataframe(), self.au_names, self.provenance)
        with replacing(provenance_path(path)) as file:
            json.dump(self.provenance, file, indent=1)
        return path

    def plot(self, face_id: int | None = None) -> "Figure":
        """Plot the probabilities over time, and where they reach the threshold.

        Frames without a face are grey.

        Args:
            face_id: Face to plot. The default is all faces, one after the other; if several faces are visible at the
                same time, the face with the most frames.

        Raises:
            ValueError: If there is no such face.
        """
        from ..plotting.timeline import plot_timeline

        faces, counts = np.unique(self.rows["face_id"][self.success], return_counts=True)
        if face_id is None and self._overlap:
            face_id = int(faces[counts.argmax()])
        if face_id is not None and face_id not in faces:
            raise ValueError(f"there is no face {face_id}; the faces are {', '.join(map(str, faces)) or 'none'}")
        # one row per frame: the row of the face, else the frame's first row
        chosen = self.success if face_id is None else self.rows["face_id"] == face_id
        order = np.lexsort((~chosen, self.rows["frame"]))
        rows = order[np.unique(self.rows["frame"][order], return_index=True)[1]]
        absent = ~chosen[rows, None]
        times = self.rows["timestamp"][rows]
        seconds = None if np.isnan(times).any() or len(times) < 2 else np.append(times, 2 * times[-1] - times[-2])
        who = "" if face_id is None else f", face {face_id} of {len(faces)}"
        name = os.fsencode(self.provenance["source"]["name"]).decode(errors="replace")  # file names need not be UTF-8
        return plot_timeline(
            np.where(absent, np.nan, self.rows["probs"][rows]),
            np.where(absent, -100, self.occurrence[rows]),
            [au_column(name) for name in self.au_names],
            f"{name}{who}",
            self.thresholds,
            seconds,
            ("predicted present", "no face"),
        )

    def _has(self, field: str) -> bool:
        return field in (self.rows.dtype.fields or {})

    @property
    def _overlap(self) -> bool:
        """Tell whether a frame shows several faces."""
        return len(np.unique(self.rows["frame"])) < len(self.rows)
