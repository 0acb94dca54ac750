"""Losses, one number an example, and the mean over the band of the batch that is trained on.

Every loss takes prediction and target f32[batch, points, 2] in loss units (residuals of one unit are one pixel of a
128-pixel crop) and mask [batch, points]: the mean over the labelled points of the mean over x and y. An example without
a labelled point gives 0 and must be left out by `valid`.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

import jax
import jax.numpy as jnp


def _per_example(each: jax.Array, mask: jax.Array | None) -> jax.Array:
    """f32[batch] from f32[batch, points, 2]."""
    each = jnp.mean(each, -1)
    if mask is None:
        return jnp.mean(each, -1)
    total = jnp.sum(jnp.where(mask, each, 0), -1)
    return total / jnp.maximum(jnp.sum(mask, -1), 1)


def l2(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Mean squared error, f32[batch]."""
    return _per_example(jnp.square(prediction - target), mask)


def l1(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Mean absolute error, f32[batch]."""
    return _per_example(jnp.abs(prediction - target), mask)


def smooth_l1(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Huber's loss with its corner at 1 (torch.nn.SmoothL1Loss, beta = 1), f32[batch]."""
    size = jnp.abs(prediction - target)
    return _per_example(jnp.where(size < 1, 0.5 * jnp.square(size), size - 0.5), mask)


NAMES: dict[str, Callable] = {"l2": l2, "l1": l1, "smooth_l1": smooth_l1}


def band(drop_top: float, keep_top: float, count: int) -> tuple[int, int]:
    """Ranks first <= r < last of `count` examples, worst first, that the trim band [drop_top, keep_top] keeps.

    floor(a V) <= r < max(ceil(b V), floor(a V) + 1), exact in the decimals as written.
    """
    first = floor(Fraction(str(drop_top)) * count)
    return first, max(ceil(Fraction(str(keep_top)) * count), first + 1)


def check_band(drop_top: float, keep_top: float) -> None:
    """Raises ValueError unless 0 <= drop_top < keep_top <= 1."""
    if not 0 <= drop_top < keep_top <= 1:
        raise ValueError(
            f"the trim band (--trim-top, --trim-keep) must satisfy 0 <= top < keep <= 1, got {drop_top:g} and {keep_top:g}"
        )


def trimmed_mean(
    per_example: jax.Array, drop_top: float, keep_top: float, valid: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Mean over the examples f32[batch] whose loss lies in the band of the batch -> (f32[], kept bool[batch]).

    The V valid examples are ranked by falling loss, ties by their place in the batch; `band` says which ranks stay.
    With no valid example the mean is 0. drop_top and keep_top are fractions, fixed when the step is compiled.
    """
    check_band(drop_top, keep_top)
    size = per_example.shape[0]
    valid = jnp.ones(size, bool) if valid is None else valid
    bands = jnp.array([band(drop_top, keep_top, count) for count in range(size + 1)])
    first, last = bands[jnp.sum(valid)]
    worst_first = jnp.argsort(jnp.where(valid, -jax.lax.stop_gradient(per_example), jnp.inf), stable=True)
    rank = jnp.zeros(size, jnp.int32).at[worst_first].set(jnp.arange(size, dtype=jnp.int32))
    kept = valid & (rank >= first) & (rank < last)
    return jnp.sum(jnp.where(kept, per_example, 0)) / jnp.maximum(jnp.sum(kept), 1), kept
