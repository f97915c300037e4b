"""Frames handed from a loader's worker to the training process in shared memory that is used again and again.

PyTorch takes fresh shared memory for every batch, and a socket to hand it over. To have the system find and clear the
pages takes longer than to decode a clip at frame level; memory that both processes have already costs one copy.
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
"""Of shared memory: the process that took it, and a number."""

_NUMBERS = itertools.count()
"""Of this process's shared memory: one count for all pools, as the receiver tells them apart by name alone."""

_MAPPED: dict[Name, torch.Tensor] = {}
"""What this process has received from workers that live."""


class SharedFrames:
    """Frames on their way out of a worker: pickled, they arrive as an ordinary uint8 tensor.

    Args:
        name: of the shared memory.
        buffer: the memory, where the receiver does not have it yet: the frames, and last a byte that is 1 as long as
            anybody may look at them.
        shape: of the frames.
    """

    def __init__(self, name: Name, buffer: torch.Tensor | None, shape: Sequence[int]) -> None:
        self.name, self.buffer, self.shape = name, buffer, tuple(shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (self.name, self.buffer, self.shape)


class ByValue:
    """A small tensor on its way out of a worker: its values go with the message, where its memory would cost a socket.

    Args:
        tensor: arrives as an equal one.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.from_numpy, (self.tensor.numpy(),)


class FramePool:
    """The shared memory of one worker. It grows to as many batches as are alive at once, and no further."""

    def __init__(self) -> None:
        self.buffers: dict[Name, torch.Tensor] = {}

    def stack(self, clips: Sequence[torch.Tensor]) -> SharedFrames:
        """Stack uint8 clips of one shape in memory that nobody looks at any more."""
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
    # the array lives exactly as long as the memory of the tensor, whatever views of it are taken
    weakref.finalize(array, memory[-1].fill_, 0).atexit = False
    return torch.from_numpy(array)
