"""Time the steps and the sessions of a training."""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


class TrainingClock(TrainerCallback, ExportableState):
    """Count the seconds of a training, and keep them in its checkpoints.

    Trainer saves the `state` of its callbacks with every checkpoint. A resumed run adds to their seconds.
    """

    def __init__(self) -> None:
        self._before = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Return the seconds of this session and of those that it resumed."""
        return self._before + (0.0 if self._started is None else time.perf_counter() - self._started)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint saves."""
        return {"args": {}, "attributes": {"_before": self.seconds}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start to count, from the seconds of the checkpoint if there is one."""
        callbacks: Any = state.stateful_callbacks or {}
        saved = callbacks.get(type(self).__name__, {})  # absent from older checkpoints
        self._before = float(saved.get("attributes", {}).get("_before", 0.0))
        self._started = time.perf_counter()


class Stopwatch(TrainerCallback):
    """Time the training steps, without evaluation, logging and saving in between."""

    def __init__(self) -> None:
        self._clips = 0
        self._waited = self._spent = 0.0
        self._started: float | None = None

    def fetch(self, started: float, clips: int) -> None:
        """Record that a step has fetched its batches.

        Args:
            started: Time at which the step began to wait for data, from `time.perf_counter`.
            clips: Number of clips in the batches.
        """
        self._started = started
        self._waited += time.perf_counter() - started
        self._clips += clips

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Record the end of a step."""
        if self._started is not None:
            self._spent += time.perf_counter() - self._started
            self._started = None

    def pop(self) -> dict[str, float]:
        """Return the speed since the last call, and reset the stopwatch.

        Returns:
            `clips_per_second`, and `data_wait`, the share of the time spent waiting for data, in [0, 1]. Empty if no
            step was timed.
        """
        logs = {}
        if self._spent:
            logs = {"clips_per_second": self._clips / self._spent, "data_wait": self._waited / self._spent}
        self._clips, self._waited, self._spent = 0, 0.0, 0.0
        return logs
