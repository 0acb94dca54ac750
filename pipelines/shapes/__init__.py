"""Landmark shapes: mirror permutations, shape models, shape outliers."""
