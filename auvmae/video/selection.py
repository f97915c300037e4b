"""Select a stretch of a recording, or every so-many-th of its frames."""

import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class FrameSelection:
    """Select frames by their time and their number.

    Args:
        start, stop: Frames from `start` to before `stop` are selected, in seconds of the recording's clock.
        every: Of all frames of the recording, counted from its first, one in `every` is selected.

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> frames = [(number, number / 10, None) for number in range(50)]
        >>> [frame[0] for frame in FrameSelection(1.0, 2.0, every=4).select(frames, lambda frame: frame[1])]
        [12, 16]
    """

    start: float = 0.0
    stop: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.start < (inf if self.stop is None else self.stop) or self.stop == inf:
            raise ValueError(f"start and stop must be 0 <= START < STOP in seconds, found {self.start} and {self.stop}")
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"every must be a whole number of at least 1, found {self.every!r}")

    @property
    def timed(self) -> bool:
        """Tell whether frames are selected by their time."""
        return self.start > 0 or self.stop is not None

    def select(self, frames: Iterable[Item], time_of: Callable[[Item], float]) -> Generator[Item, None, None]:
        """Pass the selected frames of a stream through, and read no further than `stop`.

        Args:
            frames: Frames in order, from the first of the recording.
            time_of: Returns the timestamp of a frame in seconds; NaN if it is unknown.

        Raises:
            ValueError: If frames are selected by their time and have none, or no frame is selected.
        """
        stop = inf if self.stop is None else self.stop
        found, time = False, 0.0
        for number, frame in enumerate(frames):
            if self.timed:
                time = time_of(frame)
                if math.isnan(time):
                    raise ValueError("its frames have no timestamps (images have none), so omit start and stop")
                if time >= stop:
                    break
            if time >= self.start and number % self.every == 0:
                found = True
                yield frame
        if not found and self.timed:
            raise ValueError(f"no frame lies between {self.start:g} and {stop:g} s; the last one is at {time:g} s")

    def count(self, frames: int, rate: float) -> int:
        """Estimate how many of `frames` are selected, at `rate` frames per second."""
        stop = frames if self.stop is None else min(frames, self.stop * rate)
        return round(max(0.0, stop - min(frames, self.start * rate)) / self.every)

    def to_dict(self) -> dict[str, Any]:
        """Convert the fields to JSON types."""
        return asdict(self)


def parse_time(text: str) -> float:
    """Parse a time.

    Args:
        text: Seconds, mm:ss or hh:mm:ss.

    Returns:
        Seconds.

    Raises:
        ValueError: If the text has another format.

    >>> parse_time("7.5"), parse_time("1:02"), parse_time("1:00:02.5")
    (7.5, 62.0, 3602.5)
    """
    *larger, last = text.split(":")
    try:
        units, seconds = [*map(int, larger)], float(last)
        if len(units) > 2 or (units and not (min(units) >= 0 <= seconds < 60 and all(unit < 60 for unit in units[1:]))):
            raise ValueError
    except ValueError as error:
        raise ValueError(f"expected seconds, mm:ss or hh:mm:ss, found {text!r}") from error
    return seconds + sum(unit * 60**power for power, unit in enumerate(reversed(units), start=1))
