"""Find out which frames a decoder drops without an error."""

from heapq import heappop, heappush

DROPPING_CODECS = {"hevc"}
"""Codecs whose decoders drop damaged frames, and those that refer to them, as if they were not there."""


class DroppedFrames:
    """Compare the packets that a decoder takes with the frames that it gives.

    Frames are known by their presentation times, and come in their order.
    """

    def __init__(self) -> None:
        self._expected: list[int] = []  # a heap
        self._begun = False

    def begin(self) -> None:
        """Note that the recording begins, though its first frame is damaged."""
        self._begun = True

    def take(self, pts: int) -> None:
        """Note a packet that the decoder takes."""
        heappush(self._expected, pts)

    def give(self, pts: int) -> list[int]:
        """Note a frame, and return the times of those that were dropped before it.

        Frames before the first one do not count: after a cut, they refer to frames that are not there.
        """
        dropped = []
        while self._expected and self._expected[0] <= pts:
            dropped.append(heappop(self._expected))
        begun, self._begun = self._begun, True
        return [one for one in dropped if one < pts] if begun else []

    def end(self) -> list[int]:
        """Return the times of the frames that were dropped after the last one."""
        return sorted(self._expected)
