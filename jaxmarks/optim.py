"""The optimiser: AdamW with decay on kernels only, a warm-up, and a rate that falls by cosine or on plateau."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmarks.config import Config

_LEAST_PATIENCE = 10  # batches: below it noise alone would cut the rate


class PlateauState(NamedTuple):
    """The smoothed loss (a sum of weights below 1, for its start) and optax's own state."""

    total: jax.Array
    weight: jax.Array
    inner: Any  # optax.contrib.ReduceLROnPlateauState


def kernels(params) -> object:
    """A tree of booleans: decay applies to kernels of layers, not to biases or the scales of batch norm."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def plateau(factor: float, patience: int, smoothing: int) -> optax.GradientTransformationExtraArgs:
    """Scales updates down by `factor` when the smoothed `value` has not fallen for `patience` updates.

    `value` (given at every update) is averaged with weights that fall over about `smoothing` updates. One that is not
    finite is no judgement. optax acts on the patience-th bad judgement, PyTorch's ReduceLROnPlateau one later.
    """
    inner = optax.contrib.reduce_on_plateau(factor=factor, patience=patience, rtol=1e-4, atol=0.0, min_scale=1e-4)
    keep = 1 - 1 / smoothing

    def init(params):
        return PlateauState(jnp.zeros(()), jnp.zeros(()), inner.init(params))

    def update(updates, state, params=None, *, value=jnp.nan, **extra):
        judged = jnp.isfinite(value)
        total = keep * state.total + (1 - keep) * jnp.where(judged, value, 0)
        weight = keep * state.weight + (1 - keep)
        average = total / weight
        scaled, after = inner.update(updates, state.inner, params, value=average)
        new = PlateauState(total, weight, after)
        kept = jax.tree.map(lambda a, b: jnp.where(judged, a, b), new, state)
        unjudged = jax.tree.map(lambda u: state.inner.scale * u, updates)
        return jax.tree.map(lambda a, b: jnp.where(judged, a, b), scaled, unjudged), kept

    return optax.GradientTransformationExtraArgs(init, update)


def rate(config: Config, steps: int) -> optax.Schedule:
    """The rate by step, before the plateau's factor."""
    warm = min(config.warmup, steps // 2)
    if config.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0 if warm else config.lr, config.lr, warm, steps)
    rising = optax.linear_schedule(0.0, config.lr, warm) if warm else optax.constant_schedule(config.lr)
    return optax.join_schedules([rising, optax.constant_schedule(config.lr)], [warm])


def make(config: Config, steps: int, steps_per_epoch: int) -> optax.GradientTransformationExtraArgs:
    """The whole of it: clip -> AdamW -> plateau. `update` needs `value=`, the loss of the batch."""
    adamw = optax.adamw(rate(config, steps), weight_decay=config.weight_decay, mask=kernels)
    parts = [optax.clip_by_global_norm(config.clip)] if config.clip else []
    parts.append(adamw)
    if config.schedule == "plateau":
        patience = max(_LEAST_PATIENCE, round(config.plateau_patience * steps_per_epoch))
        parts.append(plateau(config.plateau_factor, patience, patience))
    return optax.with_extra_args_support(optax.chain(*parts))


def current_rate(config: Config, steps: int, state, step: jax.Array) -> jax.Array:
    """f32[]: the rate that step `step` was taken with; `state` is the optimiser's after it."""
    base = jnp.asarray(rate(config, steps)(step), jnp.float32)
    if config.schedule != "plateau":
        return base
    return base * state[-1].inner.scale
