"""Record what a detector's model sees in recordings, to calibrate int8 with it."""

from collections.abc import Sequence
from contextlib import closing
from copy import copy
from typing import Any

import torch

from ..inference.detector import AUDetector
from ..inference.sources import Source

MOST_WINDOWS = 64
"""Number of windows that are recorded; more do not change the ranges much, and windows of ViT-B have 10 MB."""


class Recorder:
    """Replace a model, and keep the inputs of its calls."""

    def __init__(self, model: Any) -> None:
        self.model, self.inputs = model, list[dict[str, torch.Tensor]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor | None = None) -> Any:
        """Call the model, and keep the inputs."""
        given = {"pixel_values": pixel_values, "bool_masked_pos": bool_masked_pos}
        self.inputs.append({name: tensor for name, tensor in given.items() if tensor is not None})
        return self.model(pixel_values, bool_masked_pos)


def record_windows(detector: AUDetector, recordings: Sequence[Source]) -> list[dict[str, torch.Tensor]]:
    """Return the inputs of the model for the first windows of recordings.

    Args:
        detector: Detector of the model.
        recordings: Recordings with faces.

    Returns:
        The inputs of single windows, which do not overlap. They are at most `MOST_WINDOWS`, and as many of each
        recording, if it is long enough.

    Raises:
        ValueError: There are fewer than two windows with a face.
    """
    recorder = Recorder(detector.model)
    detector = copy(detector)
    detector.model, detector.batch_size, detector.clip_stride = recorder, 1, detector.window_length
    for number, recording in enumerate(recordings, 1):
        with closing(detector.stream(recording, live=False)) as rows:  # type: ignore[type-var]
            for _ in rows:
                if len(recorder.inputs) >= MOST_WINDOWS * number // len(recordings):
                    break
    if len(recorder.inputs) < 2:
        raise ValueError(
            f"the recordings for int8 have {len(recorder.inputs)} windows with a face: pass longer ones, or ones with "
            "larger faces, by --calibration"
        )
    return recorder.inputs
