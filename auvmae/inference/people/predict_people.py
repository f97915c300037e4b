"""Predict recordings, and calibrate all recordings of a person by one baseline.

All recordings are predicted first. Their tables wait as `X.uncalibrated.csv`, so that none looks finished before the
baseline of its person is known. A later run takes the model's values from these files, or from the `raw` columns of
calibrated ones, and does not run the model again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from ...system.files import are_whole, read_json_object, read_sealed
from ...system.folder_report import VideoResult, save_report
from ...video.finding import LeftOut
from ..calibration import AUTO_QUANTILE, REST
from ..formats.tables import FOREIGN, TABLES, UNCALIBRATED
from ..predict_folder import REPORT_FILE, Job, run_jobs
from ..prediction import AUPrediction
from ..recordings import PROVENANCE, Target
from .baselines import Baseline, People
from .table import ANY_FACE, read_neutral_table

if TYPE_CHECKING:
    from ..detector import AUDetector

DERIVED = ("calibration", "logits_taken_off", "files", "checksums", "counts", "faults", "notes", "origin_sha256")
"""Provenance that does not tell whether the values of the model are up to date."""


@dataclass(frozen=True)
class PersonJob(Job):
    """Predict a recording that waits for the baseline of its person."""

    def finished(self) -> VideoResult | None:
        """Return a result if the model need not run again, or None."""
        mark = self._current_mark()
        if mark is None:
            return None
        (frames, found), said = mark["counts"], {"reason": mark.get("faults", ""), "note": mark.get("notes", "")}
        return self.result("skipped", frames=frames, found=found, **said)

    def run(self, bar: Any) -> VideoResult:
        """Predict, and write the table that waits."""
        return Job(self.detector, self.video, self.target, UNCALIBRATED, ()).run(bar)

    def load(self) -> AUPrediction | None:
        """Load the values of the model, None if they are missing or outdated."""
        mark = self._current_mark()
        if mark is None:
            return None
        said = {name: mark[name] for name in ("faults", "notes") if name in mark}
        provenance = self.detector.provenance(self.video) | said
        return AUPrediction.load(self.target.folder / mark["files"][0], provenance).uncalibrated()

    def calibrate(self, people: People, faces: dict[int, Baseline], predicted: VideoResult) -> VideoResult:
        """Write the calibrated files, unless they are there.

        Args:
            people: See `People`.
            faces: Baseline by face.
            predicted: Result of predicting the recording.

        Raises:
            ValueError: If the table does not say which face is meant.
        """
        told = [one.to_dict() | ({} if face == ANY_FACE else {"face_id": face}) for face, one in faces.items()]
        calibration = {"people": told, "rest": REST}
        mark = read_sealed(self.target.file(PROVENANCE))
        shifts = mark.get("logits_taken_off", {})
        same = all(_shift(faces, int(face)) == shift for face, shift in shifts.items())
        if same and (finished := self.up_to_date(mark, self.provenance() | {"calibration": calibration})):
            return finished
        prediction = self.load()
        if prediction is None:
            raise ValueError("its table was removed while it waited; run the command again")
        by_face = {
            one: baseline.shift
            for face, baseline in faces.items()
            for one in np.unique(prediction.rows["face_id"][people.rows_of(prediction, face)]).tolist()
        }
        failures = self.write(prediction.shifted(by_face, calibration))
        return replace(predicted, status="done", reason="; ".join(filter(None, [predicted.reason, *failures])))

    def _current_mark(self) -> dict[str, Any] | None:
        """Read the provenance of an up-to-date table, whatever its calibration."""
        mark = read_sealed(self.target.file(PROVENANCE))
        ours = self.provenance()
        if not mark or any(mark.get(name) != ours.get(name) for name in {*mark, *ours} - {*DERIVED}):
            return None
        table = mark["files"][0]
        if table in (self.target.file(TABLES[name]).name for name in FOREIGN):
            return None
        whole = are_whole([self.target.folder / table], {table: mark["checksums"].get(table)})
        stopped = mark.get("faults") and self.detector.damaged == "stop"
        return mark if whole and not stopped else None


def _shift(faces: dict[int, Baseline], face: int) -> list[float] | None:
    baseline = faces.get(face, faces.get(ANY_FACE))
    return baseline.shift.round(6).tolist() if baseline else None


def count_baselines(report: Path) -> str:
    """Tell how the baselines in a report of `predict_people` were estimated."""
    quantiles = [one["quantile"] for one in read_json_object(report).get("people", [])]
    kinds = [f"{quantiles.count(None)} from intervals"] * (None in quantiles)
    kinds += [f"{quantiles.count(one)} from the quantile {one:g}" for one in {*quantiles} - {None}]
    return f"neutral baselines: {', '.join(kinds) or 'none'}"


def predict_people(
    recordings: Sequence[tuple["AUDetector", Path, Target]],
    output: str | Path,
    neutral_from: str | Path,
    table: str = "csv",
    extras: Sequence[str] = (),
    left_out: Sequence[LeftOut] = (),
) -> list[VideoResult]:
    """Predict recordings, and calibrate those of a person by one baseline.

    A recording that the table does not list is calibrated as its detector is. Without a calibration, it is predicted
    all the same, and its result has a reason. If a row of the table cannot be followed, all recordings of its person
    fail: their values stay in `X.uncalibrated.csv` until the table is corrected.

    Args:
        recordings, output, table, extras, left_out: See `predict_recordings`. A detector's calibration must be a
            quantile; it is that of the people without a neutral interval.
        neutral_from: Table of people, see `read_neutral_table`.

    Returns:
        One result per recording, and one per row of the table that names none.

    Raises:
        FileNotFoundError: If the table does not exist.
        ValueError: If the table is wrong or contradicts itself, a detector calibrates by an interval, or the format is
            one for other programs.
    """
    output = Path(output)
    if table in FOREIGN:
        raise ValueError(f"a baseline is estimated from the tables, so they must be csv or parquet, not {table}")
    rows = read_neutral_table(Path(neutral_from))
    named = {(one[2].folder / one[2].name).relative_to(output).as_posix(): one for one in recordings}
    several = any(detector.every_face for detector, *_ in recordings)
    people = People.assign(rows, {key: video.name for key, (_, video, _) in named.items()}, several)
    quantile, jobs = AUTO_QUANTILE, dict[str, Job]()
    for key, (detector, video, target) in named.items():
        calibration = detector.calibration
        if calibration and calibration.neutral:
            raise ValueError(f"{neutral_from} tells when faces are neutral, so give no other interval for {video}")
        quantile = calibration.quantile if calibration and calibration.quantile else quantile
        if key in people.faces:
            raw = detector.with_options(detector.selection, None)
            jobs[key] = PersonJob(raw, video, target, table, tuple(extras))
        else:
            jobs[key] = Job(detector, video, target, table, tuple(extras))
    results = run_jobs([*jobs.values()], output)

    def load(key: str) -> AUPrediction | None:
        job = jobs[key]
        return job.load() if isinstance(job, PersonJob) and results[job].status != "failed" else None

    baselines: dict[str, Baseline] = {}
    reasons: dict[str, str] = {}
    for person in tqdm(dict.fromkeys(row.person for row in rows), "baselines", unit="person", leave=False):
        try:
            baselines[person] = people.estimate(person, load, quantile)
        except ValueError as error:
            reasons[person] = str(error)
    for key, job in tqdm(jobs.items(), "calibrate", unit="video", leave=False):
        first = results[job]
        if isinstance(job, PersonJob) and first.status != "failed":
            with job.failures_into(results):
                faces = people.faces[key]
                for person in filter(reasons.__contains__, faces.values()):
                    raise ValueError(f"{person} has no neutral baseline: {reasons[person]}")
                own = {face: baselines[person] for face, person in faces.items()}
                results[job] = job.calibrate(people, own, first)
        elif first.status != "failed" and not job.detector.calibration:
            reason = f"it is not in {neutral_from}, so it is not calibrated: add a row for it"
            results[job] = replace(first, reason="; ".join(filter(None, [first.reason, reason])))
    unknown = [VideoResult(row.file, "", "failed", reason=reason) for row, reason in people.missing]
    in_order = [*results.values(), *unknown]
    save_report(output / REPORT_FILE, in_order, left_out, people=[one.to_dict() for one in baselines.values()])
    return in_order
