"""Configure the AU-vMAE models."""

from dataclasses import field
from typing import Any, NamedTuple

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, VideoMAEConfig
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD


class Level(NamedTuple):
    """Define an input level by its sampling rate and its share of masked patches."""

    sampling_rate: int
    mask_ratio: float


LEVELS = {"video": Level(1, 0.0), "frame": Level(4, 0.0), "patch": Level(1, 0.5)}
"""Input levels of Sec. 3.3."""

AUTO_MAP = {
    "AutoConfig": "configuration.AUVMAEConfig",
    "AutoModel": "modeling_auvmae.AUVMAEModel",
    "AutoModelForPreTraining": "modeling_auvmae.AUVMAEForVideoPretraining",
    "AutoModelForVideoClassification": "modeling_auvmae.AUVMAEForFrameAUClassification",
    "AutoImageProcessor": "processors.AUVMAEImageProcessor",
}


@strict
class AUVMAEConfig(VideoMAEConfig):
    r"""Store the configuration of an AU-vMAE model.

    It extends `VideoMAEConfig` by the fields that describe the input clips. The defaults are the paper's (Sec. 4.1):
    ViT-B, 224 x 224 pixels, clips of 128 frames, video level. The three input levels of Sec. 3.3 differ only in
    (`sampling_rate`, `mask_ratio`): video (1, 0), frame (4, 0), patch (1, 0.5).

    Args:
        num_frames (`int`, defaults to 16): Frames in one encoder window, as in every VideoMAE checkpoint. The sampled
            frames of a clip must fill a whole number of windows.
        clip_length (`int`, defaults to 128): Labelled frames in one clip.
        sampling_rate (`int`, defaults to 1): Every `sampling_rate`-th frame of a clip enters the encoder.
        mask_ratio (`float`, defaults to 0.0): Share of patches that a tube mask hides from the encoder, in [0, 1).
        decoder_mask_ratio (`float`, defaults to 0.0): Share of the hidden patches that the decoder skips in
            pre-training, in [0, 1). This is the "dual masking" of VideoMAE V2; the paper reconstructs all hidden
            patches.
        image_mean, image_std (`list[float]`, default to ImageNet's): Mean and standard deviation used by the processor.
            Pre-training undoes the normalisation to build its pixel targets.
        thresholds (`list[float]`, *optional*): Decision threshold of each action unit, in (0, 1), in the order of the
            logits. All are 0.5 by default.
        kwargs: Fields of `VideoMAEConfig`. `id2label` names the action units, e.g. `{0: "AU1", 1: "AU2"}`.

    Raises:
        huggingface_hub.errors.StrictDataclassError: A field has the wrong type, or the fields contradict each other.
    """

    model_type = "auvmae"

    image_size: int = 224
    patch_size: int = 16
    clip_length: int = 128
    sampling_rate: int = 1
    mask_ratio: float | int = 0.0
    decoder_mask_ratio: float | int = 0.0
    image_mean: list[float] = field(default_factory=lambda: list(IMAGENET_DEFAULT_MEAN))
    image_std: list[float] = field(default_factory=lambda: list(IMAGENET_DEFAULT_STD))
    thresholds: list[float] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        # The config.json of stock VideoMAE has model_type "videomae". If we kept it, saving would rename the weights
        # by the wrong mapping, and the next load would lose the query and value biases.
        kwargs.pop("model_type", None)
        super().__post_init__(**kwargs)
        # save_pretrained lists only the class it saves, but a checkpoint should load with every Auto class.
        self.auto_map = dict(AUTO_MAP)

    def validate_clip(self) -> None:
        """Validate the mask ratios and the divisibility of clips, windows and images.

        Downstream code relies on this check and does not repeat it.
        """
        for name in ("mask_ratio", "decoder_mask_ratio"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), found {getattr(self, name)}.")
        if self.num_frames % self.tubelet_size:
            raise ValueError(
                f"num_frames ({self.num_frames}) must be a multiple of tubelet_size ({self.tubelet_size})."
            )
        if self.clip_length % (self.sampling_rate * self.num_frames):
            raise ValueError(
                f"clip_length ({self.clip_length}) must be a multiple of sampling_rate x num_frames "
                f"({self.sampling_rate} x {self.num_frames} = {self.sampling_rate * self.num_frames})."
            )
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size ({self.image_size}) must be a multiple of patch_size ({self.patch_size}).")

    def validate_thresholds(self) -> None:
        """Check that each action unit has one threshold, and that it lies in (0, 1)."""
        if self.thresholds is None:
            return
        if len(self.thresholds) != len(self.au_names) or not all(0 < value < 1 for value in self.thresholds):
            raise ValueError(
                f"thresholds must be {len(self.au_names)} numbers in (0, 1), one per action unit "
                f"({', '.join(self.au_names)}), found {self.thresholds}."
            )

    @property
    def au_thresholds(self) -> list[float]:
        """Return the decision threshold of each action unit, in the order of the logits."""
        return [0.5] * len(self.au_names) if self.thresholds is None else self.thresholds

    @property
    def patches_per_slot(self) -> int:
        """Return P, the number of patches in one temporal slot (tubelet)."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def au_names(self) -> list[str]:
        """List the action units in the order of the logits, e.g. `["AU1", "AU2"]`."""
        return [str(name) for _, name in sorted((self.id2label or {}).items())]


AutoConfig.register(AUVMAEConfig.model_type, AUVMAEConfig, exist_ok=True)
AUVMAEConfig.register_for_auto_class()
