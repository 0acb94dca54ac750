"""Checks of labels before training: what is unusual in them, and what it is taken for."""
