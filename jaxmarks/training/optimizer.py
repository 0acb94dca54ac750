"""Optimiser: AdamW with decay on kernels only, a rate by step or on plateau, a separate rate or freeze for the backbone."""

from collections.abc import Hashable, Mapping
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
    """Return which leaves decay applies to: kernels of layers, not biases or the scales of batch norm.

    Args:
        params: a pytree of nested dicts.

    Returns:
        the same tree of booleans.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


@jax.jit
def weight_norm(params) -> jax.Array:
    """Return the norm of all kernels together, which decay acts on.

    Args:
        params: a pytree of nested dicts.

    Returns:
        f32[].
    """
    return optax.global_norm(jax.tree.map(lambda p, k: p if k else jnp.zeros(()), params, kernels(params)))


def plateau(factor: float, patience: int, smoothing: int) -> optax.GradientTransformationExtraArgs:
    """Return a transformation that scales updates down when the smoothed loss stops falling.

    The loss is the `value` given at every update; one that is not finite is no judgement. optax acts on the patience-th
    bad judgement, PyTorch's ReduceLROnPlateau one later.

    Args:
        factor: on the updates, 0..1; all of them together end at 1e-4.
        patience: updates for which the loss must not have fallen.
        smoothing: the loss is averaged with weights that fall over about so many updates.

    Returns:
        the transformation; its `update` takes `value=`.
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


def frozen_steps(config: Config, steps_per_epoch: int) -> int:
    """Return the number of steps, from 0, in which the backbone is frozen.

    Args:
        config: the run's.
        steps_per_epoch: of the run.

    Returns:
        0 or more.
    """
    return round(config.freeze * steps_per_epoch)


def rate(config: Config, steps: int, frozen: int = 0) -> optax.Schedule:
    """Return the head's rate by step, before the plateau's factor.

    The schedule onecycle goes up from lr / 25 over 30 % of the steps, then down to lr / 250,000, both by cosine (Smith
    2018; torch.optim.lr_scheduler.OneCycleLR's defaults).

    Args:
        config: the run's.
        steps: of the run.
        frozen: steps from 0 in which the backbone is frozen; after them the rate is multiplied by `thaw_lr`.

    Returns:
        schedule(step) -> rate.

    Raises:
        ValueError: for onecycle with fewer than 5 steps.
    """
    warm = min(config.warmup, steps // 2)
    if config.schedule == "onecycle":
        if steps < 5:
            raise ValueError(f"`schedule` onecycle needs 5 steps or more, the run has {steps}")
        shape = optax.cosine_onecycle_schedule(max(steps - 1, 1), config.lr, 0.3, 25.0, 1e4)
    elif config.schedule == "cosine":
        shape = optax.warmup_cosine_decay_schedule(0.0 if warm else config.lr, config.lr, warm, steps)
    else:
        rising = optax.linear_schedule(0.0, config.lr, warm) if warm else optax.constant_schedule(config.lr)
        shape = optax.join_schedules([rising, optax.constant_schedule(config.lr)], [warm])
    if not frozen:
        return shape
    return lambda step: shape(step) * jnp.where(jnp.asarray(step) < frozen, 1.0, config.thaw_lr)


def sweep(first: float, last: float, steps: int) -> optax.Schedule:
    """Return the schedule of a learning-rate sweep, in equal factors.

    Args:
        first: the rate at step 0.
        last: the rate at the last step.
        steps: of the sweep.

    Returns:
        schedule(step) -> rate.
    """
    return lambda step: first * (last / first) ** (step / max(steps - 1, 1))


def _adamw(config: Config, schedule: optax.Schedule, frozen: int) -> optax.GradientTransformation:
    """AdamW, of one rate; or by part, where the backbone's differs. A frozen backbone's moments begin when it thaws."""
    if not frozen and config.backbone_lr == 1:
        return optax.adamw(schedule, weight_decay=config.weight_decay, mask=kernels)
    moments = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(config.weight_decay, mask=_kernels_in_part))
    still = (
        optax.transforms.conditionally_mask(moments, lambda step, **_: jnp.asarray(step) >= frozen)
        if frozen
        else moments
    )
    slow = optax.scale_by_learning_rate(lambda step: config.backbone_lr * schedule(step))
    parts: Mapping[Hashable, optax.GradientTransformation] = {
        "backbone": optax.chain(still, slow),
        "rest": optax.chain(moments, optax.scale_by_learning_rate(schedule)),
    }
    return optax.transforms.partition(
        parts, lambda params: {n: "backbone" if n == "backbone" else "rest" for n in params}
    )


def _kernels_in_part(params) -> object:
    """As `kernels`, for a tree from which the other part is masked."""

    def decays(path, leaf):
        return not isinstance(leaf, optax.MaskedNode) and getattr(path[-1], "key", "") == "kernel"

    return jax.tree_util.tree_map_with_path(decays, params, is_leaf=lambda n: isinstance(n, optax.MaskedNode))


def make(
    config: Config, steps: int, steps_per_epoch: int, schedule: optax.Schedule | None = None
) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer: clip -> AdamW -> plateau.

    Args:
        config: the run's.
        steps: of the run.
        steps_per_epoch: of the run.
        schedule: the head's rate by step, in place of the configuration's and its plateau; None: that one.

    Returns:
        the transformation; its `update` needs `value=`, the loss of the batch.

    Raises:
        ValueError: as `rate`.
    """
    frozen = frozen_steps(config, steps_per_epoch)
    parts = [optax.clip_by_global_norm(config.clip)] if config.clip else []
    parts.append(_adamw(config, schedule or rate(config, steps, frozen), frozen))
    if config.schedule == "plateau" and schedule is None:
        patience = max(_LEAST_PATIENCE, round(config.plateau_patience * steps_per_epoch))
        parts.append(plateau(config.plateau_factor, patience, patience))
    return optax.with_extra_args_support(optax.chain(*parts))


def current_rate(schedule: optax.Schedule, state, step: jax.Array) -> jax.Array:
    """Return the head's rate that a step was taken with.

    Args:
        schedule: what the optimizer follows.
        state: the optimizer's (of `make`) after the step.
        step: i32[], the number of the step, from 0.

    Returns:
        f32[].
    """
    base = jnp.asarray(schedule(step), jnp.float32)
    found = [s for s in jax.tree.leaves(state, is_leaf=_is_plateau) if _is_plateau(s)]
    return base * found[0].inner.scale if found else base


def _is_plateau(state) -> bool:
    return isinstance(state, PlateauState)


def averaged(decay: float, average, value, step: jax.Array):
    """Return the moving average of a tree after a step.

    Its decay is min(decay, (1 + step) / (10 + step)), so that the random start is soon forgotten
    (tf.train.ExponentialMovingAverage's num_updates).

    Args:
        decay: 0..1.
        average: a pytree, the average before.
        value: the same tree after the step.
        step: i32[], the number of the step, from 0.

    Returns:
        the same tree; what does not change keeps its bits.
    """
    d = jnp.minimum(decay, (1.0 + step) / (10.0 + step)).astype(jnp.float32)
    return jax.tree.map(lambda a, v: a + (1 - d) * (v - a), average, value)  # what does not change keeps its bits
