"""Turn flags into a finished run: its folder, its card, its push."""
