"""Send frames from loader workers to the training process in shared memory.

The memory is reused. PyTorch allocates new shared memory for every batch and sends it through a socket. Allocating and
clearing its pages takes longer than decoding a clip at frame level. Memory that both processes have already mapped
costs only one copy.
"""

import itertools
import math
import multiprocessing
import os
import weakref
from collections.abc import Sequence
from typing import Any

import torch

Name = tuple[int, int]
"""Name of a block of shared memory: the process that allocated it, and a number."""

_NUMBERS = itertools.count()
"""Numbers of this process's blocks; shared by all pools, because the receiver identifies a block by name only."""

_MAPPED: dict[Name, torch.Tensor] = {}
"""Blocks that this process has received from living workers."""


class SharedFrames:
    """Send frames out of a worker; unpickled, they are an ordinary uint8 tensor.

    Args:
        name: Name of the shared memory.
        buffer: The memory, if the receiver has not mapped it yet; else None. It holds the frames, and a last byte that
            is 1 while the frames may be in use.
        shape: Shape of the frames.
    """

    def __init__(self, name: Name, buffer: torch.Tensor | None, shape: Sequence[int]) -> None:
        self.name, self.buffer, self.shape = name, buffer, tuple(shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (self.name, self.buffer, self.shape)


class ByValue:
    """Send a small tensor out of a worker by value.

    Its values travel with the message, whereas sharing its memory would cost a socket.

    Args:
        tensor: Tensor to send; the receiver gets an equal one.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.from_numpy, (self.tensor.numpy(),)


class FramePool:
    """Provide the shared memory of one worker.

    The pool grows to the number of batches in use at the same time, and no further.
    """

    def __init__(self) -> None:
        self.buffers: dict[Name, torch.Tensor] = {}

    def stack(self, clips: Sequence[torch.Tensor]) -> SharedFrames:
        """Stack uint8 clips of one shape in memory that is no longer in use."""
        shape = (len(clips), *clips[0].shape)
        size = math.prod(shape)
        name = next((name for name, one in self.buffers.items() if len(one) > size and not one[-1]), None)
        sent = name is not None
        if name is None:
            name = os.getpid(), next(_NUMBERS)
            self.buffers[name] = torch.empty(size + 1, dtype=torch.uint8).share_memory_()
        buffer = self.buffers[name]
        buffer[-1] = 1
        torch.stack(list(clips), out=buffer[:size].view(shape))
        return SharedFrames(name, None if sent else buffer, shape)


def _receive(name: Name, buffer: torch.Tensor | None, shape: tuple[int, ...]) -> torch.Tensor:
    if buffer is not None:
        alive = {process.pid for process in multiprocessing.active_children()}
        for known in [known for known in _MAPPED if known[0] not in alive]:
            del _MAPPED[known]
        _MAPPED[name] = buffer
    memory = _MAPPED[name]
    array = memory[: math.prod(shape)].view(shape).numpy()
    # the array lives exactly as long as the memory of the tensor and all its views
    weakref.finalize(array, memory[-1].fill_, 0).atexit = False
    return torch.from_numpy(array)
