"""Published weights: state dicts, and reading pickled ones safely."""
