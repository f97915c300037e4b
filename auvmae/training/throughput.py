"""How fast a run is, and whether it waits for its data."""

import time
from typing import Any

from transformers import TrainerCallback


class Stopwatch(TrainerCallback):
    """Times the training steps; evaluation, logging and saving between them do not count."""

    def __init__(self) -> None:
        self._clips = 0
        self._waited = self._spent = 0.0
        self._started: float | None = None

    def fetch(self, started: float, clips: int) -> None:
        """Note that a step began to ask for its batches at `started` (`time.perf_counter`) and now has its clips."""
        self._started = started
        self._waited += time.perf_counter() - started
        self._clips += clips

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note that the step is over."""
        if self._started is not None:
            self._spent += time.perf_counter() - self._started
            self._started = None

    def pop(self) -> dict[str, float]:
        """`clips_per_second` and `data_wait` (share of the time spent waiting for data, in [0, 1]) since last asked.

        Nothing if no step was timed.
        """
        logs = {}
        if self._spent:
            logs = {"clips_per_second": self._clips / self._spent, "data_wait": self._waited / self._spent}
        self._clips, self._waited, self._spent = 0, 0.0, 0.0
        return logs
