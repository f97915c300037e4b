"""Run a model in OpenVINO behind the interface that `AUDetector` calls."""

from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...modeling_auvmae import AUVMAEForFrameAUClassification
from ...system.hardware import check_cpu_dtype
from .exported import ExportedModel
from .window import WindowModel, silenced

PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVINOModel(ExportedModel):
    """Run a model with OpenVINO on the CPU, window by window, several at a time.

    The weights are float32, or int8. The computation is in the data type of the model.
    """

    engine = package = "openvino"
    dtypes = tuple(PRECISIONS)

    @classmethod
    def files(cls, path: Path) -> tuple[Path, ...]:
        """List the graph and the weights of the model at a path."""
        return path, path.with_suffix(".bin")

    def _open(self, path: Path) -> None:
        self._set(self.import_runtime().Core().read_model(path))

    def _set(self, model: Any) -> None:
        self._model, self._hint = model, ""
        self._queue: Any = None
        self._results: dict[int, list[NDArray[np.float32]]] = {}

    def _compile(self, hint: str) -> Any:
        openvino = self.import_runtime()
        options = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        queue = openvino.AsyncInferQueue(openvino.Core().compile_model(self._model, "CPU", options))
        queue.set_callback(self._keep)
        return queue

    def _keep(self, request: Any, window: int) -> None:
        self._results[window] = [tensor.data.copy() for tensor in request.output_tensors]

    def _run(self, inputs: dict[str, NDArray[Any]], names: list[str]) -> list[NDArray[np.float32]]:
        count = len(inputs["pixel_values"])
        # a live stream sends windows one by one, each as soon as possible; once there are many, the rate counts
        hint = "LATENCY" if count == 1 and self._hint != "THROUGHPUT" else "THROUGHPUT"
        if hint != self._hint:
            self._queue, self._hint = self._compile(hint), hint
        for window in range(count):
            self._queue.start_async({name: values[window : window + 1] for name, values in inputs.items()}, window)
        self._queue.wait_all()
        results = [self._results.pop(window) for window in range(count)]
        return [np.concatenate(output) for output in zip(*results, strict=True)]


class ConvertedModel(OpenVINOModel):
    """Run a PyTorch model with OpenVINO, converted in memory.

    Args:
        model: Model on the CPU, in float32, whose `clip_length` is that of a window.
        sampling_rate: Sampling rate of the level.
        mask_ratio: Mask ratio of the level.
        dtype: Data type of the computation, float32 or bfloat16.

    Raises:
        ImportError: If OpenVINO is not installed.
        ValueError: If OpenVINO or the processor lacks the data type.
    """

    def __init__(
        self, model: AUVMAEForFrameAUClassification, sampling_rate: int, mask_ratio: float, dtype: torch.dtype
    ) -> None:
        self.import_runtime()
        if dtype not in self.dtypes:
            name = str(dtype).removeprefix("torch.")
            raise ValueError(f"the engine openvino computes in float32 or bfloat16, found {name}: pass --dtype float32")
        check_cpu_dtype(dtype)
        config = copy(model.config)
        config.sampling_rate, config.mask_ratio = sampling_rate, mask_ratio
        self._describe(config, dtype, model.name_or_path or "")
        self._set(to_openvino(WindowModel(model, mask_ratio)))


@torch.no_grad()
def to_openvino(window: WindowModel) -> Any:
    """Convert a model to OpenVINO, for one window at a time.

    The frontend is called directly, since `openvino.convert_model` reports its use to the makers of OpenVINO.

    Args:
        window: Model on the CPU, in float32.

    Returns:
        `openvino.Model` with the inputs of `window.random_inputs(1)` and the outputs `window.outputs`, by name.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from openvino.passes import ConstantFolding, Manager

    inputs = window.random_inputs(1)
    with silenced():  # of warnings about tensors that are constants for windows of one size
        traced = torch.jit.trace(window, example_kwarg_inputs=inputs, check_trace=False, strict=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # must live until the model is converted
        model = frontend.convert(frontend.load(decoder))
    for port, name in zip(model.inputs, inputs, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, window.outputs, strict=True):
        port.get_tensor().set_names({name})
    model.reshape({name: list(tensor.shape) for name, tensor in inputs.items()})
    passes = Manager()
    passes.register_pass(ConstantFolding())  # NNCF fails on weights that are reshaped
    passes.run_passes(model)
    return model
