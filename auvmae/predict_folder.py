"""Prediction of many recordings: where each one's files go, what is finished, what failed, and one report at the end.

Of a recording `X` there are `X.csv` (or `X.parquet`), and if they were asked for `X.events.csv`, `X.eaf`,
`X.timeline.png` and `X.overlay.mp4`. `X.provenance.json` is written first, as unfinished, and last, so that files
without it are not ours, and ones with another provenance are out of date.
"""

import glob
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from .crop import CroppedFrame
from .crop_files import replacing
from .crop_folder import VideoResult, summarise
from .faces import load_detector
from .overlay import write_overlay
from .plotting import save_figure
from .prediction import AUPrediction
from .recordings import FILES, PROVENANCE, SUFFIXES, Target, find_recordings
from .video import num_frames

if TYPE_CHECKING:
    from .detector import AUDetector

REPORT_FILE = "predict_report.json"


def predict_folder(
    detector: "AUDetector",
    inputs: Sequence[str],
    output: str | Path,
    table: str = "csv",
    extras: Sequence[str] = (),
) -> list[VideoResult]:
    """Predict every recording that `inputs` name, skip those that are finished, and go on after those that fail.

    Args:
        detector: predicts them.
        inputs: as for `find_recordings`.
        output: a folder, made if need be, beyond which nothing is written.
        table: "csv" or "parquet".
        extras: what to write beside the tables, of `FILES`.

    Returns:
        One result per recording, in the order of `inputs`; `output/predict_report.json` holds them, too.

    Raises:
        FileNotFoundError: one of the inputs names nothing.
        ValueError: one of the inputs is `output`.
        ImportError: what the face detector needs is not installed.
    """
    output = Path(output)
    if not detector.cropped:
        load_detector(detector.recipe.detector, detector.recipe.min_face)  # what cannot work fails now, and once
    results: dict[Path, VideoResult] = {}
    jobs: dict[Path, _Job] = {}
    total = 0
    for video, target in tqdm(find_recordings(inputs, output), "look", unit="video", leave=False):
        job = jobs[video] = _Job(detector, video, target, table, tuple(extras))
        with job.failures_into(results):
            if not target.folder.resolve().is_relative_to(output.resolve()):
                raise ValueError("a link leads out of the output folder")
            if counts := job.finished_counts():
                results[video] = job.result("skipped", *counts)
            else:
                total += num_frames(video)
    with tqdm(desc="predict", total=total, unit="frame", disable=not total) as bar:
        for video, job in jobs.items():
            if video not in results:
                bar.set_postfix_str(video.name)
                with job.failures_into(results):
                    results[video] = job.result("done", *job.run(bar))
    in_order = [results[video] for video in jobs]
    output.mkdir(parents=True, exist_ok=True)
    with replacing(output / REPORT_FILE) as file:
        json.dump({**summarise(in_order), "videos": [asdict(result) for result in in_order]}, file, indent=1)
    return in_order


@dataclass(frozen=True)
class _Job:
    """One recording, and what is to be written of it."""

    detector: "AUDetector"
    video: Path
    target: Target
    table: str
    extras: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """The names of its files: the table first."""
        suffixes = [f".{self.table}", *(suffix for extra in self.extras for suffix in FILES[extra])]
        return [self.target.file(suffix).name for suffix in suffixes]

    def result(self, status: str, frames: int = 0, found: int = 0, reason: str = "") -> VideoResult:
        return VideoResult(str(self.video), str(self.target.folder / self.files[0]), status, reason, frames, found)

    @contextmanager
    def failures_into(self, results: dict[Path, VideoResult]) -> Iterator[None]:
        """Whatever is wrong with one recording must not stop the others."""
        try:
            yield
        except Exception as error:
            results[self.video] = self.result("failed", reason=f"{type(error).__name__}: {error}")

    def provenance(self) -> dict[str, Any]:
        return self.detector.provenance(self.video) | {"files": self.files}

    def finished_counts(self) -> tuple[int, int] | None:
        """Its frames, and those with a face, if everything is there and would come out the same; None otherwise."""
        found = self._mark()
        counts = found.pop("counts", None)
        found.pop("logits_taken_off", None)
        whole = all((self.target.folder / name).exists() for name in self.files)
        return counts if whole and found == self.provenance() else None

    def run(self, bar: Any) -> tuple[int, int]:
        """Predict and write; returns the number of frames, and of those with a face."""
        self._make_way()
        try:
            prediction = self.detector.collect(_counted(self.detector.stream(self.video, live=False), bar), self.video)
            for extra in self.extras:
                getattr(self, f"_write_{extra}")(prediction)
            frames, found = (len(set(rows["frame"])) for rows in (prediction.rows, prediction.rows[prediction.success]))
            provenance = prediction.provenance | {"files": self.files, "counts": [frames, found]}
            replace(prediction, provenance=provenance).save(self.target.folder / self.files[0])
        except BaseException:
            self._remove()
            self.target.file(PROVENANCE).unlink(missing_ok=True)
            raise
        return frames, found

    def _mark(self) -> dict[str, Any]:
        """What stands in the provenance of an earlier run; nothing if there was none."""
        try:
            return json.loads(self.target.file(PROVENANCE).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def _make_way(self) -> None:
        """Remove what an earlier run left, and mark what will be written as ours.

        Raises:
            FileExistsError: there is a file that is not.
        """
        mark, found = self.target.file(PROVENANCE), self._mark()
        ours = found.get("files", [])
        for path in (self.target.folder / name for name in [*self.files, mark.name]):
            if path.exists() and path.name not in ours and not (path == mark and "files" in found):
                raise FileExistsError(f"{path} exists and was not written by `auvmae predict`: it is not replaced")
        self.target.folder.mkdir(parents=True, exist_ok=True)
        with replacing(mark) as file:
            json.dump({"unfinished": True, "files": sorted({*ours, *self.files})}, file)
        self._remove()

    def _remove(self) -> None:
        """Remove the files that are marked as ours, and what a process that died while it wrote them left."""
        marked = self._mark().get("files", [])
        for path in map(self.target.file, SUFFIXES):
            if path.name in marked:
                path.unlink(missing_ok=True)
            for leftover in path.parent.glob(f"{glob.escape(path.name)}.[0-9]*.tmp"):
                leftover.unlink(missing_ok=True)

    def _write_events(self, prediction: AUPrediction) -> None:
        with replacing(self.target.file(".events.csv")) as file:
            prediction.to_events().round(6).to_csv(file, index=False, lineterminator="\n")
        media = self.video.resolve()
        with suppress(ValueError):  # on Windows no path leads from one drive to another
            media = Path(os.path.relpath(media, self.target.folder.resolve()))
        with replacing(self.target.file(".eaf")) as file:
            file.write(prediction.to_eaf(media.as_posix()))

    def _write_timeline(self, prediction: AUPrediction) -> None:
        save_figure(prediction.plot(), self.target.file(".timeline.png"))

    def _write_overlay(self, prediction: AUPrediction) -> None:
        write_overlay(self.video, prediction, self.target.file(".overlay.mp4"), not self.detector.cropped)


def _counted(stream: Iterable[tuple[CroppedFrame, Any]], bar: Any) -> Iterator[tuple[CroppedFrame, Any]]:
    """The stream, whose frames (not rows) the bar counts."""
    last = None
    for cropped, probs in stream:
        bar.update(cropped.index != last)
        last = cropped.index
        yield cropped, probs
