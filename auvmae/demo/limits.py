"""What a page takes in, decided before a frame is decoded, and the sentence for what it does not take."""

from dataclasses import dataclass
from pathlib import Path

from ..video.container import VideoDecodeError
from ..video.reading import VIDEO_SUFFIXES, frame_rate, num_frames


class RefusedError(ValueError):
    """A recording that the page does not show a result of; its message is a sentence for the visitor."""


@dataclass(frozen=True)
class Limits:
    """How large and how long a recording may be.

    Args:
        megabytes: of the file; of 2**20 bytes each, as Gradio counts them.
        seconds: number of frames by frame rate, as the file states them.

    Raises:
        ValueError: a limit that nothing could keep.
    """

    megabytes: float = 100
    seconds: float = 60

    def __post_init__(self) -> None:
        if self.megabytes <= 0 or self.seconds <= 0:
            raise ValueError(f"limits must be positive, found {self.megabytes} MB and {self.seconds} s")

    def check(self, video: Path) -> None:
        """Look at a file's name, size and packets.

        Raises:
            RefusedError: it is no video, or beyond a limit.
        """
        if video.suffix.lower() not in VIDEO_SUFFIXES:
            raise RefusedError(f"{video.name} is not a video. Choose a file that ends in {', '.join(VIDEO_SUFFIXES)}.")
        if (size := video.stat().st_size / 2**20) > self.megabytes:
            raise RefusedError(f"{video.name} has {size:.0f} MB; this page takes {self.megabytes:g} MB at most.")
        try:
            seconds = float(num_frames(video) / frame_rate(video))
        except VideoDecodeError as error:
            raise unreadable(video) from error
        if seconds > self.seconds:
            raise RefusedError(f"{video.name} lasts {seconds:.0f} s; this page takes {self.seconds:g} s at most.")


def unreadable(video: Path) -> RefusedError:
    """The error of a file that does not decode, whatever is the cause."""
    return RefusedError(
        f"{video.name} cannot be read from beginning to end: it is no video, is damaged, or was cut without "
        "re-encoding. Convert it anew, for example to MP4."
    )
