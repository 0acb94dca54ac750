"""Network operations as XLA has them, one library call each, for GPUs and TPUs."""

import jax.numpy as jnp
from jax import Array, lax

BATCH_NORM_EPS = 1e-5


def per_channel(vector: Array) -> Array:
    """Return a vector with leading axes of one: written out, since rank promotion is an error in our tests.

    Args:
        vector: f32[c].

    Returns:
        f32[1, 1, 1, c].
    """
    return jnp.reshape(vector, (1, 1, 1, -1))


def conv(x: Array, kernel: Array, stride: int) -> Array:
    """Return a convolution, padded by k // 2 all round.

    Args:
        x: f32 or bf16 [b, h, w, i].
        kernel: f32[k, k, i, o].
        stride: on both axes.

    Returns:
        [b, h', w', o], in the type of x.
    """
    pad = kernel.shape[0] // 2  # torch's padding; SAME pads strided windows unevenly
    return lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (stride, stride),
        [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def batch_norm(x: Array, scale: Array, bias: Array) -> tuple[Array, Array, Array]:
    """Return the batch normalised, and its statistics, which carry no gradient.

    Args:
        x: f32[b, h, w, c].
        scale: f32[c].
        bias: f32[c].

    Returns:
        y f32[b, h, w, c], mean f32[c], biased variance f32[c] of the whole batch.
    """
    mean, var = _moments(x)
    factor = per_channel(scale * lax.rsqrt(var + BATCH_NORM_EPS))
    y = (x - per_channel(mean)) * factor + per_channel(bias)
    return y, lax.stop_gradient(mean), lax.stop_gradient(var)


def max_pool(x: Array) -> Array:
    """Return the maximum over 3x3 windows with stride 2, padded by 1 on every side.

    Args:
        x: f32[b, h, w, c].

    Returns:
        f32[b, h', w', c].
    """
    padding = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel, centred before squaring.

    The mean of squares less the squared mean would save a pass, but in float32 it loses every digit of the
    variance once a channel's mean is some thousand times its deviation; measured, it is no faster.
    """
    mean = jnp.mean(x, axis=(0, 1, 2))
    return mean, jnp.mean(jnp.square(x - per_channel(mean)), axis=(0, 1, 2))
