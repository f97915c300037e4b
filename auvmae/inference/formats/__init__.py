"""Format predictions as the files that other programs read."""
