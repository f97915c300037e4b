"""Run an exported ONNX model behind the interface that `AUDetector` calls."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .exported import ExportedModel


class OnnxModel(ExportedModel):
    """Run an .onnx file with onnxruntime on the CPU, in the data type of the file."""

    engine, package = "onnx", "onnxruntime"

    def _open(self, path: Path) -> None:
        onnxruntime = self.import_runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def _run(self, inputs: dict[str, NDArray[Any]], names: list[str]) -> list[NDArray[np.float32]]:
        found: list[NDArray[np.float32]] = self._session.run(names, inputs)
        return found
