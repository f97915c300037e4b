"""Provide the sub-commands that read results and print tables."""
