"""Where a model computes, and in what: where bfloat16 is the processor's own it is the default."""

import ctypes
import sys

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""As in malloc.h."""

LARGEST_INT = 2**31 - 1

DTYPES = ("auto", "float32", "bfloat16", "float16")


def choose_device(name: str | torch.device | None) -> torch.device:
    """The device of a name; None is a GPU if there is one, else the CPU.

    Raises:
        ValueError: there is no such device.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a torch that was built without CUDA
        raise ValueError(f"a model cannot run on device {str(name)!r} here: {error}") from error
    return device


def choose_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The data type of a name; "auto" is bfloat16 on a processor that has it (AVX512_BF16, AMX), else float32.

    Raises:
        ValueError: an unknown name or another type.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32
    dtype = getattr(torch, name, None) if isinstance(name, str) else name
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, found {name}")
    return dtype


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; others emulate it, up to 60 times slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def keep_freed_memory() -> bool:
    """Have glibc keep what tensors free for those that follow, for the rest of the process.

    It gives large blocks back to the system as soon as they are freed, and the system clears each of their pages
    before it hands them out again. For programs, not for a library: what runs in the process otherwise is meant, too.
    The most that the process holds at once stays the same.

    Returns:
        Whether it is so; elsewhere than with glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return all([mallopt(M_MMAP_THRESHOLD, LARGEST_INT), mallopt(M_TRIM_THRESHOLD, LARGEST_INT)])
