"""Network operations for CPUs, where XLA's own are slow: matrix products and element-wise passes.

Each agrees with its form in `plain` but for rounding. What is fast was measured on two cores of an Intel Xeon with AMX and
of an AMD EPYC (docs/performance.md).
"""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxmarks.models import plain, winograd

_MANY = 512  # positions from which on transforming a kernel pays


def conv(x: Array, kernel: Array, stride: int, gradients: bool = True) -> Array:
    """Return a convolution as `plain.conv`, in the form that is fast on a CPU.

    1x1: one matrix product. 3x3 of many channels and positions: Winograd's form, 16 products for 36. 3x3 of few
    positions, and with a stride where gradients are wanted: one product over patches.

    Of convolutions with a stride XLA's own loses most in its gradients (a fifth of a ResNet18 step at 96 px); that of
    512 channels at 2 x 2 positions is a hundred times slower. Elsewhere patches cost more memory traffic than they
    save.

    Args:
        x: f32 or bf16 [b, h, w, i].
        kernel: f32[k, k, i, o].
        stride: on both axes.
        gradients: whether they are wanted.

    Returns:
        f32[b, h', w', o].
    """
    if x.dtype == jnp.bfloat16:
        return _half_conv(x, kernel, stride)
    size, (batch, rows, columns, channels) = kernel.shape[0], x.shape
    if size == 1:
        return _matrix_product(x[:, ::stride, ::stride], kernel[0, 0])
    wide = min(channels, kernel.shape[3]) >= (128 if gradients else 64)  # backward, 64 channels are no gain
    if size == 3 and stride == 1 and wide and rows >= 4 and batch * rows * columns >= _MANY:
        return winograd.conv(x, kernel)
    if size == 3 and (rows < 4 or batch * rows * columns <= 512 or (gradients and stride == 2)):
        patches = jnp.concatenate(_nine_shifts(x, stride, 0.0), axis=3)
        return _matrix_product(patches, kernel.reshape(9 * channels, -1))
    return plain.conv(x, kernel, stride)


@jax.custom_vjp
def _matrix_product(x: Array, matrix: Array) -> Array:
    return lax.dot_general(x, matrix, (((3,), (0,)), ((), ())))


def _matrix_product_forward(x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return _matrix_product(x, matrix), (x, matrix)


def _matrix_product_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, matrix = saved
    rows = x.size // x.shape[3]
    dx = lax.dot_general(dy, matrix, (((3,), (1,)), ((), ())))
    dmatrix = lax.dot_general(x.reshape(rows, -1), dy.reshape(rows, -1), (((0,), (0,)), ((), ())))
    return dx, dmatrix


_matrix_product.defvjp(_matrix_product_forward, _matrix_product_backward)


def _half_conv(x: Array, kernel: Array, stride: int) -> Array:
    """bf16[b, h, w, i], f32[k, k, i, o] -> f32[b, h', w', o]: products of bfloat16, their sums in float32.

    Such a product reaches AMX's units (1,830 GFLOP/s of 2 cores; with a bfloat16 result 260, of float32 310): 1x1, one
    product; 3x3 with a stride, one over patches; of 256 channels or more, the sum of nine. Of fewer XLA's own is faster.
    """
    size, channels = kernel.shape[0], x.shape[3]
    if size == 1:
        return _half_product(x[:, ::stride, ::stride], kernel[0, 0])
    if size == 3 and stride == 2:
        return _half_product(jnp.concatenate(_nine_shifts(x, 2, 0.0), axis=3), kernel.reshape(9 * channels, -1))
    if size == 3 and channels >= 256:
        taps = kernel.reshape(9, channels, -1)
        return functools.reduce(jnp.add, map(_half_product, _nine_shifts(x, 1, 0.0), taps))
    return plain.conv(x, kernel.astype(x.dtype), stride).astype(jnp.float32)


@jax.custom_vjp
def _half_product(x: Array, matrix: Array) -> Array:
    return _in_float32(x, matrix, (3, 0))


def _in_float32(a: Array, b: Array, contracted: tuple[int, int]) -> Array:
    """The product of two arrays over one axis of each, factors in bfloat16, sums in float32."""
    axes = (((contracted[0],), (contracted[1],)), ((), ()))
    half = jnp.bfloat16
    return lax.dot_general(a.astype(half), b.astype(half), axes, preferred_element_type=jnp.float32)


def _half_product_forward(x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return _half_product(x, matrix), (x, matrix)


def _half_product_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, matrix = saved
    rows, dy = x.size // x.shape[3], dy.astype(jnp.bfloat16)
    dx = _in_float32(dy, matrix, (3, 1)).astype(x.dtype)
    return dx, _in_float32(x.reshape(rows, -1), dy.reshape(rows, -1), (0, 0))


_half_product.defvjp(_half_product_forward, _half_product_backward)


def _nine_shifts(x: Array, stride: int, padding: float) -> list[Array]:
    """Return the inputs of the nine taps of a 3x3 window, row by row, each f32[b, ceil(h / s), ceil(w / s), c]."""
    rows, columns = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=padding)
    height, width = stride * (rows - 1) + 1, stride * (columns - 1) + 1
    return [padded[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)]


@jax.custom_vjp
def batch_norm(x: Array, scale: Array, bias: Array) -> tuple[Array, Array, Array]:
    """Return `plain.batch_norm`, its gradient in two passes.

    Args:
        x: f32[b, h, w, c].
        scale: f32[c].
        bias: f32[c].

    Returns:
        y f32[b, h, w, c], mean f32[c], biased variance f32[c] of the whole batch.
    """
    return plain.batch_norm(x, scale, bias)


def _batch_norm_forward(x: Array, scale: Array, bias: Array) -> tuple[tuple[Array, Array, Array], tuple]:
    y, mean, var = plain.batch_norm(x, scale, bias)
    return (y, mean, var), (x, scale, mean, lax.rsqrt(var + plain.BATCH_NORM_EPS))


def _batch_norm_backward(saved: tuple, cotangents: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """One pass over (x, dy) for both sums, one for dx, where automatic differentiation takes several more."""
    x, scale, mean, inverse = saved
    dy = cotangents[0]
    count = x.size // x.shape[3]
    centred = x - plain.per_channel(mean)
    dbias = jnp.sum(dy, axis=(0, 1, 2))
    dscale = jnp.sum(dy * centred, axis=(0, 1, 2)) * inverse
    slope = plain.per_channel(inverse * dscale / count)
    dx = plain.per_channel(scale * inverse) * (dy - plain.per_channel(dbias / count) - centred * slope)
    return dx, dscale, dbias


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


@jax.custom_vjp
def max_pool(x: Array) -> Array:
    """Return `plain.max_pool`, the larger of nine slices; its gradient is element-wise.

    Args:
        x: f32[b, h, w, c].

    Returns:
        f32[b, h', w', c].
    """
    return functools.reduce(jnp.maximum, _nine_shifts(x, 2, -jnp.inf))


def _max_pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    """Keep each window's winner as its tap, 0 to 8; of equals the first, as torch and reduce_window."""
    shifts = _nine_shifts(x, 2, -jnp.inf)
    y = functools.reduce(jnp.maximum, shifts)
    winner = jnp.full(y.shape, 8, jnp.uint8)
    for tap in range(7, -1, -1):
        winner = jnp.where(shifts[tap] == y, jnp.uint8(tap), winner)
    # Of x the backward pass wants the shape alone; XLA drops the values.
    return y, (winner, x)


def _max_pool_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
    """Element-wise, where reduce_window's gradient scatters.

    Window (o, p) is centred on pixel (2o, 2p), so a pixel of even row and column lies in one window, one of
    odd row and column in four: the four parities are summed apart and interleaved.
    """
    winner, x = saved
    batch, rows, columns, channels = dy.shape

    def to_cell(i: int, j: int) -> Array:
        """What tap (i, j) sends back; taps of row or column 0 reach into the cell before."""
        sent = jnp.where(winner == 3 * i + j, dy, 0)
        up, left = int(i == 0), int(j == 0)
        return jnp.pad(sent[:, up:, left:], ((0, 0), (0, up), (0, left), (0, 0)))

    even_even, even_odd = to_cell(1, 1), to_cell(1, 2) + to_cell(1, 0)
    odd_even = to_cell(2, 1) + to_cell(0, 1)
    odd_odd = to_cell(2, 2) + to_cell(2, 0) + to_cell(0, 2) + to_cell(0, 0)
    even = jnp.stack([even_even, even_odd], axis=3)
    odd = jnp.stack([odd_even, odd_odd], axis=3)
    dx = jnp.stack([even, odd], axis=2).reshape(batch, 2 * rows, 2 * columns, channels)
    return (dx[:, : x.shape[1], : x.shape[2]],)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)
