"""Read and write the frames of videos."""
