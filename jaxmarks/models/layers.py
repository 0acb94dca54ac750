"""Layers of the backbones as Linen modules: parameters and statistics around the forms of `ops`."""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jaxmarks.models.ops import BATCH_NORM_EPS, Ops, per_channel

MOMENTUM = 0.9  # what is kept of the old running statistic at a step; torch calls this 0.1

_kaiming = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Backbone(nn.Module):
    """Base of the backbones: its name is `backbone`, its call f32[b, s, s, 3] -> features f32[b, h, w, c].

    One with an auxiliary output returns (features, middle), where `auxiliary` makes that output of middle.
    """

    auxiliary: ClassVar[type[nn.Module] | None] = None
    aux_weight: ClassVar[float] = 0.0  # of the auxiliary loss, to the main loss's 1
    epsilon: ClassVar[float] = BATCH_NORM_EPS  # of the batch norms


class Conv(nn.Module):
    """A convolution without bias, f32[b, h, w, i] -> f32[b, h', w', features], padded as torch does."""

    features: int
    size: int
    ops: Ops
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", _kaiming, (self.size, self.size, x.shape[3], self.features), jnp.float32)
        return self.ops.conv(x, kernel, self.stride)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, f32[b, h, w, c] -> f32[b, h, w, c], or bf16 where `half`; computed in
    f32.

    In training the batch's own statistics normalise, and the running ones move towards them by 1 - MOMENTUM,
    the variance by its unbiased estimate as torch has it. Else the running ones normalise. Raises ValueError
    in training where a channel has one value only. Folded, it is the shift by `bias` that is left of it.
    """

    ops: Ops

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        kind = jnp.bfloat16 if self.ops.half else x.dtype
        channels = (x.shape[3],)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        if self.ops.folded:
            return (x + per_channel(bias)).astype(kind)
        scale = self.param("scale", nn.initializers.ones, channels, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        if not train:
            factor = scale * lax.rsqrt(var.value + BATCH_NORM_EPS)
            return (x * per_channel(factor) + per_channel(bias - mean.value * factor)).astype(kind)
        count = x.size // x.shape[3]
        if count < 2:
            raise ValueError(
                f"batch norm in training needs two values a channel or more, got x of shape {x.shape}: "
                "use a larger batch or larger images"
            )
        y, batch_mean, batch_var = self.ops.batch_norm(x.astype(scale.dtype), scale, bias)
        mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * batch_mean
        var.value = MOMENTUM * var.value + (1 - MOMENTUM) * batch_var * (count / (count - 1))
        return y.astype(kind)
