"""Predict many recordings, skip finished ones, and report the failures.

For a recording `X`, this writes `X.csv` (or another of `TABLES`) and, if requested, `X.events.csv`, `X.eaf`,
`X.timeline.png` and `X.overlay.mp4`. All files are first written to a temporary folder `X.*.tmp`. Once complete, they
replace the files of an earlier run together. A marker in place of `X.provenance.json` is written first, and
`X.provenance.json` itself is moved last. Files without provenance were therefore not written by us, and files with
another provenance are outdated.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from ..faces.crop import CroppedFrame
from ..faces.detection import load_detector
from ..plotting.style import save_figure
from ..system.endings import ends_run
from ..system.files import are_whole, check_writable, checksums, read_json_object, read_sealed, replacing, save_sealed
from ..system.folder_report import VideoResult, add_to_report, save_report
from ..system.leftovers import remove_leftovers, temporary_sibling
from ..system.ranks import ALONE, Split
from ..video.damage.faults import Faults
from ..video.finding import LeftOut
from ..video.reading import frame_rate, num_frames
from .formats.tables import TABLES
from .overlay import write_overlay
from .prediction import AUPrediction
from .recordings import FILES, PROVENANCE, SUFFIXES, Target, find_recordings
from .sources import first_timestamp

if TYPE_CHECKING:
    from .detector import AUDetector

REPORT_FILE = "predict_report.json"
TABLE_START = b"frame,face_id,timestamp,"


def predict_folder(
    detector: "AUDetector",
    inputs: Sequence[str],
    output: str | Path,
    table: str = "csv",
    extras: Sequence[str] = (),
) -> list[VideoResult]:
    """Predict every recording in `inputs`.

    Finished recordings are skipped, and a failed one does not stop the others. A recording is incomplete, and its
    result has a reason, if it is damaged or cut off, or if one of `extras` could not be written. The table is saved all
    the same.

    Args:
        detector: Detector that predicts the recordings.
        inputs: Inputs as for `find_recordings`.
        output: Output folder, created if it does not exist. Nothing is written outside it.
        table: Key of `TABLES`, the format of the tables.
        extras: Keys of `FILES`, to write along with the tables.

    Returns:
        One result per recording, in the order of `inputs`. They are also saved to `output/predict_report.json`.

    Raises:
        FileNotFoundError: If an input matches no recording.
        ValueError: If an input is `output`.
        ImportError: If the dependencies of the face detector are not installed.
    """
    left_out: list[LeftOut] = []
    recordings = find_recordings(inputs, Path(output), left_out)
    return predict_recordings([(detector, *recording) for recording in recordings], output, table, extras, left_out)


def predict_recordings(
    recordings: Sequence[tuple["AUDetector", Path, Target]],
    output: str | Path,
    table: str = "csv",
    extras: Sequence[str] = (),
    left_out: Sequence[LeftOut] = (),
    split: Split = ALONE,
) -> list[VideoResult]:
    """Predict recordings, each with its own detector, as `predict_folder` does.

    Args:
        recordings: Detector, path and target of each recording; no two targets are the same.
        output: Folder of all targets.
        table, extras: See `predict_folder`.
        left_out: What was passed over, for the report.
        split: Which of the recordings to predict. The others are left to other processes, which write to the same
            report.

    Returns:
        One result per recording that this process predicts.
    """
    output, report = Path(output), Path(output, REPORT_FILE)
    jobs = [Job(detector, video, target, table, tuple(extras)) for detector, video, target in recordings]
    if split.world == 1:
        results = [*run_jobs(jobs, output).values()]
        save_report(report, results, left_out)
        return results
    check_writable(output)
    outputs = [job.result("").output for job in jobs]
    add_to_report(report, outputs, [], left_out)  # fails early if files cannot be locked
    results = [*run_jobs(split.share(jobs, "recordings"), output).values()]
    add_to_report(report, outputs, results, left_out)
    return results


def run_jobs(jobs: "Sequence[Job]", output: Path) -> "dict[Job, VideoResult]":
    """Run the jobs that are not finished, and return all results.

    Args:
        jobs: One job per recording; no two targets are the same.
        output: Folder of all targets.
    """
    for detector in [job.detector for job in jobs][:1]:
        if not detector.cropped:
            # fail early, and once, if the detector cannot be loaded
            load_detector(detector.recipe.detector, detector.recipe.min_face)
    check_writable(output)
    for folder in {output, *(job.target.folder for job in jobs)}:
        if folder.resolve().is_relative_to(output.resolve()):
            remove_leftovers(folder)
    results: dict[Job, VideoResult] = {}
    total = 0
    for job in tqdm(jobs, "scan", unit="video", leave=False):
        with job.failures_into(results):
            if not job.target.folder.resolve().is_relative_to(output.resolve()):
                raise ValueError("a link in the output folder points outside it")
            if finished := job.finished():
                results[job] = finished
            else:
                frames = num_frames(job.video, partly=job.detector.damaged == "skip")
                total += job.detector.selection.count(frames, float(frame_rate(job.video)))
    with tqdm(desc="predict", total=total, unit="frame", disable=not total) as bar:
        for job in jobs:
            if job not in results:
                bar.set_postfix_str(job.video.name)
                with job.failures_into(results):
                    results[job] = job.run(bar)
    return {job: results[job] for job in jobs}


@dataclass(frozen=True)
class Job:
    """Hold one recording and the files to write for it."""

    detector: "AUDetector"
    video: Path
    target: Target
    table: str
    extras: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """List the names of the files, the table first."""
        suffixes = [TABLES[self.table], *(suffix for extra in self.extras for suffix in FILES[extra])]
        return [self.target.file(suffix).name for suffix in suffixes]

    def result(self, status: str, **fields: Any) -> VideoResult:
        """Return a result of the recording."""
        return VideoResult(str(self.video), str(self.target.folder / self.files[0]), status, **fields)

    @contextmanager
    def failures_into(self, results: "dict[Job, VideoResult]") -> Iterator[None]:
        """Record any error as a result, so that one recording does not stop the others.

        A full disk and a closed pipe stop them, since they would befall all others.
        """
        try:
            yield
        except Exception as error:
            if ends_run(error):
                raise
            results[self] = self.result("failed", reason=f"{type(error).__name__}: {error}")

    @property
    def origin(self) -> str:
        """Hash the location of the recording, since folders may be named after people."""
        return sha256(os.fsencode(self._media())).hexdigest()

    def provenance(self) -> dict[str, Any]:
        """Describe how the rows are produced, and name the files."""
        return self.detector.provenance(self.video) | {"files": self.files}

    def finished(self) -> VideoResult | None:
        """Return an up-to-date result, or None if there is none.

        It is up to date if all files are whole and predicting again would give the same ones.
        """
        return self.up_to_date(read_sealed(self.target.file(PROVENANCE)), self.provenance())

    def up_to_date(self, mark: dict[str, Any], provenance: dict[str, Any]) -> VideoResult | None:
        """Return the result of an earlier run, or None if a file is outdated or not whole.

        Args:
            mark: Provenance of the earlier run.
            provenance: Provenance of this one.
        """
        mark = dict(mark)
        counts, sums = mark.pop("counts", None), mark.pop("checksums", None)
        said = {"reason": mark.pop("faults", ""), "note": mark.pop("notes", "")}
        for name in ("logits_taken_off", "origin_sha256"):
            mark.pop(name, None)
        whole = mark == provenance and are_whole((self.target.folder / name for name in self.files), sums)
        stopped = said["reason"] and self.detector.damaged == "stop"
        if not whole or stopped:
            return None
        return self.result("skipped", frames=counts[0], found=counts[1], **said)

    def run(self, bar: Any) -> VideoResult:
        """Predict and write, and count the frames and the frames with a face."""
        self._check_existing()
        faults = Faults()
        stream = self.detector.stream(self.video, live=False, faults=faults)
        prediction = self.detector.collect(_counted(stream, bar), self.video, faults)
        failures = self.write(prediction)
        frames, found = _count(prediction)
        reason = "; ".join(filter(None, [faults.reason, *failures]))
        return self.result("done", frames=frames, found=found, reason=reason, note=faults.note)

    def write(self, prediction: AUPrediction) -> list[str]:
        """Write the files of the recording, and list the extras that failed."""
        with self._staged() as staged:
            failures = self._write_extras(prediction, staged)
            files = [name for name in self.files if name == self.files[0] or (staged.folder / name).exists()]
            ours = {"files": files, "counts": _count(prediction), "origin_sha256": self.origin}
            replace(prediction, provenance=prediction.provenance | ours).save(staged.folder / files[0], self.table)
            sums = checksums(staged.folder / name for name in files)
            save_sealed(prediction.provenance | ours | {"checksums": sums}, staged.file(PROVENANCE))
            self._publish(staged, [*files, staged.file(PROVENANCE).name])
        return failures

    def _write_extras(self, prediction: AUPrediction, staged: Target) -> list[str]:
        """Write the extras, and list those that failed, since none may cost the table."""
        failures = []
        for extra in self.extras:
            try:
                getattr(self, f"_write_{extra}")(prediction, staged)
            except Exception as error:
                if ends_run(error):
                    raise
                failures.append(f"--{extra} failed: {error}")
                for suffix in FILES[extra]:
                    staged.file(suffix).unlink(missing_ok=True)
        return failures

    def _mark(self) -> dict[str, Any]:
        """Read the provenance of an earlier run, empty if there was none or it is damaged."""
        return read_json_object(self.target.file(PROVENANCE))

    def _check_existing(self) -> list[str]:
        """List the files of an earlier run.

        Raises:
            FileExistsError: If a file was not written by us, or belongs to another recording.
        """
        mark, found = self.target.file(PROVENANCE), self._mark()
        ours: list[str] = found["files"] if "files" in found else self._named_like_ours()
        for path in (self.target.folder / name for name in [*self.files, mark.name]):
            if path.exists() and path.name not in [*ours, *([mark.name] if ours or "files" in found else [])]:
                raise FileExistsError(f"{path} exists and was not written by `auvmae predict`, so it is not replaced")
        moved = found.get("origin_sha256", self.origin) != self.origin
        if moved and found.get("source") != self.provenance()["source"]:
            raise FileExistsError(
                f"{self.target.folder / self.target.name}.* belong to a recording of the same name in another folder: "
                "use another output folder, or remove these files"
            )
        return ours

    def _named_like_ours(self) -> list[str]:
        """List the files of an earlier run whose provenance is damaged."""
        mark, table = self.target.file(PROVENANCE), self.target.file(".csv")
        if not mark.is_file() or self._mark() or mark.read_bytes().strip() == b"{}":
            return []
        with suppress(FileNotFoundError), table.open("rb") as file:
            if file.read(len(TABLE_START)) not in (b"", TABLE_START):
                return []
        return [path.name for path in map(self.target.file, SUFFIXES) if path.exists()]

    def _publish(self, staged: Target, names: list[str]) -> None:
        """Replace the files of an earlier run by new ones; the last one completes them.

        The errors are those of `_check_existing`.
        """
        ours, mark = self._check_existing(), staged.folder / "unfinished"
        files = sorted({*ours, *self.files})
        try:
            mark.write_text(json.dumps({"unfinished": True, "files": files, "origin_sha256": self.origin}))
            mark.replace(self.target.file(PROVENANCE))
            for path in map(self.target.file, SUFFIXES):
                if path.name in ours:
                    path.unlink(missing_ok=True)
            for name in names:
                (staged.folder / name).replace(self.target.folder / name)
        except BaseException:  # interrupted: neither a part nor its mark stays
            for name in names:
                (self.target.folder / name).unlink(missing_ok=True)
            raise

    @contextmanager
    def _staged(self) -> Iterator[Target]:
        """Provide a temporary folder for the files."""
        self.target.folder.mkdir(parents=True, exist_ok=True)
        folder = temporary_sibling(self.target.folder / self.target.name)
        folder.mkdir()
        try:
            yield Target(folder, self.target.name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _media(self) -> str:
        """Return the path of the recording relative to the folder of its files."""
        media = self.video.resolve()
        with suppress(ValueError):  # on Windows there is no relative path between drives
            media = Path(os.path.relpath(media, self.target.folder.resolve()))
        return media.as_posix()

    def _write_events(self, prediction: AUPrediction, staged: Target) -> None:
        with replacing(staged.file(".events.csv")) as file:
            prediction.to_events().round(6).to_csv(file, index=False, lineterminator="\n")
        with replacing(staged.file(".eaf")) as file:
            # the first row may be a later frame
            start = first_timestamp(self.video, self.detector.cropped) if self.detector.selection.timed else None
            file.write(prediction.to_eaf(self._media(), start=start))

    def _write_timeline(self, prediction: AUPrediction, staged: Target) -> None:
        save_figure(prediction.plot(), staged.file(".timeline.png"))

    def _write_overlay(self, prediction: AUPrediction, staged: Target) -> None:
        write_overlay(self.video, prediction, staged.file(".overlay.mp4"), not self.detector.cropped)


def _count(prediction: AUPrediction) -> list[int]:
    """Count the frames, and those with a face."""
    return [len(set(rows["frame"])) for rows in (prediction.rows, prediction.rows[prediction.success])]


def _counted(stream: Iterable[tuple[CroppedFrame, Any]], bar: Any) -> Iterator[tuple[CroppedFrame, Any]]:
    """Pass the stream through, and advance the bar by frames (not rows)."""
    last = None
    for cropped, values in stream:
        bar.update(cropped.index != last)
        last = cropped.index
        yield cropped, values
