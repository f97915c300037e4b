"""From uint8 frames to `pixel_values`, in torch alone (torchvision is not needed)."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoImageProcessor
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from .configuration import AUVMAEConfig


class AUVMAEImageProcessor(BaseImageProcessor):
    """Resize (antialiased bilinear, to a square), scale to [0, 1] and normalise the frames of face clips.

    Faces are expected to be cropped already, so that the whole frame is used: no centre crop.

    Args:
        size (`int` or `dict`, defaults to 224): Side of the square output in pixels, or `{"height": s, "width": s}`.
        image_mean, image_std (`list[float]`): Per channel, on the [0, 1] scale. ImageNet's, as VideoMAE was trained.
        crop (`dict`, *optional*): How the faces of the training data were cropped, the fields of
            `auvmae.crop.CropRecipe`. Kept for prediction, which crops in the same way; `preprocess` does not crop.
        kwargs: Kept and saved with the processor.
    """

    model_input_names = ["pixel_values"]

    def __init__(
        self,
        size: int | dict[str, int] = 224,
        image_mean: list[float] | None = None,
        image_std: list[float] | None = None,
        crop: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size = {"height": size, "width": size} if isinstance(size, int) else dict(size)
        self.image_mean = list(IMAGENET_DEFAULT_MEAN if image_mean is None else image_mean)
        self.image_std = list(IMAGENET_DEFAULT_STD if image_std is None else image_std)
        self.crop = crop

    def preprocess(self, images: Any, return_tensors: str | None = "pt", **kwargs: Any) -> BatchFeature:
        """Turn one clip or a batch of clips into `pixel_values`.

        Args:
            images: uint8 frames in [0, 255], as an array or tensor `(T, H, W, 3)` or `(B, T, H, W, 3)`, or a list of
                frames `(H, W, 3)` or of clips `(T, H, W, 3)`.
            return_tensors: `"pt"` (default) or `"np"`.

        Returns:
            `BatchFeature` with `pixel_values`, float32 `(B, T, 3, height, width)`; B = 1 for a single clip.

        Raises:
            ValueError: The frames have another dtype or shape.
        """
        # an array is taken as it is: to stack its frames would copy them
        clips = torch.as_tensor(images if hasattr(images, "shape") else np.stack([np.asarray(item) for item in images]))
        if clips.ndim == 4:
            clips = clips[None]
        if clips.dtype != torch.uint8 or clips.ndim != 5 or clips.shape[-1] != 3:
            raise ValueError(
                f"Frames must be uint8 of shape (T, H, W, 3) or (B, T, H, W, 3), found {clips.dtype} of shape "
                f"{tuple(clips.shape)}."
            )
        size = self.size["height"], self.size["width"]
        frames = clips.flatten(0, 1).permute(0, 3, 1, 2)
        if frames.shape[2:] != size:
            frames = F.interpolate(frames.float(), size, mode="bilinear", antialias=True, align_corners=False)
        mean, std = (255 * torch.tensor(values).view(3, 1, 1) for values in (self.image_mean, self.image_std))
        # NumPy's memory comes in huge pages: to get 77 MB in small ones takes longer than to fill them
        pixel_values = torch.from_numpy(np.empty((len(frames), 3, *size), np.float32))
        planes = torch.empty((3, *size), dtype=frames.dtype)
        for frame, values in zip(frames, pixel_values, strict=True):  # one by one: a frame stays in the cache
            values.copy_(planes.copy_(frame)).sub_(mean).div_(std)
        pixel_values = pixel_values.unflatten(0, clips.shape[:2])
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)


AutoImageProcessor.register(AUVMAEConfig, AUVMAEImageProcessor, exist_ok=True)
AUVMAEImageProcessor.register_for_auto_class()
