"""Turn flags into a finished run, with its folder, its card and its push."""
