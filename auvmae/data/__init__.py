"""Open datasets of face video as rows of clips."""

from .clips import au_names
from .registry import load_au_dataset

__all__ = ["au_names", "load_au_dataset"]
