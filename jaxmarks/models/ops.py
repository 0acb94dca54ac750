"""The operations that cost a convolutional network its time, each in two forms that agree.

`PLAIN` is what GPUs and TPUs want: one library call an operation. XLA on a CPU has slow forms of several of
these, so `CPU` writes them as matrix products and element-wise passes.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxmarks import backend
from jaxmarks.models import winograd

BATCH_NORM_EPS = 1e-5


class Ops(NamedTuple):
    """One set of forms.

    conv(x f32[b, h, w, i], kernel f32[k, k, i, o], stride) -> f32[b, h', w', o], padded by k // 2 all round.
    batch_norm(x f32[b, h, w, c], scale f32[c], bias f32[c]) -> (y, mean f32[c], biased variance f32[c]); the
    statistics are those of the whole batch and carry no gradient of their own.
    max_pool(x f32[b, h, w, c]) -> f32[b, h', w', c], 3x3 windows with stride 2, padded by 1 on every side.
    folded: the kernels have the factors of the norms after them (`fold`), and of a norm its shift is left.
    """

    conv: Callable[[Array, Array, int], Array]
    batch_norm: Callable[[Array, Array, Array], tuple[Array, Array, Array]]
    max_pool: Callable[[Array], Array]
    folded: bool = False


def chosen(folded: bool = False) -> Ops:
    """The set for JAX's default backend; folded: the one for inference. Where a GPU is asked for the same bits, max-pool is
    the sliced one: the gradient of the other scatters, in any order."""
    if backend.is_cpu():
        return CPU_FOLDED if folded else CPU
    return PLAIN._replace(max_pool=(CPU if backend.same_bits_asked() else PLAIN).max_pool, folded=folded)


def full_products() -> contextlib.AbstractContextManager:
    """While traced, products and convolutions of float32 are computed in float32, their gradients too.

    By JAX's default NVIDIA's cards from Ampere on round the factors to TF32 (10 bits of mantissa), TPUs to bfloat16. A CPU
    rounds nothing, and its library is asked for nothing.
    """
    return contextlib.nullcontext() if backend.is_cpu() else jax.default_matmul_precision("float32")


def per_channel(vector: Array) -> Array:
    """f32[c] -> f32[1, 1, 1, c]: written out, since rank promotion is an error in our tests."""
    return jnp.reshape(vector, (1, 1, 1, -1))


def _plain_conv(x: Array, kernel: Array, stride: int) -> Array:
    pad = kernel.shape[0] // 2  # torch's padding; SAME pads strided windows unevenly
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), [(pad, pad), (pad, pad)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _plain_batch_norm(x: Array, scale: Array, bias: Array) -> tuple[Array, Array, Array]:
    mean, var = _moments(x)
    factor = per_channel(scale * lax.rsqrt(var + BATCH_NORM_EPS))
    y = (x - per_channel(mean)) * factor + per_channel(bias)
    return y, lax.stop_gradient(mean), lax.stop_gradient(var)


def _plain_max_pool(x: Array) -> Array:
    padding = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel, centred before squaring.

    The mean of squares less the squared mean would save a pass, but in float32 it loses every digit of the
    variance once a channel's mean is some thousand times its deviation; measured, it is no faster.
    """
    mean = jnp.mean(x, axis=(0, 1, 2))
    return mean, jnp.mean(jnp.square(x - per_channel(mean)), axis=(0, 1, 2))


def _cpu_conv(x: Array, kernel: Array, stride: int, gradients: bool = True) -> Array:
    """1x1: one matrix product. 3x3 of many channels in training: Winograd's form, 16 products for 36. 3x3 of few positions,
    and with a stride where gradients are wanted: one product over patches.

    Of convolutions with a stride XLA's own loses most in its gradients (a fifth of a ResNet18 step at 96 px); that of 512
    channels at 2 x 2 positions is a hundred times slower. Elsewhere patches cost more memory traffic than they save.
    """
    size, (batch, rows, columns, channels) = kernel.shape[0], x.shape
    if size == 1:
        return _matrix_product(x[:, ::stride, ::stride], kernel[0, 0])
    if size == 3 and stride == 1 and gradients and min(channels, kernel.shape[3]) >= 128 and rows >= 4:
        return winograd.conv(x, kernel)
    if size == 3 and (rows < 4 or batch * rows * columns <= 512 or (gradients and stride == 2)):
        patches = jnp.concatenate(_nine_shifts(x, stride, 0.0), axis=3)
        return _matrix_product(patches, kernel.reshape(9 * channels, -1))
    return _plain_conv(x, kernel, stride)


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


def _nine_shifts(x: Array, stride: int, padding: float) -> list[Array]:
    """What the nine taps of a 3x3 window see, row by row, each f32[b, ceil(h / s), ceil(w / s), c]."""
    rows, columns = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=padding)
    height, width = stride * (rows - 1) + 1, stride * (columns - 1) + 1
    return [padded[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)]


@jax.custom_vjp
def _cpu_batch_norm(x: Array, scale: Array, bias: Array) -> tuple[Array, Array, Array]:
    return _plain_batch_norm(x, scale, bias)


def _cpu_batch_norm_forward(x: Array, scale: Array, bias: Array) -> tuple[tuple[Array, Array, Array], tuple]:
    y, mean, var = _plain_batch_norm(x, scale, bias)
    return (y, mean, var), (x, scale, mean, lax.rsqrt(var + BATCH_NORM_EPS))


def _cpu_batch_norm_backward(saved: tuple, cotangents: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """One pass over (x, dy) for both sums, one for dx, where automatic differentiation takes several more."""
    x, scale, mean, inverse = saved
    dy = cotangents[0]
    count = x.size // x.shape[3]
    centred = x - per_channel(mean)
    dbias = jnp.sum(dy, axis=(0, 1, 2))
    dscale = jnp.sum(dy * centred, axis=(0, 1, 2)) * inverse
    slope = per_channel(inverse * dscale / count)
    dx = per_channel(scale * inverse) * (dy - per_channel(dbias / count) - centred * slope)
    return dx, dscale, dbias


_cpu_batch_norm.defvjp(_cpu_batch_norm_forward, _cpu_batch_norm_backward)


@jax.custom_vjp
def _cpu_max_pool(x: Array) -> Array:
    return functools.reduce(jnp.maximum, _nine_shifts(x, 2, -jnp.inf))


def _cpu_max_pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    """Keeps each window's winner as its tap, 0 to 8; of equals the first, as torch and reduce_window."""
    shifts = _nine_shifts(x, 2, -jnp.inf)
    y = functools.reduce(jnp.maximum, shifts)
    winner = jnp.full(y.shape, 8, jnp.uint8)
    for tap in range(7, -1, -1):
        winner = jnp.where(shifts[tap] == y, jnp.uint8(tap), winner)
    # Of x the backward pass wants the shape alone; XLA drops the values.
    return y, (winner, x)


def _cpu_max_pool_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
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


_cpu_max_pool.defvjp(_cpu_max_pool_forward, _cpu_max_pool_backward)


PLAIN = Ops(_plain_conv, _plain_batch_norm, _plain_max_pool)
CPU = Ops(_cpu_conv, _cpu_batch_norm, _cpu_max_pool)
CPU_FOLDED = CPU._replace(conv=functools.partial(_cpu_conv, gradients=False), folded=True)
