"""Judge what is damaged or missing in a recording."""
