"""Calibrate all recordings of a person by one neutral baseline."""
