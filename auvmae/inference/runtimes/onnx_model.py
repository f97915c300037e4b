"""Run an exported ONNX model behind the interface that `AUDetector` calls."""

import json
from hashlib import file_digest
from pathlib import Path

import numpy as np
import torch

from ...configuration import AUVMAEConfig
from ...outputs import AUVMAEForFrameAUClassificationOutput

RECORD_FILE = "export.json"
TIED_FILES = ("config.json", "preprocessor_config.json")
"""Files that an exported model is only valid with."""


def check_export(path: Path) -> None:
    """Check that a model and the files beside it were exported together.

    Args:
        path: Path of the .onnx file.

    Raises:
        ValueError: The SHA-256 of a file is not the one in `export.json`, or there is no such record.
    """
    again = "export the checkpoint again with `auvmae export`"
    try:
        recorded = json.loads(path.with_name(RECORD_FILE).read_bytes())["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path.with_name(RECORD_FILE)} is missing or damaged, so {path.name} cannot be verified: {again}"
        ) from error
    for name in (path.name, *TIED_FILES):
        if not isinstance(recorded, dict) or recorded.get(name) != file_sha256(path.with_name(name)):
            raise ValueError(f"{path.with_name(name)} is not the file that was exported (by its SHA-256): {again}")


def file_sha256(path: Path) -> str | None:
    """Return the hexadecimal SHA-256 of a file, or None if it does not exist."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


class OnnxModel:
    """Run a model written by `auvmae export` with onnxruntime on the CPU.

    It uses as many threads as torch (`set_num_threads`). The call is that of `AUVMAEForFrameAUClassification` on
    windows: `model(pixel_values, bool_masked_pos).logits`, and `.intensity_logits` if the model grades intensities.

    Args:
        path: Path of the .onnx file. The config.json in its folder is read, too.
        device, dtype: Device and data type of input and output; only the CPU and float32 are supported. The weights
            have the data type of the file.
        level: "video", "frame" or "patch" to require this level, since a file supports only one; None for any.

    Raises:
        ImportError: If onnxruntime is not installed.
        OSError: If the file or its configuration does not exist.
        ValueError: If device, dtype or level differ from the file's, or onnxruntime cannot read the file.
    """

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        level: str | None = None,
    ) -> None:
        from ...configuration import LEVELS

        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(f".onnx files need the extra `onnx`: pip install auvmae[onnx] ({error})") from error
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: create it with `auvmae export MODEL -o {path.parent}`")
        if str(device or "cpu") != "cpu" or dtype != self.dtype:
            raise ValueError(f"{path} runs on the CPU in float32 only, found device {device} and dtype {dtype}")
        self.config = AUVMAEConfig.from_pretrained(path.parent)
        own = self.config.sampling_rate, self.config.mask_ratio
        if level is not None and LEVELS.get(level) != own:
            raise ValueError(
                f"{path} was exported with sampling_rate {own[0]} and mask_ratio {own[1]}, which is not level "
                f"{level!r}: export the checkpoint again with --level"
            )
        self.name_or_path = f"{path.resolve().parent.name}/{path.name}"
        self.path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime errors share no base class
            raise ValueError(
                f"onnxruntime cannot read {path} as a model: {' '.join(str(error).split())}; export the model again"
            ) from error

    def eval(self) -> "OnnxModel":
        """Return the model, which has only an evaluation mode."""
        return self

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the bytes of the file as uint8, for `weights_sha256` to hash."""
        return {"onnx": torch.from_numpy(np.fromfile(self.path, np.uint8))}

    def __call__(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor | None = None
    ) -> AUVMAEForFrameAUClassificationOutput:
        """Compute the logits of windows, each independently of the others.

        See `AUVMAEForFrameAUClassification.forward`.

        Args:
            pixel_values: Float32 `(B, num_frames, C, H, W)`.
            bool_masked_pos: Bool `(B, L)`, True = hidden, `int(mask_ratio * P)` of the P patches of each slot. Required
                if the level has a mask, and not allowed otherwise.
        """
        inputs = {"pixel_values": pixel_values.numpy()}
        if bool_masked_pos is not None:
            inputs["bool_masked_pos"] = bool_masked_pos.numpy()
        # one by one, since int8 scales the inputs of a layer by the largest value in the batch
        windows = ({name: value[one : one + 1] for name, value in inputs.items()} for one in range(len(pixel_values)))
        names = ["logits", "intensity_logits"][: 1 + self.config.grade_intensities]
        try:
            found = [self._session.run(names, one) for one in windows]
        except Exception as error:  # onnxruntime errors share no base class
            raise ValueError(f"{self.path} cannot be run: {' '.join(str(error).split())}") from error
        arrays = [torch.from_numpy(np.concatenate(output)) for output in zip(*found, strict=True)]
        output = AUVMAEForFrameAUClassificationOutput(logits=arrays[0])
        if self.config.grade_intensities:
            output.intensity_logits = arrays[1]
        return output
