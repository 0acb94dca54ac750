"""Losses, one number an example, and their mean over the trim band of a batch.

Every loss takes prediction and target f32[batch, points, 2] in loss units (residuals of one unit are one pixel of a
128-pixel crop) and mask [batch, points]: the mean over the labelled points of the mean over x and y. An example without
a labelled point gives 0 and must be left out by `valid`.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

import jax
import jax.numpy as jnp

from jaxmarks import choices


def _residuals(prediction: jax.Array, target: jax.Array, mask: jax.Array | None) -> jax.Array:
    """prediction - target, 0 at points that are not labelled: where their numbers are NaN, so would be the gradient."""
    each = prediction - target
    return each if mask is None else jnp.where(mask[..., None], each, 0)


def _per_example(each: jax.Array, mask: jax.Array | None) -> jax.Array:
    """f32[batch] from f32[batch, points, 2]."""
    each = jnp.mean(each, -1)
    if mask is None:
        return jnp.mean(each, -1)
    total = jnp.sum(jnp.where(mask, each, 0), -1)
    return total / jnp.maximum(jnp.sum(mask, -1), 1)


def l2(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Return the mean squared error.

    Args:
        prediction: f32[batch, points, 2] in loss units.
        target: f32[batch, points, 2] in loss units.
        mask: bool[batch, points], the labelled points; None: all.

    Returns:
        f32[batch], the mean over the labelled points of each example; 0 where none is labelled.
    """
    return _per_example(jnp.square(_residuals(prediction, target, mask)), mask)


def l1(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Return the mean absolute error.

    Args:
        prediction: f32[batch, points, 2] in loss units.
        target: f32[batch, points, 2] in loss units.
        mask: bool[batch, points], the labelled points; None: all.

    Returns:
        f32[batch], the mean over the labelled points of each example; 0 where none is labelled.
    """
    return _per_example(jnp.abs(_residuals(prediction, target, mask)), mask)


def smooth_l1(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Return Huber's loss with its corner at 1 (torch.nn.SmoothL1Loss, beta = 1).

    Args:
        prediction: f32[batch, points, 2] in loss units.
        target: f32[batch, points, 2] in loss units.
        mask: bool[batch, points], the labelled points; None: all.

    Returns:
        f32[batch], the mean over the labelled points of each example; 0 where none is labelled.
    """
    size = jnp.abs(_residuals(prediction, target, mask))
    return _per_example(jnp.where(size < 1, 0.5 * jnp.square(size), size - 0.5), mask)


def _wing(size: jax.Array, width: float = 10.0, curve: float = 2.0) -> jax.Array:
    offset = width - width * jnp.log1p(width / curve)
    return jnp.where(size < width, width * jnp.log1p(size / curve), size - offset)


def wing(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Return the Wing loss (Feng et al. 2018, equation 5; w = 10, epsilon = 2): logarithmic below 10, linear above.

    Args:
        prediction: f32[batch, points, 2] in loss units.
        target: f32[batch, points, 2] in loss units.
        mask: bool[batch, points], the labelled points; None: all.

    Returns:
        f32[batch], the mean over the labelled points of each example; 0 where none is labelled.
    """
    return _per_example(_wing(jnp.abs(_residuals(prediction, target, mask))), mask)


def soft_wing(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Return the SoftWing loss (Lin et al. 2021, equation 8; omega 2 and 20, epsilon = 0.5).

    Linear below 2, logarithmic above, so that neither small residuals nor wrong labels rule.

    Args:
        prediction: f32[batch, points, 2] in loss units.
        target: f32[batch, points, 2] in loss units.
        mask: bool[batch, points], the labelled points; None: all.

    Returns:
        f32[batch], the mean over the labelled points of each example; 0 where none is labelled.
    """
    size = jnp.abs(_residuals(prediction, target, mask))
    offset = 2.0 - 20.0 * jnp.log1p(2.0 / 0.5)
    return _per_example(jnp.where(size < 2.0, size, 20.0 * jnp.log1p(size / 0.5) + offset), mask)


def enme(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Return Wing's curve over each example's mean distance; with loss_unit "face" that is of its NME, times 64.

    Our own reading: the 2020 entry names an ENME loss for fine-tuning, and no text of it could be found.

    Args:
        prediction: f32[batch, points, 2] in loss units.
        target: f32[batch, points, 2] in loss units.
        mask: bool[batch, points], the labelled points; None: all.

    Returns:
        f32[batch]; 0 where no point of an example is labelled.
    """
    squared = jnp.sum(jnp.square(_residuals(prediction, target, mask)), -1)
    distance = jnp.sqrt(jnp.maximum(squared, 1e-12))  # its slope at 0 would not be finite
    return _wing(_per_example(distance[..., None], mask))


NAMES: dict[str, Callable] = {name: globals()[name] for name in choices.LOSSES}


def band(drop_top: float, keep_top: float, count: int) -> tuple[int, int]:
    """Return the ranks that the trim band [drop_top, keep_top] keeps, floor(a V) <= r < max(ceil(b V), floor(a V) + 1).

    Exact in the decimals as written.

    Args:
        drop_top: a, the share of the largest losses that is left out.
        keep_top: b, where the band ends; 1 keeps the smallest losses.
        count: V, the examples that are ranked, worst first.

    Returns:
        first and last of the ranks first <= r < last.
    """
    first = floor(Fraction(str(drop_top)) * count)
    return first, max(ceil(Fraction(str(keep_top)) * count), first + 1)


def check_band(drop_top: float, keep_top: float) -> None:
    """Raise ValueError unless a trim band is one.

    Args:
        drop_top: share of the largest losses that is left out.
        keep_top: where the band ends.

    Raises:
        ValueError: unless 0 <= drop_top < keep_top <= 1.
    """
    if not 0 <= drop_top < keep_top <= 1:
        raise ValueError(
            f"the trim band must satisfy 0 <= `trim_top` < `trim_keep` <= 1, got {drop_top:g} and {keep_top:g}"
        )


def trimmed_mean(
    per_example: jax.Array, drop_top: float, keep_top: float, valid: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return the mean over the examples whose loss is in the trim band, and which these are.

    The V valid examples are ranked by decreasing loss, ties by their place in the batch; `band` gives the ranks that
    are kept.

    Args:
        per_example: f32[batch], a loss each.
        drop_top: a fraction, fixed when the step is compiled.
        keep_top: a fraction, likewise.
        valid: bool[batch], the examples that count; None: all.

    Returns:
        the mean f32[], 0 with no valid example, and kept bool[batch].

    Raises:
        ValueError: unless 0 <= drop_top < keep_top <= 1.
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
