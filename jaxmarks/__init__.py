"""Dense landmark regression in JAX; every training step can be re-created and verified."""

__version__ = "0.1.0"
