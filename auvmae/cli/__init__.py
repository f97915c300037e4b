"""Provide the `auvmae` command, one file per sub-command."""
