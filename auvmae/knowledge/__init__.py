"""Provide the paper's prior knowledge about action units (Sec. 3.4)."""
