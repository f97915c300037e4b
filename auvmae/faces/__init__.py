"""Detect, track, smooth and crop the faces of a video."""
