"""Where the repository is, and the real clips beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIPS = ROOT.parent / "shared" / "videos"
"""Real face clips, which are never part of the repository."""
