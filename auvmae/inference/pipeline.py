"""Register the detector as a Transformers pipeline.

It is made by `transformers.pipeline("video-au-detection", model=...)`.
"""

from typing import Any, cast

from transformers import AutoModelForVideoClassification, Pipeline, VideoClassificationPipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEPreTrainedModel
from ..weights import DEFAULT_MODEL, packaged_path
from .detector import AUDetector
from .prediction import AUPrediction

TASK = "video-au-detection"


class VideoAUDetectionPipeline(Pipeline):
    """Detect action units in a recording, or in a list of recordings.

    A recording is a path, or a uint8 array of frames (T, H, W, 3). A list of recordings gives a list of predictions.
    Options of `AUDetector` (`level`, `clip_stride`, `batch_size`, `threshold`, `every_face`, `all_aus`, `cropped`,
    `selection`) can be passed when the pipeline is created or called. `batch_size` counts windows; recordings are
    processed one by one. Without `model`, the packaged model is used.

    Example:
        >>> detect = transformers.pipeline("video-au-detection", model="outputs/disfa_video")  # doctest: +SKIP
        >>> detect("interview.mp4").to_dataframe()  # doctest: +SKIP
    """

    _load_image_processor: Any = True
    # otherwise transformers searches for a video processor, and asks to run the code named in the checkpoint
    _load_video_processor: Any = False

    def __call__(self, inputs: Any, *args: Any, batch_size: int | None = None, **options: Any) -> Any:
        """Predict one recording, or a list of them."""
        windows = self._batch_size if batch_size is None else batch_size
        if windows is not None:
            options["windows"] = windows
        # transformers must not collate recordings into a batch
        return super().__call__(inputs, *args, batch_size=1, **options)

    def _sanitize_parameters(self, windows: int | None = None, **options: Any) -> tuple[dict, dict, dict]:
        return {}, options if windows is None else options | {"batch_size": windows}, {}

    # the detector interleaves decoding, cropping and the model, so pre- and post-processing have nothing to do
    def preprocess(self, input_: Any, **_: Any) -> dict[str, Any]:
        """Pass the recording through unchanged."""
        return {"source": input_}

    def _forward(self, input_tensors: dict[str, Any], **options: Any) -> Any:
        model, processor = cast(AUVMAEForFrameAUClassification, self.model), cast(Any, self.image_processor)
        return AUDetector(model, processor, **options)(input_tensors["source"])

    def postprocess(self, model_outputs: Any, **_: Any) -> AUPrediction:
        """Return the `AUPrediction` unchanged."""
        return model_outputs


class OneLabelPipeline(VideoClassificationPipeline):
    """Refuse our models, which have no label per video, and run all others.

    The checkpoints belong to the Hub's task "video-classification", since the Hub has none for action units.

    Raises:
        ValueError: If the model is one of ours. The message names the pipeline to use.
    """

    def __init__(self, model: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(model, AUVMAEPreTrainedModel):
            raise ValueError(
                f"{model.name_or_path or 'this model'} detects action units in every frame and has no label per video: "
                f"use pipeline({TASK!r}, model=...) instead of {kwargs.get('task', 'video-classification')!r}."
            )
        super().__init__(model, *args, **kwargs)


PIPELINE_REGISTRY.supported_tasks["video-classification"]["impl"] = OneLabelPipeline
PIPELINE_REGISTRY.register_pipeline(
    TASK,
    VideoAUDetectionPipeline,
    pt_model=AutoModelForVideoClassification,
    default={"model": (packaged_path(DEFAULT_MODEL), "main")},
)
