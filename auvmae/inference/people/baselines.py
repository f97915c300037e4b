"""Assign recordings to people, and estimate the neutral baseline of each person."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration import baseline_shift, within
from ..prediction import AUPrediction
from ..recordings import find_named
from .table import ANY_FACE, NeutralRow


@dataclass(frozen=True)
class Baseline:
    """Hold the neutral baseline of a person.

    Args:
        person: The person.
        quantile: Quantile of the logits that is the baseline; None for the mean over neutral intervals.
        sources: Recordings, and intervals if they are known, whose frames were pooled, in JSON types.
        shift: Logits (N,) to subtract, at least 0.
    """

    person: str
    quantile: float | None
    sources: list[dict[str, Any]]
    shift: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types, without the logits."""
        return {"person": self.person, "quantile": self.quantile, "sources": self.sources}


@dataclass(frozen=True)
class People:
    """Hold who is in which recording.

    Args:
        faces: Person by face, for each recording of the table.
        intervals: Rows with an interval, and their recordings, by person.
        missing: Rows that name no recording, or several, with the reason.
        several: Whether recordings were predicted with a row for every face.
    """

    faces: dict[str, dict[int, str]]
    intervals: dict[str, list[tuple[NeutralRow, str]]]
    missing: list[tuple[NeutralRow, str]]
    several: bool

    @classmethod
    def assign(cls, rows: Iterable[NeutralRow], recordings: Mapping[str, str], several: bool) -> "People":
        """Assign the rows of a table to recordings, see `find_named`.

        Raises:
            ValueError: If two rows give a face to two people, or the column face does not fit the prediction.
        """
        people = cls({}, {}, [], several)
        first: dict[tuple[str, int], NeutralRow] = {}
        for row in rows:
            fits = find_named(row.file, recordings)
            if len(fits) != 1:
                reason = (
                    f"fits {' and '.join(fits)}: give its folder"
                    if fits
                    else "is no recording of this run: correct the name"
                )
                people.missing.append((row, f"{row.where}: {row.file} {reason}, or remove the row"))
                continue
            (key,) = fits
            other = first.setdefault((key, row.face), row)
            if other.person != row.person:
                raise ValueError(
                    f"{row.where} gives {row.file} to {row.person}, but {other.where} to {other.person}: correct one "
                    "of them, or tell their faces apart in a column face"
                )
            if row.face != ANY_FACE and not several:
                raise ValueError(f"{row.where} names face {row.face}: add --every-face, or leave the cell empty")
            faces = people.faces.setdefault(key, {})
            faces[row.face] = row.person
            if ANY_FACE in faces and len(faces) > 1:
                raise ValueError(f"{row.where}: {row.file} needs a face in all of its rows, or in none")
            if row.interval:
                people.intervals.setdefault(row.person, []).append((row, key))
        return people

    def estimate(self, person: str, load: Callable[[str], AUPrediction | None], quantile: float) -> Baseline:
        """Estimate the baseline of a person.

        Args:
            person: One of the persons in the table.
            load: Returns the uncalibrated prediction of a recording, None if there is none.
            quantile: Quantile of the logits that is the baseline if the table has no interval of the person.

        Raises:
            ValueError: If the table names a recording that is missing, or an interval without the face.
        """
        for wrong, reason in self.missing:
            if wrong.person == person:
                raise ValueError(reason)
        pooled, sources, thresholds = [], [], np.zeros(0)
        for key, face, row in self._sources(person):
            prediction = load(key)
            if prediction is None:
                if row:
                    raise ValueError(f"{row.where}: {row.file} could not be predicted; remove the row, or repair it")
                continue
            thresholds = np.asarray(prediction.thresholds)
            try:
                chosen = self.rows_of(prediction, face)
                if row and row.interval:
                    chosen &= within(prediction.rows, row.interval, row.file)
                    if not chosen.any():
                        raise ValueError(f"{row.file} does not show face {face} then: choose another interval")
            except ValueError as error:
                raise ValueError(f"{row.where}: {error}" if row else str(error)) from error
            pooled.append(prediction.rows["probs"][chosen])
            span = dict(zip(("from", "to"), row.interval, strict=True)) if row and row.interval else {}
            where = {} if face == ANY_FACE else {"face_id": face}
            sources.append({"recording": key} | where | span | {"frames": int(chosen.sum())})
        probs = np.concatenate([*pooled, np.zeros((0, len(thresholds)))])
        known = None if person in self.intervals else quantile
        shift = baseline_shift(probs, thresholds.tolist(), known) if len(probs) else np.zeros(len(thresholds))
        return Baseline(person, known, sources, shift)

    def rows_of(self, prediction: AUPrediction, face: int) -> NDArray[np.bool_]:
        """Mark the rows of a face, bool (R,).

        Raises:
            ValueError: If it is not there, or the table does not say which face is meant.
        """
        shown = np.unique(prediction.rows["face_id"][prediction.success]).tolist()
        name = prediction.provenance["source"]["name"]
        if face == ANY_FACE:
            if self.several and len(shown) > 1:
                raise ValueError(f"{name} shows {len(shown)} faces: give the face_id of each person in a column face")
            return prediction.success
        if face not in shown:
            raise ValueError(f"{name} has no face {face}; its faces are {', '.join(map(str, shown)) or 'none'}")
        return np.asarray(prediction.rows["face_id"] == face)

    def _sources(self, person: str) -> list[tuple[str, int, NeutralRow | None]]:
        """List the recordings and faces that tell the neutral face of a person."""
        if person in self.intervals:
            return [(key, row.face, row) for row, key in self.intervals[person]]
        return [(key, face, None) for key, faces in self.faces.items() for face in faces if faces[face] == person]
