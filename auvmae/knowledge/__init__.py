"""Provide what the paper knows about action units (Sec. 3.4)."""
