"""Configure the common tests for each class, and name those that fail by design."""

import unittest
from typing import Any

import torch
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEForVideoClassification, VideoMAEModel
from transformers.models.auto import modeling_auto

from auvmae.configuration import AUVMAEConfig
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel

CASES: list[Any] = [
    VideoMAEModel,
    AUVMAEModel,
    VideoMAEForPreTraining,
    AUVMAEForVideoPretraining,
    VideoMAEForVideoClassification,
    AUVMAEForFrameAUClassification,
]
"""Every stock class, and ours that corresponds to it."""

OURS = {
    "test_model_weights_reload_no_missing_tied_weights": "loading without the encoder's weights is an error",
    "test_reverse_loading_mapping": "files hold the names in memory, since Trainer renames nothing when it resumes",
    "test_can_load_ignoring_mismatched_shapes": "the test replaces all fields with _std in their name by one number, "
    "but image_std must be three",
}
BOTH = {"test_model_get_set_embeddings": "it asks for an nn.Embedding, but videos have no tokens to look up"}
EXPECTED = {(one.__name__, name): why for one in CASES for name, why in BOTH.items()} | {
    (one.__name__, name): why for one in CASES[1::2] for name, why in OURS.items()
}
"""Class and test -> why it fails, as listed in docs/transformers.md."""

for table, name in (
    ("MODEL_MAPPING_NAMES", "AUVMAEModel"),
    ("MODEL_FOR_PRETRAINING_MAPPING_NAMES", "AUVMAEForVideoPretraining"),
    ("MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES", "AUVMAEForFrameAUClassification"),
):
    # the tests look here what kind of model a class is
    getattr(modeling_auto, table)["auvmae"] = name


class ModelTester:
    """Describe a model of 25 tokens, of which a mask hides 22."""

    batch_size, num_channels, image_size, num_frames = 3, 3, 10, 2
    hidden_size, num_hidden_layers, num_attention_heads = 32, 2, 4
    seq_length, num_masks = 25, 22
    is_training = True

    def __init__(self, model_class: Any) -> None:
        self.ours = issubclass(model_class.config_class, AUVMAEConfig)
        self.masked = "ForPreTraining" in model_class.__name__ or "ForVideoPretraining" in model_class.__name__
        self.encoder_seq_length = self.seq_length - self.num_masks * self.masked

    def get_config(self) -> VideoMAEConfig:
        """Build a configuration of the smallest sizes."""
        fields: dict[str, Any] = {
            "image_size": self.image_size,
            "patch_size": 2,
            "num_frames": self.num_frames,
            "tubelet_size": 2,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": 37,
            "decoder_hidden_size": self.hidden_size,
            "decoder_intermediate_size": 37,
            "decoder_num_attention_heads": self.num_attention_heads,
            "decoder_num_hidden_layers": self.num_hidden_layers,
        }
        if not self.ours:
            return VideoMAEConfig(**fields)
        return AUVMAEConfig(**fields, clip_length=self.num_frames, id2label={0: "AU1", 1: "AU12"})

    def prepare_config_and_inputs_for_common(self) -> tuple[VideoMAEConfig, dict[str, torch.Tensor]]:
        """Build a configuration and a batch of clips."""
        shape = self.batch_size, self.num_frames, self.num_channels, self.image_size, self.image_size
        return self.get_config(), {"pixel_values": torch.rand(shape)}


def build_case(mixin: type, model_class: Any) -> type[unittest.TestCase]:
    """Build the test case of a class from the common tests."""

    def prepare(self: Any, inputs: dict[str, Any], model_class: Any, return_labels: bool = False) -> dict[str, Any]:
        inputs = super(case, self)._prepare_for_class(inputs, model_class, return_labels=return_labels)
        if self.model_tester.masked:
            generator = torch.Generator().manual_seed(0)
            mask = tube_mask(1, 1, self.model_tester.seq_length, 0.9, generator)
            inputs["bool_masked_pos"] = mask.expand(len(inputs["pixel_values"]), -1)
        if self.model_tester.ours and "labels" in inputs:
            inputs["labels"] = torch.zeros(len(inputs["pixel_values"]), self.model_tester.num_frames, 2)
        return inputs

    fields = {
        "all_model_classes": (model_class,),
        "test_resize_embeddings": False,
        "setUp": lambda self: setattr(self, "model_tester", ModelTester(model_class)),
        "_prepare_for_class": prepare,
    }
    case: Any = type(f"{model_class.__name__}Test", (mixin, unittest.TestCase), fields)
    return case
