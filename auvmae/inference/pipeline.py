"""`transformers.pipeline("video-au-detection", model=...)`: the detector behind the interface of pipelines."""

from typing import Any, cast

from transformers import AutoModelForVideoClassification, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..modeling_auvmae import AUVMAEForFrameAUClassification
from .detector import AUDetector
from .prediction import AUPrediction

TASK = "video-au-detection"


class VideoAUDetectionPipeline(Pipeline):
    """Detects action units in recordings; a list of recordings gives a list of predictions.

    Options of `AUDetector` (`level`, `clip_stride`, `batch_size`, `threshold`, `every_face`, `cropped`) may be given
    when the pipeline is made or called; batches are of windows, recordings go one by one. A recording is a path, or a
    uint8 array of frames (T, H, W, 3).

    Example:
        >>> detect = transformers.pipeline("video-au-detection", model="outputs/disfa_video")  # doctest: +SKIP
        >>> detect("interview.mp4").to_dataframe()  # doctest: +SKIP
    """

    _load_image_processor: Any = True
    # transformers would look for one beside the image processor, and ask to run the code that the checkpoint names
    _load_video_processor: Any = False

    def __call__(self, inputs: Any, *args: Any, batch_size: int | None = None, **options: Any) -> Any:
        """Predict one recording, or a list of them."""
        windows = self._batch_size if batch_size is None else batch_size
        if windows is not None:
            options["windows"] = windows
        # transformers would collate so many recordings into one
        return super().__call__(inputs, *args, batch_size=1, **options)

    def _sanitize_parameters(self, windows: int | None = None, **options: Any) -> tuple[dict, dict, dict]:
        return {}, options if windows is None else options | {"batch_size": windows}, {}

    # decoding, cropping and the model run hand in hand in the detector: nothing is left for before and after
    def preprocess(self, input_: Any, **_: Any) -> dict[str, Any]:
        """The recording as it is."""
        return {"source": input_}

    def _forward(self, input_tensors: dict[str, Any], **options: Any) -> Any:
        model, processor = cast(AUVMAEForFrameAUClassification, self.model), cast(Any, self.image_processor)
        return AUDetector(model, processor, **options)(input_tensors["source"])

    def postprocess(self, model_outputs: Any, **_: Any) -> AUPrediction:
        """The `AUPrediction` as it is."""
        return model_outputs


PIPELINE_REGISTRY.register_pipeline(TASK, VideoAUDetectionPipeline, pt_model=AutoModelForVideoClassification)
