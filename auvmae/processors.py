"""Turn uint8 frames into `pixel_values`, using torch alone (no torchvision)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoImageProcessor
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.models.auto.video_processing_auto import AutoVideoProcessor
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from .configuration import LARGEST_SIZE, AUVMAEConfig, check_normalisation

RGB_MODES = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "1")
"""Modes of PIL images whose conversion to RGB is a matter of course. Other pixels look like RGB and are not."""


class AUVMAEImageProcessor(BaseImageProcessor):
    """Resize, rescale and normalise the frames of face clips.

    Frames are resized to a square (antialiased bilinear), scaled to [0, 1] and normalised. There is no centre crop,
    because the frames are expected to show cropped faces.

    Args:
        size (`int` or `dict`, defaults to 224): Side of the square output in pixels, or `{"height": s, "width": s}`.
        image_mean, image_std (`list[float]`): Mean and standard deviation per channel, on the [0, 1] scale. They
            default to ImageNet's, which VideoMAE was trained with.
        crop (`dict`, *optional*): How the training faces were cropped, as the fields of
            `auvmae.faces.crop.CropRecipe`. Prediction crops its faces in the same way; `preprocess` ignores it.
        trained_on (`dict`, *optional*): Hashes of the subjects that the weights were trained on, by dataset. See
            `auvmae.training.seen_subjects`. They are stored here because the processor is saved with the weights.
        kwargs: Further fields to save with the processor.

    Raises:
        ValueError: A field has the wrong type or is out of range. The message names the field and the value found.
    """

    model_input_names = ["pixel_values"]

    def __init__(
        self,
        size: int | dict[str, int] = 224,
        image_mean: list[float] | None = None,
        image_std: list[float] | None = None,
        crop: dict[str, Any] | None = None,
        trained_on: dict[str, list[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sides = {"height": size, "width": size} if isinstance(size, int) else size
        if not isinstance(sides, Mapping) or {*sides} != {"height", "width"} or not all(map(_is_side, sides.values())):
            raise ValueError(f"size must be a number of pixels, or {{'height': s, 'width': s}}, found {size!r}.")
        self.size = dict(sides)
        mean = IMAGENET_DEFAULT_MEAN if image_mean is None else image_mean
        std = IMAGENET_DEFAULT_STD if image_std is None else image_std
        check_normalisation(mean, std)
        self.image_mean, self.image_std = list(mean), list(std)
        for name, value in (("crop", crop), ("trained_on", trained_on)):
            if value is not None and not isinstance(value, dict):
                raise ValueError(f"{name} must be an object with named fields, found {value!r}.")
        if crop == {}:
            raise ValueError("crop must be null or hold the fields of a recipe, found {}.")
        self.crop = crop
        self.trained_on = trained_on

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> Any:
        """Load like `BaseImageProcessor.from_pretrained`, with one-line errors.

        Raises:
            ValueError: A field is wrong. The message names the file, the field and the value.
            OSError: The file does not exist, or is not JSON.
        """
        file = Path(pretrained_model_name_or_path, "preprocessor_config.json")
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        except (ValueError, TypeError, AttributeError) as error:  # a list in place of the object has no keys
            raise ValueError(f"{file}: {error} Restore the file that was saved with the weights.") from error
        except OSError as error:
            raise OSError(f"{file} cannot be read: {' '.join(str(error).split())}") from error

    def preprocess(self, images: Any, return_tensors: str | None = "pt", **kwargs: Any) -> BatchFeature:
        """Turn one clip or a batch of clips into `pixel_values`.

        Args:
            images: Frames, uint8 in [0, 255], as an array or tensor `(T, H, W, 3)` or `(B, T, H, W, 3)`, or a list of
                frames `(H, W, 3)`, of PIL images or of clips `(T, H, W, 3)`.
            return_tensors: `"pt"` (default) or `"np"`.

        Returns:
            `BatchFeature` with `pixel_values`, float32 `(B, T, 3, height, width)`. A single clip has B = 1.

        Raises:
            ValueError: The frames have another dtype or shape.
        """
        if not hasattr(images, "shape"):
            images = [to_array(item) for item in images]
            if len({image.shape for image in images}) != 1:
                raise ValueError(f"Frames must have one shape, found {sorted({image.shape for image in images})}.")
            images = np.stack(images)
        frames = self.resize_frames(images)
        pixel_values = self.normalize_frames(frames if frames.ndim == 5 else frames[None])
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)

    def resize_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Resize uint8 frames to the processor's size.

        Args:
            frames: Clip `(T, H, W, 3)` or batch of clips `(B, T, H, W, 3)`.

        Returns:
            Frames `(..., height, width, 3)`, uint8.

        Raises:
            ValueError: The frames have another dtype or shape.
        """
        # frames.dtype is compared first, since torch lacks some dtypes of NumPy
        if str(frames.dtype).removeprefix("torch.") != "uint8" or frames.ndim not in (4, 5) or frames.shape[-1] != 3:
            raise ValueError(
                f"Frames must be uint8 of shape (T, H, W, 3) or (B, T, H, W, 3), found {frames.dtype} of shape "
                f"{tuple(frames.shape)}."
            )
        if 0 in frames.shape:
            raise ValueError(f"Frames must not be empty, found the shape {tuple(frames.shape)}.")
        if isinstance(frames, np.ndarray):  # torch accepts neither mirrored nor read-only arrays
            frames = torch.from_numpy(np.require(frames, requirements=["C", "W"]))
        size = self.size["height"], self.size["width"]
        if frames.shape[-3:-1] == size:
            return frames
        # Resizing uint8 planes, as Pillow does, takes a tenth of the time of float planes. The values differ by at most
        # one level.
        planes = frames.reshape(-1, *frames.shape[-3:]).permute(0, 3, 1, 2)
        planes = F.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
        return planes.permute(0, 2, 3, 1).reshape(*frames.shape[:-3], *size, 3)

    def normalize_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalise resized frames.

        Training calls this on the model's device, because uint8 frames are a quarter of the bytes to transfer.

        Args:
            frames: Frames `(B, T, height, width, 3)`, uint8.

        Returns:
            `pixel_values`, float32 `(B, T, 3, height, width)`.
        """
        mean, std = (
            255 * torch.tensor(values, device=frames.device).view(3, 1, 1)
            for values in (self.image_mean, self.image_std)
        )
        planes = frames.permute(0, 1, 4, 2, 3)
        return planes.to(torch.float32, memory_format=torch.contiguous_format).sub_(mean).div_(std)


def complete_halves(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Join each half of a face with its own mirror image.

    A model that grades intensities thus grades each side of the face: the two symmetric faces look as if both sides did
    what one side does. (Psychologists call them chimeric faces.) They are those of the mirrored frames, exchanged.

    Args:
        frames: Upright crops of faces `(..., H, W, C)`, of any dtype.

    Returns:
        Frames of the same shape, from the subject's right half, which is on the left of the image, and from the left.

    Example:
        >>> right, left = complete_halves(torch.tensor([1, 2, 3, 4]).view(1, 4, 1))
        >>> right.flatten().tolist(), left.flatten().tolist()
        ([1, 2, 2, 1], [4, 3, 3, 4])
    """
    columns = torch.arange(frames.shape[-2], device=frames.device)
    mirrored = columns.flip(0)
    right, left = torch.minimum(columns, mirrored), torch.maximum(columns, mirrored)
    return frames.index_select(-2, right), frames.index_select(-2, left)


def to_array(image: Any) -> np.ndarray:
    """Convert a frame to an array, a PIL image by way of RGB.

    Raises:
        ValueError: A PIL image has a mode such as YCbCr or HSV, whose numbers would be taken for RGB.
    """
    if not hasattr(image, "convert"):
        return np.asarray(image)
    if image.mode not in RGB_MODES:
        raise ValueError(f"An image has the mode {image.mode}, not RGB. Pass image.convert('RGB').")
    return np.asarray(image.convert("RGB"))


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and 1 <= value <= LARGEST_SIZE


AutoImageProcessor.register(AUVMAEConfig, AUVMAEImageProcessor, exist_ok=True)
# Pipelines load a video processor, too, and would otherwise ask to run the code that is saved with a checkpoint.
AutoVideoProcessor.register(AUVMAEConfig, AUVMAEImageProcessor, exist_ok=True)
AUVMAEImageProcessor.register_for_auto_class()
