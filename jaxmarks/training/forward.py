"""Forward pass of a training step: from a rendered batch to each example's loss, and what the log keeps of the batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmarks import affine, losses
from jaxmarks.evaluation import metrics
from jaxmarks.models import Model, units
from jaxmarks.training.rendering import Rendered
from jaxmarks.types import Array


class Objective(NamedTuple):
    """The objective of a run: the loss by name, the unit of its residuals, the band of the batch that is trained on."""

    loss: str = "smooth_l1"
    unit: str = "crop"
    trim_top: float = 0.0
    trim_keep: float = 1.0


class Outcome(NamedTuple):
    """The results of a forward pass, example by example."""

    stats: dict  # running statistics after it
    each: jax.Array  # f32[batch]  the loss of each example
    beside: jax.Array | None  # f32[batch]  the loss of the auxiliary output; None: there is none
    nme: jax.Array  # f32[batch]


def outcome(
    model: Model,
    objective: Objective,
    size: int,
    params: dict,
    stats: dict,
    shown: Rendered,
    factor: Array,
    train: bool,
) -> Outcome:
    """Return what the network makes of a batch.

    Args:
        model: the network.
        objective: the loss and the unit of its residuals.
        size: side of the input in pixels.
        params: nested dicts of f32 arrays.
        stats: nested dicts of f32 arrays, the running statistics.
        shown: the batch as the network sees it.
        factor: f32[batch], of `loss_factor`.
        train: whether the batch's own statistics normalise.

    Returns:
        losses and errors of the examples, and the running statistics after them.
    """
    output, aux, stats = model.apply_both(params, stats, shown.images, train)
    factor = factor[:, None, None]
    target = factor * units.from_pixels(shown.points, size)
    loss = losses.NAMES[objective.loss]
    each = loss(factor * output, target, shown.mask)
    beside = None if aux is None else loss(factor * aux, target, shown.mask)
    nme = metrics.nme(units.to_pixels(output, size), shown.points, shown.mask, shown.norm)
    return Outcome(stats, each, beside, nme)


def loss_factor(unit: str, size: int, frame: Array, norm: Array) -> jax.Array:
    """Return the factor on each image's residuals in head units.

    Args:
        unit: one of config.LOSS_UNITS.
        size: side of the input in pixels.
        frame: [batch, 2, 3], image -> input.
        norm: f32[batch], of the face in input pixels.

    Returns:
        f32[batch].
    """
    factor = jnp.ones_like(norm)
    if unit == "photo":
        factor = jnp.abs(affine.determinant(jnp.asarray(frame, jnp.float32))) ** -0.5
    if unit == "face":
        factor = size / jnp.maximum(norm, 1e-3)
    return units.LOSS_SCALE * factor


def checksum(images: jax.Array, points: jax.Array, first: Array = 0) -> jax.Array:
    """Return a number of every bit of the images and points, in place; sums of integers, so no order can change it.

    The checksum of a batch is the sum of those of its parts, modulo 2^32, each with its place in the batch.

    Args:
        images: f32[examples, ...].
        points: f32[examples, ...].
        first: the place of the first example in the batch.

    Returns:
        u32[].
    """

    def words(array):
        bits = jax.lax.bitcast_convert_type(array, jnp.uint32).reshape(-1)
        begin = jnp.uint32(first) * jnp.uint32(bits.size // len(array))
        place = begin + jnp.arange(bits.size, dtype=jnp.uint32)
        return jnp.sum(bits * (jnp.uint32(2654435761) * (2 * place + 1)), dtype=jnp.uint32)

    return words(images) + 3 * words(points)
