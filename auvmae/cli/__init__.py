"""Provide the `auvmae` command, with one module per sub-command."""
