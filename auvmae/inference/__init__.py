"""Turn a recording into rows of action units."""
