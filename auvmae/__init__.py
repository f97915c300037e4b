"""AU-vMAE."""

__version__ = "0.1.0"
