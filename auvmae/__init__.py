"""AU-vMAE: facial action units in every frame of a video, on Transformers.

Importing the package registers its classes with `AutoConfig`, `AutoModel`, `AutoModelForPreTraining`,
`AutoModelForVideoClassification` and `AutoImageProcessor`, and `transformers.pipeline("video-au-detection")`.
"""

from .calibration import Calibration
from .configuration import AUVMAEConfig
from .detector import AUDetector
from .modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel
from .pipeline import VideoAUDetectionPipeline
from .prediction import AUPrediction
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
