"""Predict the action units of a recording, one row per frame and face."""
