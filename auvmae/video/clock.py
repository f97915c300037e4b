"""Continue the clock of a recording whose timestamps start again."""


class Clock:
    """Turn the timestamps of a file into a clock that never goes back.

    Parts of a recording that were joined byte by byte (the chapters of camcorders and DVDs) each start at 0 again. The
    clock then continues by one frame.

    Args:
        interval: Seconds between two frames, until two frames have told.

    >>> clock = Clock(0.04)
    >>> [clock.follow(time) for time in (5.0, 5.5, 0.0, 0.5)], clock.restarted
    ([5.0, 5.5, 6.0, 6.5], False)
    """

    def __init__(self, interval: float) -> None:
        self.restarted = False
        self._interval = interval
        self._offset = 0.0
        self._last = float("-inf")

    def follow(self, time: float | None) -> float:
        """Return the seconds of the next frame, NaN without a timestamp.

        `restarted` tells whether the clock of the file started again with it.
        """
        if time is None:
            self.restarted = False
            return float("nan")
        self.restarted = time + self._offset < self._last
        if self.restarted:
            self._offset = self._last + self._interval - time
        elif self._last < time + self._offset and self._last != float("-inf"):
            self._interval = time + self._offset - self._last
        self._last = time + self._offset
        return self._last
