"""Convolutional operations, each in two forms that agree: one for CPUs, one for accelerators.

`PLAIN` is what GPUs and TPUs want: one library call an operation. XLA on a CPU has slow forms of several of
these, so `CPU` writes them as matrix products and element-wise passes.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array

from jaxmarks import backend
from jaxmarks.models import cpu, plain
from jaxmarks.models.plain import BATCH_NORM_EPS, per_channel

__all__ = ["BATCH_NORM_EPS", "CPU", "CPU_FOLDED", "PLAIN", "Ops", "chosen", "full_products", "per_channel"]


class Ops(NamedTuple):
    """One set of forms.

    conv(x f32[b, h, w, i], kernel f32[k, k, i, o], stride) -> f32[b, h', w', o], padded by k // 2 all round. x may be bf16:
    then PLAIN gives bf16, the CPU's form the sums in f32.
    batch_norm(x f32[b, h, w, c], scale f32[c], bias f32[c]) -> (y, mean f32[c], biased variance f32[c]); the
    statistics are those of the whole batch and carry no gradient of their own.
    max_pool(x f32[b, h, w, c]) -> f32[b, h', w', c], 3x3 windows with stride 2, padded by 1 on every side.
    half: what passes from layer to layer is bf16.
    folded: the kernels have the factors of the norms after them (`fold`), and of a norm its shift is left.
    """

    conv: Callable[[Array, Array, int], Array]
    batch_norm: Callable[[Array, Array, Array], tuple[Array, Array, Array]]
    max_pool: Callable[[Array], Array]
    folded: bool = False
    half: bool = False


def chosen(folded: bool = False) -> Ops:
    """Return the set of forms for JAX's default backend.

    Where a GPU is asked for the same bits, max-pool is the sliced one: the gradient of the other scatters, in any
    order.

    Args:
        folded: whether the set is that for inference.

    Returns:
        the set.
    """
    if backend.is_cpu():
        return CPU_FOLDED if folded else CPU
    return PLAIN._replace(max_pool=(CPU if backend.same_bits_asked() else PLAIN).max_pool, folded=folded)


def full_products() -> contextlib.AbstractContextManager:
    """Return a context in which products and convolutions of float32, traced in it, are computed in float32.

    Their gradients too. By JAX's default NVIDIA's cards from Ampere on round the factors to TF32 (10 bits of mantissa),
    TPUs to bfloat16. A CPU rounds nothing, and its library is asked for nothing.
    """
    return contextlib.nullcontext() if backend.is_cpu() else jax.default_matmul_precision("float32")


PLAIN = Ops(plain.conv, plain.batch_norm, plain.max_pool)
CPU = Ops(cpu.conv, cpu.batch_norm, cpu.max_pool)
CPU_FOLDED = CPU._replace(conv=functools.partial(cpu.conv, gradients=False), folded=True)
