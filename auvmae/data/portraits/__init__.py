"""Animate portraits with a face rig, so that their action units are known exactly."""
