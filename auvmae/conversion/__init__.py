"""Read and write checkpoints in other formats."""
