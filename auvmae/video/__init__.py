"""Read and write the frames of videos."""

from .random_access import read_frames
from .reading import iter_frames, num_frames
from .writing import VideoWriter

__all__ = ["VideoWriter", "iter_frames", "num_frames", "read_frames"]
