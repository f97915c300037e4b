"""Compute the statistics of Sec. 3.4 literally, in slow loops over pairs, frames and states."""

import torch
from torch import Tensor


def literal_cooccurrence(activation: Tensor, mask: Tensor) -> Tensor:
    """Compute Eq. 3 and 4 for `(B, T, N)`."""
    clips, frames, aus = activation.shape
    matrix = torch.zeros(aus, aus, dtype=activation.dtype)
    for i in range(aus):
        for j in range(aus):
            both = either = torch.zeros((), dtype=activation.dtype)
            for b in range(clips):
                for t in range(frames):
                    if mask[b, t, i] and mask[b, t, j]:
                        both = both + activation[b, t, i] * activation[b, t, j]
                        either = either + 1 - (1 - activation[b, t, i]) * (1 - activation[b, t, j])
            matrix[i, j] = both / either if either > 0 else 0
    return matrix


def literal_transitions(activation: Tensor, mask: Tensor) -> Tensor:
    """Compute Eq. 6 and 7 for `(B, T, N)`, averaged over clips and time."""
    clips, frames, aus = activation.shape
    tensor = torch.zeros(aus, aus, 16, dtype=activation.dtype)
    for i in range(aus):
        for j in range(aus):
            steps = 0
            for b in range(clips):
                for t in range(frames - 1):
                    cells = [(t, i), (t, j), (t + 1, i), (t + 1, j)]
                    if all(mask[b, time, au] for time, au in cells):
                        steps += 1
                        for state in range(16):
                            mass = torch.ones((), dtype=activation.dtype)
                            for bit, (time, au) in enumerate(cells):
                                value = activation[b, time, au]
                                mass = mass * (value if state >> bit & 1 else 1 - value)
                            tensor[i, j, state] += mass
            if steps:
                tensor[i, j] /= steps
    return tensor
