"""Analyse a visitor's recording for the page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..inference.detector import AUDetector
from ..inference.overlay import write_overlay
from ..inference.prediction import AUPrediction
from ..video.container import VideoDecodeError
from ..video.reading import Frame, frame_rate, iter_frames, num_frames
from .limits import Limits, RefusedError, unreadable
from .timeline import format_timeline

Progress = Callable[[float, str], None]
"""Callback for the fraction done, in [0, 1], and a description of the current work."""

PREDICTION_SHARE = 0.9
"""Fraction of the progress bar for prediction; the rest is for the overlay."""


@dataclass(frozen=True)
class Analysis:
    """Hold everything that the page shows for a recording.

    Args:
        overlay: Recording with face boxes and AU bars, .mp4.
        table: Table as written by `auvmae predict`, .csv.
        timeline: Timeline as HTML.
        summary: Sentence with the number of frames, and of frames with a face.
    """

    overlay: Path
    table: Path
    timeline: str
    summary: str


def analyse(detector: AUDetector, video: Path, folder: Path, limits: Limits, progress: Progress) -> Analysis:
    """Predict a recording, and write its overlay and its table.

    Args:
        detector: Detector that predicts the recording.
        video: Video file.
        folder: Output folder.
        limits: Limits that the file must meet.
        progress: Callback for the progress.

    Raises:
        RefusedError: If the file exceeds the limits, does not decode, or shows no face.
    """
    limits.check(video)
    try:
        prediction = _predict(detector, video, progress)
        if not prediction.success.any():
            raise RefusedError(
                f"No face was found in {video.name}. The face should be frontal, well lit, and at least "
                f"{detector.recipe.min_face:.0%} of the frame's height."
            )
        overlay = folder / f"{video.stem}.overlay.mp4"
        progress(PREDICTION_SHARE, "Drawing the overlay")
        write_overlay(video, prediction, overlay, not detector.cropped)
    except VideoDecodeError as error:
        raise unreadable(video) from error
    rate = float(frame_rate(video))
    return Analysis(
        overlay, prediction.save(folder / f"{video.stem}.csv"), format_timeline(prediction, rate), _sum_up(prediction)
    )


def _predict(detector: AUDetector, video: Path, progress: Progress) -> AUPrediction:
    total = num_frames(video)

    def frames() -> Iterator[Frame]:
        # rows come late and in bursts, so progress counts the frames that were read
        for index, timestamp, frame in iter_frames(video):
            if index % 8 == 0:
                progress(PREDICTION_SHARE * index / total, f"Frame {index} of {total}")
            yield index, timestamp, frame

    return detector.collect(detector.stream(frames(), live=False), video)


def _sum_up(prediction: AUPrediction) -> str:
    found, frames = int(prediction.success.sum()), len(prediction.rows)
    where = "a face in all of them" if found == frames else f"a face in {found} of them"
    return f"{frames} frames, {where}."
