"""Animate portraits with a face rig, so that action units and their intensities are known exactly."""
