"""Test the choice of the engine, without any engine."""

import sys

import pytest
import torch

from auvmae.inference.runtimes import engines
from auvmae.inference.runtimes.engines import fastest_engine

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "dtype", "machine", "installed", "native", "expected"),
    [
        (CPU, torch.float32, "x86_64", True, False, "openvino"),
        (CPU, torch.bfloat16, "AMD64", True, True, "openvino"),
        (CPU, torch.bfloat16, "x86_64", True, False, "torch"),  # emulated
        (CPU, torch.float16, "x86_64", True, True, "torch"),
        (CPU, torch.float32, "arm64", True, True, "torch"),  # not measured
        (CPU, torch.float32, "x86_64", False, True, "torch"),
        (GPU, torch.float32, "x86_64", True, True, "torch"),
    ],
)
def test_auto_takes_what_is_fastest(device, dtype, machine, installed, native, expected, monkeypatch):
    monkeypatch.setattr(engines.platform, "machine", lambda: machine)
    monkeypatch.setattr(engines, "find_spec", lambda _: installed or None)
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: native)
    assert fastest_engine(device, dtype) == expected


def test_engines_that_do_not_run_the_model_are_refused(monkeypatch):
    for engine, device, message in (
        ("tensorrt", CPU, "engine must be one of auto, torch, openvino, onnx, found 'tensorrt'"),
        ("onnx", CPU, "run `auvmae export MODEL -o OUT`, then pass OUT/model.onnx"),
        ("openvino", GPU, "runs on the CPU only, found device cuda: pass --device cpu"),
    ):
        with pytest.raises(ValueError, match=message):
            engines.run_in(engine, None, (1, 0.0), device, torch.float32)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"needs the extra `openvino`: pip install auvmae\[openvino\]"):
        engines.run_in("openvino", None, (1, 0.0), CPU, torch.float32)
