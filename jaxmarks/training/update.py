"""Update of a training step: from summed gradients to the next state, or the old one where a number is not finite."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmarks import backend
from jaxmarks.training import optimizer
from jaxmarks.types import Array, State


class Updated(NamedTuple):
    """A state after a step, and the numbers of the step that only the update knows."""

    state: State
    grad_norm: jax.Array  # f32[], before clipping
    lr: jax.Array  # f32[]


def make_update(
    tx: optax.GradientTransformationExtraArgs, schedule: optax.Schedule, ema: float
) -> Callable[..., Updated]:
    """Return the update of a run, not jitted.

    Args:
        tx: the optimizer, whose `update` takes `value=`, the loss of the batch.
        schedule: the head's rate by step that `tx` follows, for the record.
        ema: decay of the moving average, 0..1, where the state has one.

    Returns:
        update(state, grads, stats, loss f32[], any_labelled bool[]) -> Updated: grads as the parameters, of the mean loss;
        stats the running statistics after the batch; a batch without a label is no judgement for the plateau.
    """

    def update(state: State, grads: dict, stats: dict, loss: Array, any_labelled: Array) -> Updated:
        judged = jnp.where(any_labelled, loss, jnp.nan)
        grad_norm = optax.global_norm(grads)

        def moved(old: State) -> State:
            updates, opt = tx.update(grads, old.opt, old.params, value=judged)
            params = optax.apply_updates(old.params, updates)
            average = old.ema and optimizer.averaged(ema, old.ema, (params, stats), old.step)
            return State(old.step + 1, params, stats, opt, old.bad_step, average)

        new = _keep_if_finite(moved, state, jnp.isfinite(loss) & jnp.isfinite(grad_norm))
        return Updated(new, grad_norm, optimizer.current_rate(schedule, new.opt, state.step))

    return update


def _keep_if_finite(update: Callable[[State], State], old: State, finite: jax.Array) -> State:
    """The updated state; from the first step that is not finite on, the old one, with that step latched."""
    good = finite & (old.bad_step < 0)
    if backend.is_cpu():  # in place; a choice element by element copies weights and moments first
        kept = jax.lax.cond(good, update, lambda state: state, old)
    else:
        kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), update(old), old)
    return kept._replace(bad_step=jnp.where(finite | (old.bad_step >= 0), old.bad_step, old.step))
