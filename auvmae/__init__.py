"""AU-vMAE: facial action units in every frame of a video, on Transformers.

Importing the package registers its classes with `AutoConfig`, `AutoModel`, `AutoModelForPreTraining`,
`AutoModelForVideoClassification` and `AutoImageProcessor`, and `transformers.pipeline("video-au-detection")`.
"""

from .configuration import AUVMAEConfig
from .inference.calibration import Calibration
from .inference.detector import AUDetector
from .inference.pipeline import VideoAUDetectionPipeline
from .inference.prediction import AUPrediction
from .modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel
from .processors import AUVMAEImageProcessor

__all__ = [
    "AUDetector",
    "AUPrediction",
    "AUVMAEConfig",
    "AUVMAEForFrameAUClassification",
    "AUVMAEForVideoPretraining",
    "AUVMAEImageProcessor",
    "AUVMAEModel",
    "Calibration",
    "VideoAUDetectionPipeline",
]

__version__ = "0.1.0"
