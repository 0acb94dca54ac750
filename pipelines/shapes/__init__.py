"""What landmarks look like together: mirror permutations, shape models, shape outliers."""
