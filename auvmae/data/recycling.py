"""Frames handed from a loader's worker to the training process in shared memory that is used again and again.

PyTorch takes fresh shared memory for every batch. To have the system find and clear its pages takes longer than to
decode a clip at frame level; a page that is there already costs a fourteenth of that.
"""

import math
import weakref
from collections.abc import Sequence
from typing import Any

import torch


class SharedFrames:
    """Frames on their way out of a worker: pickled, they arrive as an ordinary uint8 tensor.

    Args:
        buffer: shared memory: the frames, and last a byte that is 1 as long as anybody may look at them.
        shape: of the frames.
    """

    def __init__(self, buffer: torch.Tensor, shape: Sequence[int]) -> None:
        self.buffer, self.shape = buffer, tuple(shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (self.buffer, self.shape)


class FramePool:
    """The shared memory of one worker. It grows to as many batches as are alive at once, and no further."""

    def __init__(self) -> None:
        self.buffers: list[torch.Tensor] = []

    def stack(self, clips: Sequence[torch.Tensor]) -> SharedFrames:
        """Stack uint8 clips of one shape in memory that nobody looks at any more."""
        shape = (len(clips), *clips[0].shape)
        size = math.prod(shape)
        free = [buffer for buffer in self.buffers if not buffer[-1]]
        buffer = next((buffer for buffer in free if len(buffer) > size), None)
        if buffer is None:  # those that are too small now will hardly be wanted again
            self.buffers = [buffer for buffer in self.buffers if buffer[-1]]
            buffer = torch.empty(size + 1, dtype=torch.uint8).share_memory_()
            self.buffers.append(buffer)
        buffer[-1] = 1
        torch.stack(list(clips), out=buffer[:size].view(shape))
        return SharedFrames(buffer, shape)


def _receive(buffer: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    array = buffer[: math.prod(shape)].view(shape).numpy()
    # the array lives exactly as long as the memory of the tensor, whatever views of it are taken
    weakref.finalize(array, buffer[-1].fill_, 0).atexit = False
    return torch.from_numpy(array)
