"""Inception v3's backbone and auxiliary head, layer for layer torchvision's `inception_v3`, under its own names.

torchvision's `AuxLogits` is our `Auxiliary` with `AuxLogits.fc` as its `head`; its `fc` is the regressor's head. Its
dropout before `fc` is left out: it would need a key, and a regression head gains nothing from it. Images come in
normalised by ImageNet's mean and deviation, as with `transform_input=False`. The published weights were trained on
(x / 255 - 0.5) / 0.5, which `transform_input=True` makes of that input by a_c x + b_c for each colour c, with
a = deviation / 0.5 and b = (mean - 0.5) / 0.5 in units of 0..1. To take them over, multiply `Conv2d_1a_3x3`'s kernel
by a and subtract the sum of kernel * b over its window and colours from its running mean: exact, since that
convolution has no padding. Source: Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision".
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jaxmarks.models.layers import MOMENTUM, Backbone
from jaxmarks.models.ops import BATCH_NORM_EPS, CPU, Ops, full_products, per_channel

EPS = 1e-3  # of its batch norms

# The norm of y / r with eps / r^2 is that of y with eps: so the forms of `ops` serve, whose epsilon is fixed.
_RATIO = (EPS / BATCH_NORM_EPS) ** 0.5

_kaiming = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def _halved(size: int) -> int:
    """The side after an unpadded window of 3 with stride 2."""
    return (size - 3) // 2 + 1


def grid(size: int) -> int:
    """Return the side of `Mixed_6e`'s output, which feeds the auxiliary head.

    Args:
        size: side of the images in pixels.

    Returns:
        positions; may be less than 1.
    """
    stem = _halved(_halved(size) - 2)  # Conv2d_1a, Conv2d_2a, maxpool1
    return _halved(_halved(stem - 2))  # Conv2d_4a, maxpool2, Mixed_6a


def _fits_auxiliary(side: int) -> bool:
    """Return whether the mean over windows of 5 with stride 3 leaves the 5x5 convolution its window."""
    return (side - 5) // 3 + 1 >= 5


LEAST_SIZE = next(size for size in range(1, 1000) if _halved(grid(size)) >= 1)  # 75: Mixed_7a leaves one position
LEAST_SIZE_AUXILIARY = next(size for size in range(1, 1000) if _fits_auxiliary(grid(size)))  # 299: a grid of 17


def _convolve(x: Array, kernel: Array, stride: int, padded: bool, ops: Ops) -> Array:
    """f32[b, h, w, i], f32[p, q, i, o] -> f32[b, h', w', o], padded by half a window or not at all.

    `ops` has the padded square windows. Of the others, the CPU's form is a matrix product over what the taps see, as
    in `ops` (a tenth of a training step at 128 px); elsewhere it is the library's.
    """
    height, width, channels, features = kernel.shape
    if height == width and (padded or height == 1):
        return ops.conv(x, kernel, stride)
    up, left = (height // 2, width // 2) if padded else (0, 0)
    if ops.conv is not CPU.conv or channels < 64:
        padding = [(up, up), (left, left)]
        return lax.conv_general_dilated(
            x, kernel.astype(x.dtype), (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    x = jnp.pad(x, ((0, 0), (up, up), (left, left), (0, 0)))
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    taps = [x[:, i : i + rows : stride, j : j + columns : stride] for i in range(height) for j in range(width)]
    return ops.conv(jnp.concatenate(taps, axis=3), kernel.reshape(1, 1, -1, features), 1)


def _max_pool(x: Array, ops: Ops) -> Array:
    """3x3 windows with stride 2, unpadded: those of `ops` are padded, so one more row and column shift them."""
    padded = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)), constant_values=-jnp.inf)
    rows = lax.slice_in_dim(ops.max_pool(padded), 1, 1 + _halved(x.shape[1]), axis=1)
    return lax.slice_in_dim(rows, 1, 1 + _halved(x.shape[2]), axis=2)


def _mean_pool(x: Array) -> Array:
    """Mean over 3x3 windows, padded with zeros that count: rows, then columns.

    By slices and not by indices, which are gathers where the batch's size is a symbol (jax.export).
    """
    sums = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for axis in (1, 2):
        before, here, after = (lax.slice_in_dim(sums, i, i + x.shape[axis], axis=axis) for i in range(3))
        sums = before + here + after
    return sums / 9


class _Kernel(nn.Module):
    """The convolution's parameter, f32[p, q, i, features]; a module for the name's sake."""

    shape: tuple[int, int, int, int]

    @nn.compact
    def __call__(self) -> Array:
        return self.param("kernel", _kaiming, self.shape, jnp.float32)


class _Norm(nn.Module):
    """Batch norm as `layers.BatchNorm`'s, with Inception's epsilon and for y / _RATIO (folded: for y), f32[b, h, w, c]."""

    ops: Ops

    @nn.compact
    def __call__(self, y: Array, train: bool) -> Array:
        kind = jnp.bfloat16 if self.ops.half else y.dtype
        channels = (y.shape[3],)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        if self.ops.folded:
            return (y + per_channel(bias)).astype(kind)
        scale = self.param("scale", nn.initializers.ones, channels, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        if not train:
            factor = scale * lax.rsqrt(var.value + EPS)
            return (y * per_channel(_RATIO * factor) + per_channel(bias - mean.value * factor)).astype(kind)
        count = y.size // y.shape[3]
        if count < 2:
            raise ValueError(
                f"batch norm in training needs two values a channel or more, got shape {y.shape}: use a larger batch"
            )
        computed, batch_mean, batch_var = self.ops.batch_norm(y.astype(scale.dtype), scale, bias)
        mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * _RATIO * batch_mean
        var.value = MOMENTUM * var.value + (1 - MOMENTUM) * _RATIO**2 * batch_var * (count / (count - 1))
        return computed.astype(kind)


class BasicConv(nn.Module):
    """Convolution without bias, [mean pool,] batch norm, ReLU: f32[b, h, w, i] -> f32[b, h', w', features].

    pool: a mean over 3x3 windows, in torchvision before the convolution. A 1x1 convolution without bias commutes
    with it, and after it there are fewer channels to pool.
    """

    features: int
    window: tuple[int, int]
    ops: Ops
    stride: int = 1
    padded: bool = True
    pool: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        kernel = _Kernel((*self.window, x.shape[3], self.features), name="conv")()
        kernel = kernel if self.ops.folded else kernel / _RATIO
        y = _convolve(x, kernel, self.stride, self.padded, self.ops)
        return nn.relu(_Norm(self.ops, name="bn")(_mean_pool(y) if self.pool else y, train))


# A step of a chain: convolutions of one input, each (name after the branch's, features, window, stride); their outputs
# are joined. Stride 2 is unpadded.
_Step = tuple[tuple[str, int, tuple[int, int], int], ...]
_Branch = tuple[str, tuple[_Step, ...]]


def _conv(suffix: str, features: int, rows: int = 1, columns: int = 1, stride: int = 1) -> _Step:
    """A step of one convolution; the sum of two such is a fork."""
    return ((suffix, features, (rows, columns), stride),)


class Mixed(nn.Module):
    """Branches side by side, joined by channel: f32[b, h, w, i] -> f32[b, h', w', sum of the branches' features].

    branches: each its name and its chain of steps. pooled: features of the last branch, `branch_pool`; 0 for a max
    pool, which halves the grid as the strided chains do.
    """

    branches: tuple[_Branch, ...]
    pooled: int
    ops: Ops

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        outputs = []
        for branch, chain in self.branches:
            ends = [x]
            for step in chain:  # only the last step forks
                ends = [
                    BasicConv(features, window, self.ops, stride, stride == 1, name=branch + suffix)(ends[0], train)
                    for suffix, features, window, stride in step
                ]
            outputs.extend(ends)
        if self.pooled:
            outputs.append(BasicConv(self.pooled, (1, 1), self.ops, pool=True, name="branch_pool")(x, train))
        else:
            outputs.append(_max_pool(x, self.ops))
        return jnp.concatenate(outputs, axis=3)


def _mixed_a(pooled: int, ops: Ops, name: str) -> Mixed:
    """torchvision's InceptionA: 224 + pooled channels."""
    five = (_conv("_1", 48), _conv("_2", 64, 5, 5))
    double = (_conv("_1", 64), _conv("_2", 96, 3, 3), _conv("_3", 96, 3, 3))
    branches = (("branch1x1", (_conv("", 64),)), ("branch5x5", five), ("branch3x3dbl", double))
    return Mixed(branches, pooled, ops, name=name)


def _mixed_b(ops: Ops, name: str) -> Mixed:
    """InceptionB: half the side, 480 channels more."""
    double = (_conv("_1", 64), _conv("_2", 96, 3, 3), _conv("_3", 96, 3, 3, 2))
    return Mixed((("branch3x3", (_conv("", 384, 3, 3, 2),)), ("branch3x3dbl", double)), 0, ops, name=name)


def _mixed_c(width: int, ops: Ops, name: str) -> Mixed:
    """InceptionC: 768 channels."""
    seven = (_conv("_1", width), _conv("_2", width, 1, 7), _conv("_3", 192, 7, 1))
    double = (_conv("_1", width), _conv("_2", width, 7, 1), _conv("_3", width, 1, 7), _conv("_4", width, 7, 1))
    double = (*double, _conv("_5", 192, 1, 7))
    branches = (("branch1x1", (_conv("", 192),)), ("branch7x7", seven), ("branch7x7dbl", double))
    return Mixed(branches, 192, ops, name=name)


def _mixed_d(ops: Ops, name: str) -> Mixed:
    """InceptionD: half the side, 512 channels more."""
    three = (_conv("_1", 192), _conv("_2", 320, 3, 3, 2))
    seven = (_conv("_1", 192), _conv("_2", 192, 1, 7), _conv("_3", 192, 7, 1), _conv("_4", 192, 3, 3, 2))
    return Mixed((("branch3x3", three), ("branch7x7x3", seven)), 0, ops, name=name)


def _mixed_e(ops: Ops, name: str) -> Mixed:
    """InceptionE: 2048 channels."""
    three = (_conv("_1", 384), _conv("_2a", 384, 1, 3) + _conv("_2b", 384, 3, 1))
    double = (_conv("_1", 448), _conv("_2", 384, 3, 3), _conv("_3a", 384, 1, 3) + _conv("_3b", 384, 3, 1))
    branches = (("branch1x1", (_conv("", 320),)), ("branch3x3", three), ("branch3x3dbl", double))
    return Mixed(branches, 192, ops, name=name)


class Auxiliary(nn.Module):
    """The auxiliary head: middle f32[b, g, g, 768], g >= 17 -> f32[b, outputs]; kernel_init is for its linear layer."""

    outputs: int
    kernel_init: Callable[..., Array]
    ops: Ops

    @nn.compact
    def __call__(self, middle: Array, train: bool) -> Array:
        x = nn.avg_pool(middle, (5, 5), (3, 3))
        x = BasicConv(128, (1, 1), self.ops, name="conv0")(x, train)
        x = BasicConv(768, (5, 5), self.ops, 1, False, name="conv1")(x, train)
        with full_products():
            return nn.Dense(self.outputs, kernel_init=self.kernel_init, name="head")(
                jnp.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), axis=(1, 2))
            )


class Inception(Backbone):
    """f32[b, s, s, 3] -> (features f32[b, s', s', 2048], middle f32[b, g, g, 768] or None), g = grid(s).

    middle feeds the auxiliary head; None below LEAST_SIZE_AUXILIARY, where that does not fit. Raises ValueError
    below LEAST_SIZE.
    """

    auxiliary = Auxiliary
    aux_weight = 0.4  # torchvision's and the paper's authors' value
    epsilon = EPS

    ops: Ops

    @nn.compact
    def __call__(self, x: Array, train: bool) -> tuple[Array, Array | None]:
        if min(x.shape[1:3]) < LEAST_SIZE:
            raise ValueError(f"Inception v3 needs images of {LEAST_SIZE} px or more, got {min(x.shape[1:3])}")
        ops = self.ops
        x = BasicConv(32, (3, 3), ops, 2, False, name="Conv2d_1a_3x3")(x, train)
        x = BasicConv(32, (3, 3), ops, 1, False, name="Conv2d_2a_3x3")(x, train)
        x = BasicConv(64, (3, 3), ops, name="Conv2d_2b_3x3")(x, train)
        x = BasicConv(80, (1, 1), ops, name="Conv2d_3b_1x1")(_max_pool(x, ops), train)
        x = BasicConv(192, (3, 3), ops, 1, False, name="Conv2d_4a_3x3")(x, train)
        x = _max_pool(x, ops)
        for letter, pooled in (("b", 32), ("c", 64), ("d", 64)):
            x = _mixed_a(pooled, ops, f"Mixed_5{letter}")(x, train)
        x = _mixed_b(ops, "Mixed_6a")(x, train)
        for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            x = _mixed_c(width, ops, f"Mixed_6{letter}")(x, train)
        middle = x if _fits_auxiliary(min(x.shape[1:3])) else None
        x = _mixed_d(ops, "Mixed_7a")(x, train)
        x = _mixed_e(ops, "Mixed_7b")(x, train)
        return _mixed_e(ops, "Mixed_7c")(x, train), middle


def inception_v3(ops: Ops) -> Backbone:
    """Return Inception v3: 2048 channels at the end.

    Args:
        ops: the forms of its operations.

    Returns:
        a backbone with an auxiliary output, as `Inception` has it.
    """
    return Inception(ops, name="backbone")
