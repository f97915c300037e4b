"""An exported model in the place of the model that `AUDetector` calls."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..configuration import AUVMAEConfig
from ..outputs import AUVMAEForFrameAUClassificationOutput


class OnnxModel:
    """What `auvmae export` wrote, run by onnxruntime on the CPU in as many threads as torch has (`set_num_threads`).

    Called as `AUVMAEForFrameAUClassification` is, for one window: `model(pixel_values, bool_masked_pos).logits`.

    Args:
        path: an .onnx file in the folder of the export, whose config.json is read, too.
        device, dtype: where and in what to compute; there is no choice but the CPU and float32 (input and output; the
            weights are the file's).
        level: "video", "frame" or "patch", if it must be that; a file knows one level.

    Raises:
        ImportError: onnxruntime is not installed.
        OSError: there is no such file, or no configuration beside it.
        ValueError: another device, dtype or level than the file's, or onnxruntime cannot read it.
    """

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(
        self,
        path: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        level: str | None = None,
    ) -> None:
        from ..configuration import LEVELS

        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(f".onnx files need the extra `onnx`: pip install auvmae[onnx] ({error})") from error
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: `auvmae export MODEL -o {path.parent}` writes it")
        if str(device or "cpu") != "cpu" or dtype != self.dtype:
            raise ValueError(f"{path} runs on the CPU on float32, found device {device} and dtype {dtype}")
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
        except Exception as error:  # its errors share no class of their own
            raise ValueError(f"{path} is no model that onnxruntime reads: {error}") from error

    def eval(self) -> "OnnxModel":
        """As of a torch module; there is no other mode."""
        return self

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The file, uint8: what `weights_sha256` is to tell apart."""
        return {"onnx": torch.from_numpy(np.fromfile(self.path, np.uint8))}

    def __call__(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor | None = None
    ) -> AUVMAEForFrameAUClassificationOutput:
        """Logits of windows, each as if it were alone: see `AUVMAEForFrameAUClassification.forward`.

        Args:
            pixel_values: float32 `(B, num_frames, C, H, W)`.
            bool_masked_pos: bool `(B, L)`, True = hidden, `int(mask_ratio * P)` of the P patches of each slot; where
                the level has a mask, and only there.
        """
        inputs = {"pixel_values": pixel_values.numpy()}
        if bool_masked_pos is not None:
            inputs["bool_masked_pos"] = bool_masked_pos.numpy()
        # one by one: int8 scales a layer's inputs by the largest of all that it gets at once
        windows = ({name: value[one : one + 1] for name, value in inputs.items()} for one in range(len(pixel_values)))
        output: Any = torch.from_numpy(np.concatenate([self._session.run(["logits"], one)[0] for one in windows]))
        return AUVMAEForFrameAUClassificationOutput(logits=output)
