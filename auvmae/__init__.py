"""AU-vMAE: facial action units in every frame of a video, on Transformers.

Importing the package registers its classes with `AutoConfig`, `AutoModel`, `AutoModelForPreTraining`,
`AutoModelForVideoClassification` and `AutoImageProcessor`.
"""

from .configuration import AUVMAEConfig
from .modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel
from .processors import AUVMAEImageProcessor

__all__ = [
    "AUVMAEConfig",
    "AUVMAEForFrameAUClassification",
    "AUVMAEForVideoPretraining",
    "AUVMAEImageProcessor",
    "AUVMAEModel",
]

__version__ = "0.1.0"
