"""The training step: render, predict, trim, update. Pure, jitted, its batch spread over all devices.

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
from jax.sharding import Mesh

from jaxmarks import affine, augment, backend, keys, losses, transform
from jaxmarks.config import Config
from jaxmarks.evaluation import metrics
from jaxmarks.landmarks import Scheme
from jaxmarks.models import Model, units
from jaxmarks.training import optimizer, sharding
from jaxmarks.types import Array, Batch, Record, State


def augment_key(key: jax.Array, draw: jax.Array) -> jax.Array:
    """The key that the draw i32[2] = (epoch, position) of the run with this root key is augmented with."""
    return keys.at(keys.named(key, "augment"), draw)


def make_render(key: jax.Array, config: Config, scheme: Scheme, over: Mesh) -> Callable:
    """render(batch) -> (f32[batch, size, size, 3], points f32[batch, points, 2]): the batch as the network sees it.

    A function of the root key and of each example's (epoch, position) alone.
    """
    render = _make_render(key, config, scheme, over)
    return lambda batch: render(batch)[:2]


def _make_render(key: jax.Array, config: Config, scheme: Scheme, over: Mesh) -> Callable:
    """As `make_render`, with a third: f32[batch], the area factor of each augmentation, negative where it mirrors."""
    settings = augment.configure(config.augment, scheme.mirror is not None)

    def drawn(points, fit, draw):
        t = augment.sample(augment_key(key, draw), settings, config.size)
        whole = transform.compose(transform.from_affine(fit), t)
        return whole, transform.apply_points(t, points, scheme.mirror), affine.determinant(t.affine)

    def rendered(image, points, fit, extent, draw):
        whole, moved, area = jax.vmap(drawn)(points, fit, draw)
        return transform.apply_images(whole, image, jnp.arange(len(image)), config.size, extent), moved, area

    over_devices = sharding.over_batches(rendered, over)
    return lambda batch: over_devices(batch.image, batch.points, batch.fit, batch.extent, batch.draw)


def _labelled(mask: jax.Array, area: jax.Array, mirror: np.ndarray | None) -> jax.Array:
    """bool[b, points]: which points of the rendered batch are labelled: where it is mirrored, they changed names."""
    return mask if mirror is None else jnp.where((area < 0)[:, None], mask[:, jnp.asarray(mirror)], mask)


def _norms(batch: Batch, target: jax.Array, mask: jax.Array, area: jax.Array, scheme: Scheme) -> jax.Array:
    """f32[b]: NME's norm in pixels of the augmented input. What stands in for it is told from the labels as they are: a
    turned line has a box, and a validation would measure by another length."""
    whole = batch.diagonal * affine.scale(jnp.asarray(batch.frame, jnp.float32))
    instead = metrics.fallback(batch.points, batch.mask, scheme, whole)
    return metrics.norm(target, mask, scheme, whole * jnp.sqrt(jnp.abs(area)), instead)


def checksum(images: jax.Array, points: jax.Array) -> jax.Array:
    """u32[]: of every bit of the images and points, in place; sums of integers, so no order can change it."""

    def words(array):
        bits = jax.lax.bitcast_convert_type(array, jnp.uint32).reshape(-1)
        return jnp.sum(
            bits * (jnp.uint32(2654435761) * (2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1)), dtype=jnp.uint32
        )

    return words(images) + 3 * words(points)


def factor_of(config: Config, frame: Array, scale: Array) -> jax.Array:
    """f32[b]: the factor on each image's residuals in head units, by --loss-unit.

    frame [b, 2, 3]: image -> input; scale f32[b]: the face's norm in input pixels.
    """
    return units.LOSS_SCALE * _unit(config, frame, scale)


def _unit(config: Config, frame: Array, scale: Array) -> jax.Array:
    if config.loss_unit == "photo":
        return jnp.abs(affine.determinant(jnp.asarray(frame, jnp.float32))) ** -0.5
    if config.loss_unit == "face":
        return config.size / jnp.maximum(scale, 1e-3)
    return jnp.ones_like(scale)


def _keep_if_finite(update: Callable[[State], State], old: State, finite: jax.Array) -> State:
    """The updated state; from the first step that is not finite on, the old one, with that step latched."""
    good = finite & (old.bad_step < 0)
    if backend.is_cpu():  # in place; a choice element by element copies weights and moments first
        kept = jax.lax.cond(good, update, lambda state: state, old)
    else:
        kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), update(old), old)
    return kept._replace(bad_step=jnp.where(finite | (old.bad_step >= 0), old.bad_step, old.step))


def _parts(batch_like, count: int):
    """Leaves [b, ...] as [count, b / count, ...]; example i goes to part i mod count, so that no device has to send any."""
    return jax.tree.map(lambda a: a.reshape(a.shape[0] // count, count, *a.shape[1:]).swapaxes(0, 1), batch_like)


def _joined(parts):
    """The inverse of `_parts`."""
    return jax.tree.map(lambda a: a.swapaxes(0, 1).reshape(-1, *a.shape[2:]), parts)


class _Seen(NamedTuple):
    """What a batch, or a part of one, gives: the sum over its kept examples' gradients among it."""

    loss: jax.Array  # f32[]  mean over the kept
    grads: dict
    stats: dict
    each: jax.Array
    kept: jax.Array
    error: jax.Array  # f32[b]  NME


def _make_see(model: Model, config: Config) -> Callable:
    """see(params, stats, data, frozen) -> _Seen; frozen: the gradient is the head's, all running statistics stand still.

    data: (images, target, mask, factor on the residuals f32[b], NME's norm f32[b]).
    """
    loss = losses.NAMES[config.loss]

    def objective(trained, fixed, stats, data, train):
        images, target, mask, factor, scale = data
        output, aux, stats = model.apply_both({**trained, **fixed}, stats, images, train)
        factor = factor[:, None, None]
        wanted = factor * units.from_pixels(target, config.size)
        each = loss(factor * output, wanted, mask)
        value, kept = losses.trimmed_mean(each, config.trim_top, config.trim_keep, jnp.any(mask, -1))
        if aux is not None:  # of the examples that the main loss keeps
            beside = jnp.where(kept, loss(factor * aux, wanted, mask), 0)
            value += model.aux_weight * jnp.sum(beside) / jnp.maximum(jnp.sum(kept), 1)
        error = metrics.nme(units.to_pixels(output, config.size), target, mask, scale)
        return value, (stats, each, kept, error)

    def see(params, stats, data, frozen: bool) -> _Seen:
        fixed = {"backbone": params["backbone"]} if frozen else {}
        trained = {name: part for name, part in params.items() if name not in fixed}
        slope = jax.value_and_grad(objective, has_aux=True)
        (value, (stats, each, kept, error)), grads = slope(trained, fixed, stats, data, not frozen)
        return _Seen(value, {**grads, **jax.tree.map(jnp.zeros_like, fixed)}, stats, each, kept, error)

    return see


def _make_gradient(model: Model, config: Config) -> Callable:
    """gradient(params, stats, data, frozen) -> _Seen of a whole batch, seen in `config.accumulate` parts."""
    see = _make_see(model, config)
    if config.accumulate == 1:
        return see

    def gradient(params, stats, data, frozen: bool) -> _Seen:
        def one(carry, part):
            stats, total, grads = carry
            seen = see(params, stats, part, frozen)
            count = jnp.sum(seen.kept)
            summed = jax.tree.map(lambda a, g: a + count * g, grads, seen.grads)
            return (seen.stats, total + count * seen.loss, summed), (seen.each, seen.kept, seen.error)

        begin = stats, jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
        data = _parts(data, config.accumulate)
        # unrolled on a CPU: within a loop XLA's convolutions are ten times slower there
        carry, parts = jax.lax.scan(one, begin, data, unroll=backend.is_cpu())
        each, kept, error = _joined(parts)
        stats, total, grads = carry
        count = jnp.maximum(jnp.sum(kept), 1)
        return _Seen(total / count, jax.tree.map(lambda g: g / count, grads), stats, each, kept, error)

    return gradient


def make_step(
    model: Model,
    tx: optax.GradientTransformationExtraArgs,
    key: jax.Array,
    config: Config,
    scheme: Scheme,
    steps: int,
    over: Mesh,
    *,
    frozen: int = 0,
    schedule: optax.Schedule | None = None,
) -> Callable[[State, Batch], tuple[State, Record]]:
    """step(state, batch) -> (state, record), jitted; the state's buffers are donated.

    frozen: in so many steps from 0 the backbone and all running statistics stand still. schedule: what `tx` follows,
    for the record; by default the configuration's.
    """
    render, gradient = _make_render(key, config, scheme, over), _make_gradient(model, config)
    schedule = schedule or optimizer.rate(config, steps, frozen)

    def step(still: bool, state: State, batch: Batch) -> tuple[State, Record]:
        images, target, area = render(batch)
        mask = _labelled(batch.mask, area, scheme.mirror)
        scale = _norms(batch, target, mask, area, scheme)
        data = images, target, mask, factor_of(config, batch.frame, scale), scale
        seen = gradient(state.params, state.stats, data, still)
        labelled = jnp.any(batch.mask, -1)
        judged = jnp.where(jnp.any(labelled), seen.loss, jnp.nan)
        norm = optax.global_norm(seen.grads)

        def update(old: State) -> State:
            updates, opt = tx.update(seen.grads, old.opt, old.params, value=judged)
            params = optax.apply_updates(old.params, updates)
            ema = (
                old.ema if old.ema is None else optimizer.averaged(config.ema, old.ema, (params, seen.stats), old.step)
            )
            return State(old.step + 1, params, seen.stats, opt, old.bad_step, ema)

        new = _keep_if_finite(update, state, jnp.isfinite(seen.loss) & jnp.isfinite(norm))
        lr = optimizer.current_rate(schedule, new.opt, state.step)
        nme = jnp.sum(seen.error * labelled) / jnp.maximum(jnp.sum(labelled), 1)
        record = Record(seen.loss, nme, norm, lr, checksum(images, target), seen.each, seen.kept)
        return new, record

    options = backend.compiler_options()
    moving, still = (jax.jit(partial(step, k), donate_argnums=0, compiler_options=options) for k in (False, True))
    if not frozen:
        return moving
    # chosen between steps: under a condition within one XLA's convolutions are twenty times slower on a CPU
    return lambda state, batch: (still if int(state.step) < frozen else moving)(state, batch)


def stack(records: list[Record]) -> Record:
    """Records on the host, each field with a leading axis of steps: one fetch for all of them."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *jax.device_get(records))
