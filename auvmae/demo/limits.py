"""Check a recording against the limits of the page before decoding it."""

from dataclasses import dataclass
from pathlib import Path

from ..video.container import VideoDecodeError
from ..video.reading import VIDEO_SUFFIXES, frame_rate, num_frames


class RefusedError(ValueError):
    """Signal a refused recording, with a message for the visitor."""


@dataclass(frozen=True)
class Limits:
    """Limit the file size and the duration of a recording.

    Args:
        megabytes: Largest file in units of 2**20 bytes, as Gradio counts them.
        seconds: Longest duration, the number of frames divided by the frame rate stated in the file.

    Raises:
        ValueError: If a limit is not positive.
    """

    megabytes: float = 100
    seconds: float = 60

    def __post_init__(self) -> None:
        if self.megabytes <= 0 or self.seconds <= 0:
            raise ValueError(f"limits must be positive, found {self.megabytes} MB and {self.seconds} s")

    def check(self, video: Path) -> None:
        """Check the name, the size and the packets of a file.

        Raises:
            RefusedError: If the file is not a video, or exceeds a limit.
        """
        if video.suffix.lower() not in VIDEO_SUFFIXES:
            raise RefusedError(f"{video.name} is not a video. Choose a file of type {', '.join(VIDEO_SUFFIXES)}.")
        if (size := video.stat().st_size / 2**20) > self.megabytes:
            raise RefusedError(f"{video.name} has {size:.0f} MB. This page accepts up to {self.megabytes:g} MB.")
        try:
            seconds = float(num_frames(video) / frame_rate(video))
        except VideoDecodeError as error:
            raise unreadable(video) from error
        if seconds > self.seconds:
            raise RefusedError(f"{video.name} lasts {seconds:.0f} s. This page accepts up to {self.seconds:g} s.")


def unreadable(video: Path) -> RefusedError:
    """Make the error for a file that does not decode, whatever the cause."""
    return RefusedError(
        f"{video.name} cannot be read completely: it is not a video, is damaged, or was trimmed without re-encoding. "
        "Convert it again, for example to MP4."
    )
