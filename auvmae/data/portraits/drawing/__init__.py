"""Draw a rigged face over its portrait."""
