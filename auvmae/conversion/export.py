"""Export a fine-tuned model to ONNX, in float32 and with int8 weights.

An exported model maps one window of frames to action units at one level, as `AUDetector` calls it. It is verified
against the original model before it is saved.
"""

import json
import math
import warnings
from copy import copy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..head import FrameAUHead, interpolate_frames
from ..inference.detector import AUDetector
from ..inference.runtimes.onnx_model import RECORD_FILE, TIED_FILES, OnnxModel, file_sha256
from ..masking import tube_mask
from ..modeling_auvmae import AUVMAEForFrameAUClassification
from ..system.files import replacing_folder
from ..weights import weights_sha256

ONNX_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"
OPSET = 20  # the first with GELU as a single operator
TOLERANCE = 1e-4
"""Largest difference allowed between the logits of `model.onnx` and of the model."""
MAX_BYTES = 2**31  # limit of a protobuf message
PACKAGES = ("auvmae", "torch", "transformers", "onnx", "onnxscript", "onnxruntime")


def export_model(detector: AUDetector, output: Path, int8: bool = False) -> dict[str, Any]:
    """Export the model of a detector, with its configuration and processor.

    The model is saved as `output/model.onnx`.

    Args:
        detector: Detector on the CPU, in float32. The file is for its level.
        output: Folder to write. It is created or replaced as a whole, or left untouched on failure.
        int8: Whether to add `output/model.int8.onnx`, with dynamic quantisation: the weights of all matrix products are
            int8, quantised by row, and their inputs are quantised at run time. All else stays float32.

    Returns:
        The content of `output/export.json`: weights, level, inputs, output, SHA-256 of the files, and their largest
        differences from the model on random windows.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
        ValueError: The detector already runs an exported model, the model does not fit into a file, an output is not a
            number, or the logits of the file differ from those of the model by more than `TOLERANCE`.
    """
    model = detector.model
    if not isinstance(model, AUVMAEForFrameAUClassification):
        raise ValueError("This model is already exported. Export the checkpoint that it came from.")
    if 4 * model.num_parameters() >= MAX_BYTES:
        size = 4 * model.num_parameters() / 2**30
        raise ValueError(f"An ONNX file holds at most 2 GiB, but the model has {size:.1f} GiB in float32.")
    window = _Window(model, detector.mask_ratio)
    config = copy(model.config)
    config.sampling_rate, config.mask_ratio = detector.sampling_rate, detector.mask_ratio
    del config.auto_map  # no code is exported
    with replacing_folder(output) as folder:
        config.to_json_file(folder / "config.json")
        detector.processor.to_json_file(folder / "preprocessor_config.json")
        _write_onnx(window, folder / ONNX_FILE)
        differences = {ONNX_FILE: _largest_differences(window, folder / ONNX_FILE)}
        found = differences[ONNX_FILE]["logits"]
        if not found <= TOLERANCE:
            raise ValueError(
                f"On random windows, the exported model's logits differ from the model's by {found:.1e}, more than "
                f"{TOLERANCE:.0e}. The model cannot be exported with these versions of torch and onnxruntime."
            )
        if int8:
            _quantise(folder / ONNX_FILE, folder / INT8_FILE)
            differences[INT8_FILE] = _largest_differences(window, folder / INT8_FILE)
        record = {
            "model": Path(model.name_or_path or "").name,
            "weights_sha256": weights_sha256(model),
            "sampling_rate": detector.sampling_rate,
            "mask_ratio": detector.mask_ratio,
            "opset": OPSET,
            "inputs": {
                name: {"dtype": str(tensor.dtype), "shape": ["batch", *tensor.shape[1:]]}
                for name, tensor in window.random_inputs(1).items()
            },
            **{name: ["batch", config.clip_length, len(config.au_names)] for name in window.outputs},
            "au_names": config.au_names,
            "largest_difference": differences,
            "sha256": {name: file_sha256(folder / name) for name in (*differences, *TIED_FILES)},
            "versions": {package: version(package) for package in PACKAGES},
        }
        (folder / RECORD_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


class _Window(nn.Module):
    """Run the model on one window, from tensors to logits.

    Inputs are not checked, and a mask must hide a fixed number of patches.
    """

    def __init__(self, model: AUVMAEForFrameAUClassification, mask_ratio: float) -> None:
        super().__init__()
        self.model, self.mask_ratio = model, mask_ratio
        self.num_slots = model.config.num_frames // model.config.tubelet_size
        self.eval()

    @property
    def outputs(self) -> dict[str, FrameAUHead]:
        """Return the heads by the names of their outputs."""
        heads = {"logits": self.model.head, "intensity_logits": self.model.intensity_head}
        return {name: head for name, head in heads.items() if head is not None}

    def forward(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return the logits of a batch of windows, of one or two heads.

        The shapes are (B, num_frames, C, H, W), (B, L) True = hidden -> (B, clip_length, N).
        """
        visible = None if bool_masked_pos is None else self.visible_tokens(bool_masked_pos)
        tokens = self.model.videomae(pixel_values, visible_tokens=visible).last_hidden_state
        # the first slot has the smallest indices, which are its positions
        positions = None if visible is None else visible[:, : visible.shape[1] // self.num_slots]
        return tuple(
            interpolate_frames(head(tokens, self.num_slots, positions), self.model.config.clip_length)
            for head in self.outputs.values()
        )

    def visible_tokens(self, bool_masked_pos: torch.Tensor) -> torch.Tensor:
        """Compute `tube_token_indices` for a known number of hidden patches.

        The graph must not depend on values, and an operator cannot raise. If a slot hides another number of patches,
        the indices lie past the last token, and onnxruntime raises an error. The shapes are (B, L), True = hidden ->
        (B, K).
        """
        hidden = bool_masked_pos.reshape(bool_masked_pos.shape[0], self.num_slots, -1).long()
        patches = hidden.shape[2]
        num_hidden = int(self.mask_ratio * patches)
        order = (torch.arange(patches) + patches * hidden).sort(dim=2)[0][..., : patches - num_hidden]
        wrong = hidden.sum(dim=2, keepdim=True) != num_hidden
        starts = torch.arange(self.num_slots)[:, None] * patches
        return (order + starts + wrong * hidden[0].numel()).flatten(1)

    def random_inputs(self, batch_size: int) -> dict[str, torch.Tensor]:
        """Return noise, and masks if the level has any; the same at every call."""
        config, generator = self.model.config, torch.Generator().manual_seed(batch_size)
        shape = (batch_size, config.num_frames, config.num_channels, config.image_size, config.image_size)
        inputs = {"pixel_values": torch.randn(shape, generator=generator)}
        if self.mask_ratio:
            masks = tube_mask(batch_size, self.num_slots, config.patches_per_slot, self.mask_ratio, generator)
            inputs["bool_masked_pos"] = masks
        return inputs


def _write_onnx(window: _Window, path: Path) -> None:
    try:
        import onnxruntime  # noqa: F401  # imported here to fail before the export, as the check needs it
        import onnxscript  # noqa: F401  # used by torch.onnx
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass  # comes with onnxscript
    except ImportError as error:
        raise ImportError(f"The export needs the extra `onnx`: pip install auvmae[onnx] ({error}).") from error
    inputs = window.random_inputs(2)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        # torch's exporter calls deprecated functions, and warns about renaming an axis to its own name
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            window,
            kwargs=inputs,
            dynamo=True,
            dynamic_shapes={name: {0: batch} for name in inputs},
            input_names=list(inputs),
            output_names=list(window.outputs),
            opset_version=OPSET,
            verbose=False,
        )
    # torch records the source file of each operator, which would publish local paths
    ClearMetadataAndDocStringPass()(program.model)
    program.save(path, external_data=False)


def _quantise(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # unsigned, because sums of products with signed weights saturate on CPUs without VNNI
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QUInt8)


@torch.inference_mode()
def _largest_differences(window: _Window, path: Path) -> dict[str, float]:
    """Return the largest differences of logits and their sigmoids from the model.

    The batch sizes differ from the one that was traced.
    """
    exported: Any = OnnxModel(path)
    largest = {"logits": 0.0, "probs": 0.0}
    for batch_size in (1, 3):
        inputs = window.random_inputs(batch_size)
        outputs = [model(**inputs) for model in (exported, window.model)]
        for output in window.outputs:
            found, expected = (getattr(each, output) for each in outputs)
            for name, difference in (("logits", found - expected), ("probs", found.sigmoid() - expected.sigmoid())):
                largest[name] = max(float(difference.abs().max()), largest[name])  # keeps NaN, its first argument
    if not all(map(math.isfinite, largest.values())):
        raise ValueError(f"On random windows, the output of {path.name} is not a number. The weights may be too large.")
    return largest
