"""Export a fine-tuned model to ONNX or OpenVINO, in float32 and int8.

An exported model maps one window of frames to action units at one level, as `AUDetector` calls it. It is verified
against the original model before it is saved.
"""

import json
import math
from collections.abc import Sequence
from copy import copy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..inference.detector import AUDetector
from ..inference.runtimes.exported import RECORD_FILE, TIED_FILES, file_sha256
from ..inference.runtimes.window import WindowModel
from ..inference.sources import Source
from ..modeling_auvmae import AUVMAEForFrameAUClassification
from ..system.files import replacing_folder
from ..system.hardware import cpu_has_bfloat16, cpu_has_int8
from ..weights import weights_sha256
from .formats import FORMATS, MAX_BYTES
from .recorded_windows import record_windows

TOLERANCE = 1e-4
"""Largest difference allowed between the logits of a float32 file and of the model."""

PACKAGES = ("auvmae", "torch", "transformers")


def export_model(
    detector: AUDetector, output: Path, target: str = "onnx", calibration: Sequence[Source] = ()
) -> dict[str, Any]:
    """Export the model of a detector, with its configuration and processor.

    The model is saved as `output/model.onnx`, or `output/model.xml` for OpenVINO.

    Args:
        detector: Detector on the CPU, in float32. The file is for its level.
        output: Folder to write. It is created or replaced as a whole, or left untouched on failure.
        target: Key of `FORMATS`, the format.
        calibration: Recordings with faces. With any, `output/model.int8.onnx` or `output/model.int8.xml` is added,
            which computes matrix products and convolutions in int8. Half of the windows of the recordings give the
            ranges of the numbers, and the other half the differences from the model.

    Returns:
        The content of `output/export.json`: weights, level, inputs, output, SHA-256 of the files, and their largest
        differences from the model. Those of a float32 file are on random windows. An OpenVINO file computes in
        bfloat16, too, and the differences are listed where the processor has it.

    Raises:
        ImportError: A package of the format is not installed.
        ValueError: The detector already runs an exported model, the model does not fit into a file, an output is not a
            number, the logits of the file differ from those of the model by more than `TOLERANCE`, or int8 is asked
            for, and no face is found or the processor has no int8 instructions.
    """
    model, form = detector.model, FORMATS[target]
    if not isinstance(model, AUVMAEForFrameAUClassification):
        raise ValueError("This model is already exported. Export the checkpoint that it came from.")
    if target == "onnx" and 4 * model.num_parameters() >= MAX_BYTES:
        size = 4 * model.num_parameters() / 2**30
        raise ValueError(f"An ONNX file holds at most 2 GiB, but the model has {size:.1f} GiB in float32.")
    if calibration and not cpu_has_int8():
        raise ValueError("this processor has no int8 instructions (VNNI or AMX), so int8 is slower: omit --int8")
    window = WindowModel(model, detector.mask_ratio)
    config = copy(model.config)
    config.sampling_rate, config.mask_ratio = detector.sampling_rate, detector.mask_ratio
    del config.auto_map  # no code is exported
    with replacing_folder(output) as folder:
        config.to_json_file(folder / "config.json")
        detector.processor.to_json_file(folder / "preprocessor_config.json")
        whole, int8 = folder / form.file, folder / form.int8_file
        form.write(window, whole)
        random = [window.random_inputs(batch_size) for batch_size in (1, 3)]  # not the batch size that was traced
        differences = {whole.name: _largest_differences(window, form.runtime(whole), random)}
        found = differences[whole.name]["logits"]
        if not found <= TOLERANCE:
            raise ValueError(
                f"On random windows, the exported model's logits differ from the model's by {found:.1e}, more than "
                f"{TOLERANCE:.0e}. The model cannot be exported with these versions of torch and "
                f"{form.runtime.package}."
            )
        if torch.bfloat16 in form.runtime.dtypes and cpu_has_bfloat16():
            rounded = form.runtime(whole, dtype=torch.bfloat16)
            differences[f"{whole.name} in bfloat16"] = _largest_differences(window, rounded, random)
        if calibration:
            windows = record_windows(detector, calibration)
            form.quantise(whole, int8, [{name: one.numpy() for name, one in each.items()} for each in windows[::2]])
            differences[int8.name] = _largest_differences(window, form.runtime(int8), windows[1::2])
        packages = (*PACKAGES, *form.packages, *(form.int8_packages if calibration else ()))
        written = [file for path in (whole, int8) if path.exists() for file in form.runtime.files(path)]
        record = {
            "model": Path(model.name_or_path or "").name,
            "weights_sha256": weights_sha256(model),
            "sampling_rate": detector.sampling_rate,
            "mask_ratio": detector.mask_ratio,
            "inputs": {
                name: {"dtype": str(tensor.dtype), "shape": [form.batch, *tensor.shape[1:]]}
                for name, tensor in window.random_inputs(1).items()
            },
            **{name: [form.batch, config.clip_length, len(config.au_names)] for name in window.outputs},
            "au_names": config.au_names,
            "largest_difference": differences,
            "sha256": {name: file_sha256(folder / name) for name in (*(path.name for path in written), *TIED_FILES)},
            "versions": {package: version(package) for package in packages},
        }
        (folder / RECORD_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


@torch.inference_mode()
def _largest_differences(
    window: WindowModel, exported: Any, batches: Sequence[dict[str, torch.Tensor]]
) -> dict[str, float]:
    """Return the largest differences of logits and their sigmoids from the model."""
    largest = {"logits": 0.0, "probs": 0.0}
    for inputs in batches:
        outputs = [model(**inputs) for model in (exported, window.model)]
        for output in window.outputs:
            found, expected = (getattr(each, output) for each in outputs)
            for name, difference in (("logits", found - expected), ("probs", found.sigmoid() - expected.sigmoid())):
                largest[name] = max(float(difference.abs().max()), largest[name])  # keeps NaN, its first argument
    if not all(map(math.isfinite, largest.values())):
        raise ValueError(f"The output of {exported.path.name} is not a number. The weights may be too large.")
    return largest
