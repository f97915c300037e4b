"""Detect faces in single frames, one detector per file."""
