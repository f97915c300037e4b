"""Write a model in the format of a runtime, in float32 and in int8."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray

from ..inference.runtimes.exported import INT8_SUFFIX, ExportedModel
from ..inference.runtimes.onnx_model import OnnxModel
from ..inference.runtimes.openvino_model import OpenVINOModel, to_openvino
from ..inference.runtimes.window import WindowModel, silenced

OPSET = 20  # the first with GELU as a single operator
MAX_BYTES = 2**31  # limit of a protobuf message

Inputs = dict[str, NDArray[Any]]
"""Arrays of one window, by the names of the inputs."""


class Format(ABC):
    """Write the files of one runtime."""

    runtime: ClassVar[type[ExportedModel]]
    """Runtime that reads the files."""

    suffix: ClassVar[str]
    """Suffix of the files that are passed to `auvmae predict`."""

    batch: ClassVar[str | int]
    """Number of windows that a file takes at once, "batch" for any."""

    packages: ClassVar[tuple[str, ...]]
    """Packages that write the float32 file."""

    int8_packages: ClassVar[tuple[str, ...]] = ()
    """More packages that write the int8 file."""

    @property
    def file(self) -> str:
        """Return the name of the float32 file."""
        return f"model{self.suffix}"

    @property
    def int8_file(self) -> str:
        """Return the name of the int8 file."""
        return f"model{INT8_SUFFIX}{self.suffix}"

    @abstractmethod
    def write(self, window: WindowModel, path: Path) -> None:
        """Write a model in float32."""

    @abstractmethod
    def quantise(self, source: Path, target: Path, windows: Sequence[Inputs]) -> None:
        """Write the int8 model of a float32 file.

        Some windows give the ranges of the model's numbers. Matrix products and convolutions are int8, with signed
        weights, quantised by row, and unsigned inputs. The instructions of VNNI and AMX multiply exactly these.
        """


class OnnxFormat(Format):
    """Write .onnx files."""

    runtime, suffix, batch = OnnxModel, ".onnx", "batch"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def write(self, window: WindowModel, path: Path) -> None:
        """Write a model in float32, for any number of windows."""
        try:
            import onnxruntime  # noqa: F401  # imported here to fail before the export, as the check needs it
            import onnxscript  # noqa: F401  # used by torch.onnx
            from onnx_ir.passes.common import ClearMetadataAndDocStringPass  # comes with onnxscript
        except ImportError as error:
            raise ImportError(f"The export needs the extra `onnx`: pip install auvmae[onnx] ({error}).") from error
        inputs = window.random_inputs(2)
        batch = torch.export.Dim("batch")
        with (
            silenced()
        ):  # torch's exporter calls deprecated functions, and warns about renaming an axis to its own name
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

    def quantise(self, source: Path, target: Path, windows: Sequence[Inputs]) -> None:
        """Write the int8 model with onnxruntime."""
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

        class Reader(CalibrationDataReader):
            remaining = iter(windows)

            def get_next(self) -> Inputs | None:
                return next(self.remaining, None)

        with silenced():  # of the advice to prepare the graph, which changes nothing in ours
            quantize_static(
                source,
                target,
                Reader(),
                op_types_to_quantize=["MatMul", "Gemm", "Conv"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},  # the products of attention stay float32
            )


class OpenVINOFormat(Format):
    """Write .xml files, with their weights in .bin files."""

    runtime, suffix, batch = OpenVINOModel, ".xml", 1
    packages, int8_packages = ("openvino",), ("nncf",)

    def write(self, window: WindowModel, path: Path) -> None:
        """Write a model in float32, for one window at a time."""
        openvino = OpenVINOModel.import_runtime()
        openvino.save_model(to_openvino(window), path, compress_to_fp16=False)

    def quantise(self, source: Path, target: Path, windows: Sequence[Inputs]) -> None:
        """Write the int8 model with NNCF, which corrects the biases."""
        openvino = OpenVINOModel.import_runtime()
        os.environ.setdefault("NNCF_CI", "1")  # without it, NNCF reports its use to its makers
        try:
            import nncf
        except ImportError as error:
            raise ImportError(f"int8 needs the extra `openvino`: pip install auvmae[openvino] ({error})") from error
        with silenced():  # of progress bars
            model = nncf.quantize(
                openvino.Core().read_model(source),
                nncf.Dataset(windows),
                subset_size=len(windows),
                model_type=nncf.ModelType.TRANSFORMER,
            )
        openvino.save_model(model, target, compress_to_fp16=False)


FORMATS: dict[str, Format] = {"onnx": OnnxFormat(), "openvino": OpenVINOFormat()}
"""Formats of `auvmae export`, by name."""
