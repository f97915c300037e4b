"""From a recording that a visitor chose to what the page shows."""

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
"""Called with the share that is done, in [0, 1], and what is being done."""

PREDICTION_SHARE = 0.9
"""Of the bar; the rest is the overlay's."""


@dataclass(frozen=True)
class Analysis:
    """What there is to show of a recording.

    Args:
        overlay: the recording with boxes and bars, .mp4.
        table: what `auvmae predict` writes, .csv.
        timeline: HTML.
        summary: a sentence: how long it is, and in how much of it there is a face.
    """

    overlay: Path
    table: Path
    timeline: str
    summary: str


def analyse(detector: AUDetector, video: Path, folder: Path, limits: Limits, progress: Progress) -> Analysis:
    """Predict a recording and write its overlay and its table.

    Args:
        detector: predicts it.
        video: a file.
        folder: where to write.
        limits: what is taken.
        progress: is told how far it is.

    Raises:
        RefusedError: the file is beyond the limits, does not decode, or shows no face.
    """
    limits.check(video)
    try:
        prediction = _predict(detector, video, progress)
        if not prediction.success.any():
            raise RefusedError(
                f"No face was found in {video.name}. It should be seen from the front, in good light, and fill at "
                f"least {detector.recipe.min_face:.0%} of the picture's height."
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
        # rows come out late, and many at once: what went in tells how far it is
        for index, timestamp, frame in iter_frames(video):
            if index % 8 == 0:
                progress(PREDICTION_SHARE * index / total, f"Frame {index} of {total}")
            yield index, timestamp, frame

    return detector.collect(detector.stream(frames(), live=False), video)


def _sum_up(prediction: AUPrediction) -> str:
    found, frames = int(prediction.success.sum()), len(prediction.rows)
    where = "a face in all of them" if found == frames else f"a face in {found} of them"
    return f"{frames} frames, {where}."
