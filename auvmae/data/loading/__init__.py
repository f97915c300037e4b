"""Turn rows of clips into batches."""
