"""Configure the AU-vMAE models."""

import json
import math
from collections.abc import Callable
from dataclasses import field, fields
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig, VideoMAEConfig
from transformers.activations import ACT2FN
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from .weights import check_folder


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

LATER = {
    "stem_channels",
    "stem_blocks",
    "grade_intensities",
    "side_checks",
    "detect_occurrences",
    "weigh_positions",
    "au_checks",
    "stored_positions",
    "pose_range",
    "relative_aus",
}
"""Fields that older checkpoints do not have; their weights say the same, so that a loss of one is noticed."""

CHECKS = ("passed", "failed", "none")
"""Outcomes of the check of an action unit on real faces; "none" if it was not checked."""

LARGEST_SIZE, MOST_TOKENS, LONGEST_CLIP = 2**16, 10**5, 10**6
"""Limits of any width or count, of the tokens in a window, and of the frames in a clip.

They lie far above what can be trained. Without them, one damaged digit in `config.json` would exhaust the memory.
"""


def _raise_value_errors(cls: type) -> type:
    """Raise the errors of a strict dataclass as `ValueError`s of one line."""
    init: Callable[..., None] = cls.__init__  # type: ignore[misc]

    @wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except StrictDataclassError as error:
            raise ValueError(" ".join(str(error.__cause__).split())) from error
        except (AttributeError, TypeError) as error:  # PreTrainedConfig converts some fields unchecked
            raise ValueError(f"a field of the configuration has a wrong type: {error}.") from error

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


@_raise_value_errors
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
        au_checks (`dict[str, str]`, *optional*): Outcome of the check of each action unit on real faces, in `CHECKS`.
            `AUDetector` leaves out those that failed. By default, nothing is known.
        relative_aus (`list[str]`, *optional*): Action units that look different in every neutral face. `AUDetector`
            gives them relative to the face's own baseline, see `inference.people.running_baseline`. None by default.
        pose_range (`list[list[float]]`, *optional*): Lowest and highest pitch and yaw of the head in the training data,
            `[[pitch, pitch], [yaw, yaw]]` in radians, see `faces.pose`. By default, nothing is known.
        stem_channels (`list[int]`, *optional*): Channels of a convolutional first stage that takes the place of
            VideoMAE's linear embedding, one per halving of the resolution, so `patch_size` is 2 to the power of their
            number. See `ConvolutionalStem`.
        stem_blocks (`list[int]`, *optional*): Residual blocks after each of these convolutions; none by default.
        grade_intensities (`bool`, defaults to False): Whether a second head predicts intensities.
        side_checks (`dict[str, str]`, *optional*): Outcome of the check of left minus right on real faces, likewise.
            Action units that it does not name have no sides. By default, all have, and nothing is known.
        detect_occurrences (`bool`, defaults to True): Whether the logits of occurrence were trained. If not, only the
            intensities mean anything.
        weigh_positions (`bool`, defaults to False): Whether the heads learn a weight for every position and channel,
            instead of averaging the positions.
        stored_positions (`bool`, defaults to False): Whether checkpoints hold their table of positions. VideoMAE's is
            computed; MARLIN's differs from it in the last digits.
        kwargs: Fields of `VideoMAEConfig`. `id2label` names the action units, e.g. `{0: "AU1", 1: "AU2"}`.

    Raises:
        ValueError: A field has the wrong type or is out of range, or the fields contradict each other. The message
            names the field and the value found.
    """

    model_type = "auvmae"
    # the pipeline has one output; AUVMAETrainer asks for intensities
    keys_to_ignore_at_inference = ["intensity_logits"]

    image_size: int = 224
    patch_size: int = 16
    clip_length: int = 128
    sampling_rate: int = 1
    mask_ratio: float | int = 0.0
    decoder_mask_ratio: float | int = 0.0
    image_mean: list[float] = field(default_factory=lambda: list(IMAGENET_DEFAULT_MEAN))
    image_std: list[float] = field(default_factory=lambda: list(IMAGENET_DEFAULT_STD))
    thresholds: list[float] | None = None
    au_checks: dict[str, str] | None = None
    relative_aus: list[str] | None = None
    pose_range: list[list[float]] | None = None
    stem_channels: list[int] | None = None
    stem_blocks: list[int] | None = None
    grade_intensities: bool = False
    side_checks: dict[str, str] | None = None
    detect_occurrences: bool = True
    weigh_positions: bool = False
    stored_positions: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        # The config.json of stock VideoMAE has model_type "videomae". If we kept it, saving would rename the weights
        # by the wrong mapping, and the next load would lose the query and value biases.
        kwargs.pop("model_type", None)
        labels = {} if self.id2label is None else self.id2label
        if not isinstance(labels, dict) or not all(str(index).isdecimal() for index in labels):
            raise ValueError(f"id2label must name the logits by their numbers, found {labels!r}.")
        if isinstance(self.dtype, str) and not isinstance(getattr(torch, self.dtype, None), torch.dtype):
            raise ValueError(f"dtype must be one of torch, such as float32, found {self.dtype!r}.")
        super().__post_init__(**kwargs)
        if self.dtype is not None and not isinstance(self.dtype, torch.dtype):
            raise ValueError(f"dtype must be one of torch, such as float32, found {self.dtype!r}.")
        # save_pretrained lists only the class it saves, but a checkpoint should load with every Auto class.
        self.auto_map = dict(AUTO_MAP)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> Any:
        """Load like `PreTrainedConfig.from_pretrained`, with one-line errors.

        Raises:
            ValueError: A field is missing, wrong or contradicts another. The message names file, field and value.
            OSError: The file does not exist, or is not JSON.
        """
        path = Path(pretrained_model_name_or_path)
        file = path if path.suffix == ".json" else path / "config.json"
        if path != file or not path.is_file():
            check_folder(str(pretrained_model_name_or_path))
        if file.is_file():
            try:
                content = json.loads(file.read_bytes())
            except ValueError as error:
                raise OSError(f"{file} is not valid JSON: {error}. Restore the file that was saved.") from error
            if not isinstance(content, dict):
                raise ValueError(f"{file} holds a {type(content).__name__} instead of the fields of a configuration.")
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        except OSError as error:
            raise OSError(" ".join(str(error).split())) from error

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Build like `PreTrainedConfig.from_dict`, and check that the fields are complete.

        Raises:
            ValueError: A field is missing, wrong or contradicts another.
        """
        labels, count = config_dict.get("id2label"), config_dict.get("num_labels")
        if config_dict.get("model_type") == cls.model_type:
            # A default in place of a lost field would change the numbers. Stock VideoMAE saves other fields.
            known = {one.name for one in fields(PreTrainedConfig)} | LATER
            if missing := [one.name for one in fields(cls) if one.name not in {*known, *config_dict}]:
                raise ValueError(f"there is no {', '.join(missing)}. Restore the file that was saved with the weights.")
            if isinstance(labels, dict) and count is not None and count != len(labels):
                raise ValueError(f"num_labels is {count!r}, but id2label names {len(labels)} action units.")
            other = config_dict.get("label2id")
            if (
                isinstance(labels, dict)
                and isinstance(other, dict)
                and _pairs(labels) != {pair[::-1] for pair in _pairs(other)}
            ):
                raise ValueError(f"label2id ({other}) contradicts id2label ({labels}).")
        return super().from_dict(config_dict, **kwargs)

    def validate_sizes(self) -> None:
        """Check the range of every number that a model is built from."""
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type is int and one.name not in ("chunk_size_feed_forward", "clip_length"):
                _check(one.name, value, isinstance(value, int) and 1 <= value <= LARGEST_SIZE, f"1 to {LARGEST_SIZE}")
        _check("clip_length", self.clip_length, 1 <= self.clip_length <= LONGEST_CLIP, f"1 to {LONGEST_CLIP}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "mask_ratio", "decoder_mask_ratio"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "[0, 1)")
        for name in ("layer_norm_eps", "initializer_range"):
            _check(name, getattr(self, name), 0 < getattr(self, name) <= 1, "(0, 1]")
        for prefix in ("", "decoder_"):
            width, heads = (getattr(self, f"{prefix}{name}") for name in ("hidden_size", "num_attention_heads"))
            if width % heads:
                raise ValueError(
                    f"{prefix}hidden_size ({width}) must be a multiple of {prefix}num_attention_heads ({heads})."
                )
        if self.hidden_act not in ACT2FN:
            raise ValueError(
                f"hidden_act must be an activation of Transformers, such as gelu, found {self.hidden_act}."
            )
        check_normalisation(self.image_mean, self.image_std)

    def validate_labels(self) -> None:
        """Check that `id2label` numbers its names from 0."""
        labels = self.id2label or {}
        if sorted(labels) != list(range(len(labels))) or not labels or not all(labels.values()):
            raise ValueError(f"id2label must name the logits 0, 1, ... in order, found {labels}.")

    def validate_clip(self) -> None:
        """Validate the sizes, and the divisibility of clips, windows and images.

        Downstream code relies on this check and does not repeat it.
        """
        self.validate_sizes()
        if self.num_frames % self.tubelet_size:
            raise ValueError(
                f"num_frames ({self.num_frames}) must be a multiple of tubelet_size ({self.tubelet_size})."
            )
        if self.clip_length % (self.sampling_rate * self.num_frames):
            raise ValueError(
                f"clip_length ({self.clip_length}) must be a multiple of sampling_rate x num_frames "
                f"({self.sampling_rate} x {self.num_frames} = {self.sampling_rate * self.num_frames})."
            )
        channels, blocks = self.stem_channels, self.stem_blocks
        if channels is not None and (not channels or not all(1 <= one <= LARGEST_SIZE for one in channels)):
            raise ValueError(f"stem_channels must be one or more numbers from 1 to {LARGEST_SIZE}, found {channels}.")
        if channels is not None and self.patch_size != 2 ** len(channels):
            raise ValueError(
                f"stem_channels ({channels}) halves the resolution {len(channels)} times, so patch_size must be "
                f"{2 ** len(channels)}, found {self.patch_size}."
            )
        if blocks is not None and (len(blocks) != len(channels or []) or not all(0 <= one <= 100 for one in blocks)):
            raise ValueError(
                f"stem_blocks must be one number from 0 to 100 per entry of stem_channels, found {blocks}."
            )
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size ({self.image_size}) must be a multiple of patch_size ({self.patch_size}).")
        tokens = self.tokens_per_window
        if tokens > MOST_TOKENS:
            raise ValueError(
                f"image_size ({self.image_size}) and num_frames ({self.num_frames}) give {tokens} tokens in a window, "
                f"more than {MOST_TOKENS}."
            )

    def validate_thresholds(self) -> None:
        """Check that each action unit has one threshold, and that it lies in (0, 1)."""
        if self.thresholds is None:
            return
        if len(self.thresholds) != len(self.au_names) or not all(0 < value < 1 for value in self.thresholds):
            raise ValueError(
                f"thresholds must be {len(self.au_names)} numbers in (0, 1), one per action unit "
                f"({', '.join(self.au_names)}), found {self.thresholds}."
            )

    def validate_checks(self) -> None:
        """Check that each action unit has one outcome of a check, if any has."""
        sides = self.side_checks
        if sides is not None and not ({*sides} <= {*self.au_names} and {*sides.values()} <= {*CHECKS}):
            raise ValueError(
                f"side_checks must give one of {', '.join(CHECKS)} for action units of the model "
                f"({', '.join(self.au_names)}), found {sides}."
            )
        checks = self.au_checks
        if checks is not None and (sorted(checks) != sorted(self.au_names) or not {*checks.values()} <= {*CHECKS}):
            raise ValueError(
                f"au_checks must give one of {', '.join(CHECKS)} for each action unit ({', '.join(self.au_names)}), "
                f"found {checks}."
            )

    def validate_relative_aus(self) -> None:
        """Check that `relative_aus` names action units of the model."""
        if not {*(self.relative_aus or [])} <= {*self.au_names}:
            raise ValueError(
                f"relative_aus must name action units of the model ({', '.join(self.au_names)}), found "
                f"{self.relative_aus}."
            )

    def validate_pose_range(self) -> None:
        """Check that the range of poses is two intervals."""
        try:
            valid = self.pose_range is None or [low < high for low, high in self.pose_range] == [True, True]
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise ValueError(
                "pose_range must be the lowest and highest pitch and yaw in radians, such as "
                f"[[-0.4, 0.4], [-0.6, 0.6]], found {self.pose_range}."
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
    def tokens_per_window(self) -> int:
        """Return the number of patches in all slots of an encoder window."""
        return self.num_frames // self.tubelet_size * self.patches_per_slot

    @property
    def au_names(self) -> list[str]:
        """List the action units in the order of the logits, e.g. `["AU1", "AU2"]`."""
        return [str(name) for _, name in sorted((self.id2label or {}).items())]


def check_normalisation(mean: Any, std: Any) -> None:
    """Check the mean and standard deviation of pixels in [0, 1], per channel.

    Raises:
        ValueError: They are not three numbers each, or out of range.
    """
    for name, values, lowest in (("image_mean", mean, 0.0), ("image_std", std, math.ulp(0.0))):
        numbers = isinstance(values, list | tuple) and all(isinstance(value, float | int) for value in values)
        if not numbers or len(values) != 3 or not all(lowest <= value <= 1 for value in values):
            interval = "(0, 1]" if lowest else "[0, 1]"
            raise ValueError(f"{name} must be three numbers in {interval}, found {values}.")


def _check(name: str, value: Any, holds: bool, interval: str) -> None:
    if not holds:
        raise ValueError(f"{name} must lie in {interval}, found {value}.")


def _pairs(names: dict[Any, Any]) -> set[tuple[str, str]]:
    return {(str(name), str(value)) for name, value in names.items()}


AutoConfig.register(AUVMAEConfig.model_type, AUVMAEConfig, exist_ok=True)
AUVMAEConfig.register_for_auto_class()
