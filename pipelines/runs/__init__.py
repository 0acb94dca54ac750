"""The run folder, its data and split, and restoring what it holds."""
