"""Choose the device, the data type and the memory allocation of a model."""

import ctypes
import platform
import sys
from functools import cache
from pathlib import Path

import torch

from .ranks import local_rank

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Values of malloc.h."""

LARGEST_INT = 2**31 - 1

DTYPES = ("auto", "float32", "bfloat16", "float16")


def choose_device(name: str | torch.device | None) -> torch.device:
    """Choose the device by name; by default a GPU if there is one, else the CPU.

    Of several processes on a machine, each takes a GPU of its own unless the name has a number.

    Raises:
        ValueError: The device does not exist.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "cuda" and device.index is None and (rank := local_rank()):
            device = torch.device("cuda", rank % max(torch.cuda.device_count(), 1))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a torch that was built without CUDA
        raise ValueError(f"device {str(name)!r} is not available on this machine: {error}") from error
    return device


def choose_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Choose the data type by name.

    "auto" is bfloat16 on a CPU that supports it natively (AVX512_BF16, AMX), else float32.

    Raises:
        ValueError: The name or type is not supported.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32
    dtype = getattr(torch, name, None) if isinstance(name, str) else name
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, found {name}")
    return dtype


def cpu_has_bfloat16() -> bool:
    """Check whether the CPU supports bfloat16 natively.

    Other CPUs emulate it, up to 60 times slower than float32.
    """
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def check_cpu_dtype(dtype: torch.dtype) -> None:
    """Check that the CPU computes in a data type natively.

    Raises:
        ValueError: The type is bfloat16, and the CPU lacks it.
    """
    if dtype == torch.bfloat16 and not cpu_has_bfloat16():
        raise ValueError("this processor lacks bfloat16 (AVX512_BF16 or AMX): pass --dtype float32")


@cache
def cpu_is_amd() -> bool:
    """Check whether AMD made the CPU, according to Linux or Windows."""
    described = Path("/proc/cpuinfo")
    return "AuthenticAMD" in (described.read_text() if described.is_file() else platform.processor())


def cpu_has_int8() -> bool:
    """Check whether the CPU multiplies int8 natively (VNNI or AMX).

    Other CPUs widen int8 to int16 first, which is no faster than float32.
    """
    # torch 2.6 cannot tell AVX-VNNI
    avx_vnni = hasattr(torch.cpu, "get_capabilities") and torch.cpu.get_capabilities().get("avx_vnni", False)
    return bool(avx_vnni) or torch.cpu._is_vnni_supported() or torch.cpu._is_amx_tile_supported()


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, for later tensors to reuse.

    By default, glibc returns large blocks to the system as soon as they are freed, and the system clears every page
    before it hands the page out again. The setting lasts for the rest of the process and affects all code in it, so
    call this from programs, not from a library. The peak memory of the process does not change.

    Returns:
        True if the setting was applied; False without glibc, where nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return all([mallopt(M_MMAP_THRESHOLD, LARGEST_INT), mallopt(M_TRIM_THRESHOLD, LARGEST_INT)])
