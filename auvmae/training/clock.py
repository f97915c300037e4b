"""Time a training over all of its sessions."""

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
