"""Detect facial action units in every frame of a video, on Transformers.

Importing the package registers its classes with `AutoConfig`, `AutoModel`, `AutoModelForPreTraining`,
`AutoModelForVideoClassification` and `AutoImageProcessor`, and `transformers.pipeline("video-au-detection")`.
Everything else is imported when it is first used. If torch is not imported yet, its threads will sleep while they wait
for each other (OMP_WAIT_POLICY), unless the environment says otherwise.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .system.cpus import wait_asleep

wait_asleep()  # before torch is imported

from .configuration import AUVMAEConfig  # noqa: E402
from .inference.pipeline import VideoAUDetectionPipeline  # noqa: E402
from .modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel  # noqa: E402
from .processors import AUVMAEImageProcessor  # noqa: E402

if TYPE_CHECKING:
    from .data import load_au_dataset
    from .inference.calibration import Calibration
    from .inference.detector import AUDetector
    from .inference.prediction import AUPrediction
    from .knowledge.losses import KnowledgeGuidedLoss
    from .summaries.description import describe_folder
    from .training.finetuning import AUVMAETrainer
    from .video import read_frames
    from .video.selection import FrameSelection

__all__ = [
    "AUDetector",
    "AUPrediction",
    "AUVMAEConfig",
    "AUVMAEForFrameAUClassification",
    "AUVMAEForVideoPretraining",
    "AUVMAEImageProcessor",
    "AUVMAEModel",
    "AUVMAETrainer",
    "Calibration",
    "FrameSelection",
    "KnowledgeGuidedLoss",
    "VideoAUDetectionPipeline",
    "describe_folder",
    "load_au_dataset",
    "read_frames",
]

__version__ = "0.1.0"

_LAZY = {
    "AUDetector": ".inference.detector",
    "AUPrediction": ".inference.prediction",
    "AUVMAETrainer": ".training.finetuning",
    "Calibration": ".inference.calibration",
    "FrameSelection": ".video.selection",
    "KnowledgeGuidedLoss": ".knowledge.losses",
    "describe_folder": ".summaries.description",
    "load_au_dataset": ".data",
    "read_frames": ".video",
}
"""Public name -> the module it is imported from on first use."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
