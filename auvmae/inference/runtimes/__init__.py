"""Run models of other runtimes in the place of a PyTorch model."""
