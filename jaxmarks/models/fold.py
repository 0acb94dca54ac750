"""Batch norm folded into the convolution before it, for inference.

With the running statistics a norm is y * factor + shift, a channel each: the factor goes into the kernel, in which the
convolution is linear, and the shift stays where the norm was, since Inception pools between the two with zeros that
count. In float64 on the host, rounded once: nothing is compiled, and no rounding is added to that of a forward pass.
"""

import jax
import numpy as np
from jax import Array


def _convolution(norm: str) -> str:
    """The name of the convolution whose output a norm takes."""
    return "downsample_0" if norm == "downsample_1" else norm.replace("bn", "conv")


def _like(leaf: Array | np.ndarray, value: np.ndarray) -> Array:
    """The value in the type of a leaf, where the leaf lies."""
    return jax.device_put(value.astype(leaf.dtype), leaf.sharding if isinstance(leaf, Array) else None)


def fold(params: dict, stats: dict, epsilon: float) -> dict:
    """Return the parameters with each norm's factor in its convolution's kernel; of a norm, `bias` is left, its shift.

    Not under jit. Where the statistics name no norm, the parameters are as they were.

    Args:
        params: nested dicts of arrays.
        stats: nested dicts of the norms' `mean` and `var`.
        epsilon: what the norms add to a variance.

    Returns:
        nested dicts of arrays, where the parameters lie.
    """
    folded = dict(params)
    for name, node in stats.items():
        if "var" not in node:
            folded[name] = fold(params[name], node, epsilon)
            continue
        kernel, bias = params[_convolution(name)]["kernel"], params[name]["bias"]
        mean, var, scale = (np.asarray(v, np.float64) for v in (node["mean"], node["var"], params[name]["scale"]))
        factor = scale / np.sqrt(var + epsilon)
        folded[_convolution(name)] = {
            "kernel": _like(kernel, np.asarray(kernel, np.float64) * factor[None, None, None])
        }
        folded[name] = {"bias": _like(bias, np.asarray(bias, np.float64) - mean * factor)}
    return folded
