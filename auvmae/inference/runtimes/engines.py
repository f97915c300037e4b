"""Choose the engine that runs a model."""

import platform
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ...modeling_auvmae import AUVMAEForFrameAUClassification
from ...system.hardware import choose_dtype, cpu_has_bfloat16
from .exported import ExportedModel, check_export
from .onnx_model import OnnxModel
from .openvino_model import ConvertedModel, OpenVINOModel

ENGINES = ("auto", "torch", "openvino", "onnx")

RUNTIMES: dict[str, type[ExportedModel]] = {".onnx": OnnxModel, ".xml": OpenVINOModel}
"""Runtimes of the files that `auvmae export` writes."""


def check_engine(engine: str) -> str:
    """Return the name of an engine.

    Raises:
        ValueError: There is no such engine.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, found {engine!r}")
    return engine


def open_exported(
    path: Path, engine: str, device: str | torch.device | None, dtype: str | torch.dtype, level: str | None
) -> ExportedModel:
    """Open a file written by `auvmae export`, and verify it.

    The data type "auto" is float32 if the runtime lacks the default of `choose_dtype`.

    Raises:
        ImportError: The runtime is not installed.
        OSError: A file does not exist.
        ValueError: Another engine is asked for, or the file does not fit, see `ExportedModel` and `check_export`.
    """
    runtime = RUNTIMES[path.suffix]
    if check_engine(engine) not in ("auto", runtime.engine):
        raise ValueError(
            f"{path} runs in the engine {runtime.engine}, not in {engine}: omit --engine, or pass the checkpoint"
        )
    kind = choose_dtype(dtype, torch.device("cpu"))
    if dtype == "auto" and kind not in runtime.dtypes_of(path):
        kind = torch.float32
    model = runtime(path, device, kind, level)
    check_export(path, runtime.files(path))
    return model


def fastest_engine(device: torch.device, dtype: torch.dtype) -> str:
    """Return the fastest engine that is installed.

    On an AMD EPYC with AVX512_BF16, OpenVINO runs a ViT-B 1.1 times (float32) and 1.5 times (bfloat16) as fast as
    torch, and the packaged model 1.0 and 1.4 times. So it is taken on x86 processors. Others were not measured, and use
    torch, as does a data type that OpenVINO or the processor lacks.
    """
    fits = dtype == torch.float32 or (dtype == torch.bfloat16 and cpu_has_bfloat16())
    measured = device.type == "cpu" and platform.machine().lower() in ("x86_64", "amd64")
    return "openvino" if measured and fits and find_spec("openvino") else "torch"


def run_in(
    engine: str,
    model: AUVMAEForFrameAUClassification,
    level: tuple[int, float],
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    """Move a model to its engine, device and data type, and return it.

    Args:
        engine: One of `ENGINES`.
        model: Model on the CPU, in float32, whose `clip_length` is that of a window.
        level: Sampling rate and mask ratio.
        device: Device of the model.
        dtype: Data type of the computation.

    Raises:
        ImportError: The engine is not installed.
        ValueError: The engine does not run checkpoints, or not on this device or in this data type.
    """
    if check_engine(engine) == "auto":
        engine = fastest_engine(device, dtype)
    if engine == "torch":
        return model.to(device, dtype)  # type: ignore[arg-type]
    if engine == "onnx":
        raise ValueError(
            "the engine onnx runs exported models only: run `auvmae export MODEL -o OUT`, then pass OUT/model.onnx"
        )
    if device.type != "cpu":
        raise ValueError(f"the engine openvino runs on the CPU only, found device {device}: pass --device cpu")
    return ConvertedModel(model, *level, dtype)
