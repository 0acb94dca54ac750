"""Evaluation of runs: which images are scored, and tables of experiments."""
