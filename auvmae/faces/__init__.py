"""Turn frames into steady face crops."""
