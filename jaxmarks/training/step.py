"""Training step: render, forward, loss, trim, update, record. Pure and jitted, with the batch sharded over all devices.

Sharding is nowhere in it but in rendering: the batch arrives with its leading axis over the mesh and the state on every
device, so batch norm, trim band and loss are over the global batch by construction.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding

from jaxmarks import backend, losses
from jaxmarks.models import Model
from jaxmarks.training import forward
from jaxmarks.training.forward import Objective
from jaxmarks.training.rendering import Rendered
from jaxmarks.training.update import make_update
from jaxmarks.types import Batch, Record, State


class Seen(NamedTuple):
    """The results of a forward pass beside the loss."""

    stats: dict  # running statistics after it
    each: jax.Array  # f32[batch]  the loss of each example
    kept: jax.Array  # bool[batch]  within the trim band
    nme: jax.Array  # f32[batch]


def make_step(
    model: Model,
    tx: optax.GradientTransformationExtraArgs,
    render: Callable[[Batch], Rendered],
    objective: Objective,
    schedule: optax.Schedule,
    size: int,
    *,
    ema: float = 0.0,
    accumulate: int = 1,
    frozen: int = 0,
    out: NamedSharding | None = None,
) -> Callable[[State, Batch], tuple[State, Record]]:
    """Return the training step of a run, jitted; the state's buffers are donated.

    Args:
        model: the network.
        tx: the optimizer, whose `update` takes `value=`, the loss of the batch.
        render: the batch as the network sees it, of `rendering.make_render`.
        objective: what is minimised.
        schedule: the head's rate by step that `tx` follows, for the record.
        size: side of the input in pixels.
        ema: decay of the moving average, 0..1, where the state has one.
        accumulate: micro-batches that a batch is seen in; it divides the batch.
        frozen: in so many steps from 0 the backbone and all running statistics keep their bits.
        out: where state and record are left; None: as XLA has it. Over several processes they must be whole in each.

    Returns:
        step(state, batch) -> (state, record).
    """
    update = make_update(tx, schedule, ema)

    def loss_fn(params, stats, shown: Rendered, factor: jax.Array, train: bool) -> tuple[jax.Array, Seen]:
        stats, each, beside, nme = forward.outcome(model, objective, size, params, stats, shown, factor, train)
        labelled = jnp.any(shown.mask, -1)
        value, kept = losses.trimmed_mean(each, objective.trim_top, objective.trim_keep, labelled)
        if beside is not None:  # of the examples that the main loss keeps
            value += model.aux_weight * jnp.sum(jnp.where(kept, beside, 0)) / jnp.maximum(jnp.sum(kept), 1)
        return value, Seen(stats, each, kept, nme)

    def train_step(gradient: Callable, state: State, batch: Batch) -> tuple[State, Record]:
        shown = render(batch)
        factor = forward.loss_factor(objective.unit, size, batch.frame, shown.norm)
        (loss, seen), grads = gradient(state.params, state.stats, shown, factor)
        labelled = jnp.any(batch.mask, -1)
        new, grad_norm, lr = update(state, grads, seen.stats, loss, jnp.any(labelled))
        nme = jnp.sum(seen.nme * labelled) / jnp.maximum(jnp.sum(labelled), 1)
        shown_sum = forward.checksum(shown.images, shown.points)
        return new, Record(loss, nme, grad_norm, lr, shown_sum, seen.each, seen.kept)

    def compiled(gradient: Callable) -> Callable:
        step = partial(train_step, accumulated(gradient, accumulate))
        return jax.jit(step, donate_argnums=0, out_shardings=out, compiler_options=backend.compiler_options())

    moving = compiled(jax.value_and_grad(partial(loss_fn, train=True), has_aux=True))
    return unfreezing(frozen, compiled(of_head(partial(loss_fn, train=False))), moving) if frozen else moving


def of_head(loss_fn: Callable) -> Callable:
    """Return `jax.value_and_grad(loss_fn, has_aux=True)` with zeros for the gradient of the backbone.

    Args:
        loss_fn: loss_fn(params, *rest) -> (loss, aux), params with the part `backbone`.

    Returns:
        gradient(params, *rest) -> ((loss, aux), grads).
    """

    def gradient(params, *rest):
        moving = {name: part for name, part in params.items() if name != "backbone"}
        fixed = {"backbone": params["backbone"]}
        found, grads = jax.value_and_grad(lambda p: loss_fn({**p, **fixed}, *rest), has_aux=True)(moving)
        return found, {**grads, **jax.tree.map(jnp.zeros_like, fixed)}

    return gradient


def accumulated(gradient: Callable, count: int) -> Callable:
    """Return the gradient of a whole batch, seen in micro-batches.

    Running statistics pass from one to the next. Example i is in micro-batch i mod count, so that no device has to send
    any to another.

    Args:
        gradient: gradient(params, stats, *data) -> ((loss, Seen), grads).
        count: micro-batches; 1 gives `gradient` itself.

    Returns:
        the same function, of data whose leading axis `count` divides.
    """
    if count == 1:
        return gradient

    def cut(leaf):  # [b, ...] as [count, b / count, ...]
        return leaf.reshape(leaf.shape[0] // count, count, *leaf.shape[1:]).swapaxes(0, 1)

    def joined(leaf):  # its inverse
        return leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:])

    def whole(params, stats, *data):
        def one(carry, part):
            stats, total, summed = carry
            (loss, seen), grads = gradient(params, stats, *part)
            kept = jnp.sum(seen.kept)
            summed = jax.tree.map(lambda a, g: a + kept * g, summed, grads)
            return (seen.stats, total + kept * loss, summed), seen[1:]

        begin = stats, jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
        # unrolled on a CPU: within a loop XLA's convolutions are ten times slower there
        carry, parts = jax.lax.scan(one, begin, jax.tree.map(cut, data), unroll=backend.is_cpu())
        (stats, total, summed), seen = carry, Seen(carry[0], *map(joined, parts))
        kept = jnp.maximum(jnp.sum(seen.kept), 1)
        return (total / kept, seen), jax.tree.map(lambda g: g / kept, summed)

    return whole


def unfreezing(frozen: int, still: Callable, moving: Callable) -> Callable:
    """Return step(state, batch) that is one step at first and another after.

    Chosen between steps: under a condition within one XLA's convolutions are twenty times slower on a CPU. Steps are
    counted on the host; the state's own counter is read only where it is not the one that the last step gave.

    Args:
        frozen: `still` takes the steps 0 .. frozen - 1.
        still: step(state, batch), with a frozen backbone.
        moving: step(state, batch), of all parameters.

    Returns:
        step(state, batch) -> (state, record).
    """
    counter, number = None, 0

    def step(state: State, batch: Batch) -> tuple[State, Record]:
        nonlocal counter, number
        number = number + 1 if state.step is counter else int(state.step)
        after = (still if number < frozen else moving)(state, batch)
        counter = after[0].step
        return after

    return step


def stack(records: list[Record]) -> Record:
    """Return records on the host as one: one fetch for all of them.

    Args:
        records: of consecutive steps.

    Returns:
        each field with a leading axis of steps.
    """
    return jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(records))
