"""The one place that asks what the arrays live on: what is fast on a CPU and on an accelerator differs in form, not in value."""

import jax


def is_cpu() -> bool:
    """Whether computations are traced for the CPU: loops over examples and stored gathers, products for convolutions."""
    return jax.default_backend() == "cpu"
