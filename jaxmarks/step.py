"""The training step: render, predict, trim, update. Pure, jitted, its batch spread over all devices.

Sharding is nowhere in it but in rendering: the batch arrives with its leading axis over the mesh and the state on every
device, so batch norm, trim band and loss are over the global batch by construction.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxmarks import affine, augment, keys, losses, metrics, optim, sharding, transform, units
from jaxmarks.config import Config
from jaxmarks.landmarks import Scheme
from jaxmarks.models import Model
from jaxmarks.types import Batch, Record, State


def make_render(key: jax.Array, config: Config, scheme: Scheme, over: Mesh) -> Callable:
    """render(batch) -> (f32[batch, size, size, 3], points f32[batch, points, 2]): the batch as the network sees it.

    A function of the root key and of each example's (epoch, position) alone.
    """
    settings = augment.configure(config.augment, scheme.mirror is not None)
    stream = keys.named(key, "augment")

    def one(canvas, points, fit, extent, draw):
        t = augment.sample(keys.at(stream, draw), settings, config.size)
        whole = transform.compose(transform.from_affine(fit), t)
        return transform.apply_image(whole, canvas, config.size, extent), transform.apply_points(
            t, points, scheme.mirror
        )

    mapped = sharding.over_examples(one, over)
    return lambda batch: mapped(batch.image, batch.points, batch.fit, batch.extent, batch.draw)


def checksum(images: jax.Array, points: jax.Array) -> jax.Array:
    """u32[]: of every bit of the pictures and points, in place; sums of integers, so no order can change it."""

    def words(array):
        bits = jax.lax.bitcast_convert_type(array, jnp.uint32).reshape(-1)
        return jnp.sum(
            bits * (jnp.uint32(2654435761) * (2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1)), dtype=jnp.uint32
        )

    return words(images) + 3 * words(points)


def _weights(config: Config, batch: Batch, scale: jax.Array) -> jax.Array:
    """f32[batch]: the factor on each photograph's residuals, by --loss-unit."""
    if config.loss_unit == "photo":
        return jnp.abs(affine.determinant(batch.frame.astype(jnp.float32))) ** -0.5
    if config.loss_unit == "face":
        return config.size / jnp.maximum(scale, 1e-3)
    return jnp.ones_like(scale)


def _keep_if_finite(new: State, old: State, finite: jax.Array) -> State:
    """The new state; from the first step that is not finite on, the old one, with that step latched."""
    good = finite & (old.bad_step < 0)
    kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)
    return kept._replace(bad_step=jnp.where(finite | (old.bad_step >= 0), old.bad_step, old.step))


def make_step(
    model: Model,
    tx: optax.GradientTransformationExtraArgs,
    key: jax.Array,
    config: Config,
    scheme: Scheme,
    steps: int,
    over: Mesh,
) -> Callable[[State, Batch], tuple[State, Record]]:
    """step(state, batch) -> (state, record), jitted; the state's buffers are donated."""
    render = make_render(key, config, scheme, over)
    loss = losses.NAMES[config.loss]

    def objective(params, stats, images, batch, target, scale):
        output, aux, stats = model.apply_both(params, stats, images, True)
        factor = units.LOSS_SCALE * _weights(config, batch, scale)[:, None, None]
        wanted = factor * units.from_pixels(target, config.size)
        each = loss(factor * output, wanted, batch.mask)
        value, kept = losses.trimmed_mean(each, config.trim_top, config.trim_keep, jnp.any(batch.mask, -1))
        if aux is not None:  # of the examples that the main loss keeps
            beside = jnp.where(kept, loss(factor * aux, wanted, batch.mask), 0)
            value += model.aux_weight * jnp.sum(beside) / jnp.maximum(jnp.sum(kept), 1)
        error = metrics.nme(units.to_pixels(output, config.size), target, batch.mask, scale)
        return value, (stats, each, kept, error)

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, batch: Batch) -> tuple[State, Record]:
        images, target = render(batch)
        scale = metrics.norm(target, batch.mask, scheme)
        (value, (stats, each, kept, error)), grads = jax.value_and_grad(objective, has_aux=True)(
            state.params, state.stats, images, batch, target, scale
        )
        labelled = jnp.any(batch.mask, -1)
        judged = jnp.where(jnp.any(labelled), value, jnp.nan)
        updates, opt = tx.update(grads, state.opt, state.params, value=judged)
        norm = optax.global_norm(grads)
        lr = optim.current_rate(config, steps, opt, state.step)
        new = State(state.step + 1, optax.apply_updates(state.params, updates), stats, opt, state.bad_step)
        nme = jnp.sum(error * labelled) / jnp.maximum(jnp.sum(labelled), 1)
        record = Record(value, nme, norm, lr, checksum(images, target), each, kept)
        return _keep_if_finite(new, state, jnp.isfinite(value) & jnp.isfinite(norm)), record

    return step


def stack(records: list[Record]) -> Record:
    """Records on the host, each field with a leading axis of steps: one fetch for all of them."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(records))
