"""Training step in logical shards: the same bits on any number of devices or processes that share the shards.

The batch is cut into equal shards, example i in shard i * shards / batch. One compiled program computes a shard's losses and
another its gradient, for one device, and every device runs the same two for each of its shards; batch norm is over the
shard ("ghost" batch norm, Hoffer et al. 2017, arXiv:1705.08741). Sums over shards are one fixed binary tree, by programs that
only add: neighbours on a device first, then devices at distance 1, 2, 4, ..., which is the same tree. What judges the whole
batch, trim band, plateau and gradient norm, is computed by every device from the same numbers.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxmarks import backend, losses
from jaxmarks.models import Model
from jaxmarks.training import forward, sharding, step
from jaxmarks.training.forward import Objective
from jaxmarks.training.rendering import Rendered
from jaxmarks.training.update import make_update
from jaxmarks.types import Array, Batch, Record, State

Tree = Any


class Seen(NamedTuple):
    """What a shard's forward pass says of its examples."""

    each: jax.Array  # f32[examples]  the loss that is ranked and logged
    total: jax.Array  # f32[examples]  the loss that is trained on, with that of an auxiliary output
    nme: jax.Array  # f32[examples]
    labelled: jax.Array  # bool[examples]
    checksum: jax.Array  # u32[1]  of the shard's examples, at their place in the batch


def check(shards: int, batch: int, devices: int = 1) -> None:
    """Raise ValueError unless a batch can be cut into so many shards, and devices can share them.

    Args:
        shards: of a batch.
        batch: images a step.
        devices: how many share the shards.

    Raises:
        ValueError: with what fits.
    """
    if shards & (shards - 1):
        raise ValueError(f"`shards` must be a power of two, so that sums over them are one tree, got {shards}")
    if batch % shards or batch // shards < 2:
        raise ValueError(f"`shards` {shards} must divide `batch` {batch} into shards of two images or more")
    if shards % devices:
        fit = [1 << n for n in range(shards.bit_length()) if 1 << n <= devices]
        raise ValueError(
            f"{shards} shards cannot be shared by {devices} devices: use {' or '.join(map(str, fit))} of them"
            f"{f', or `shards` {devices}' if not devices & (devices - 1) else ''}"
        )


def make_step(
    model: Model,
    tx: optax.GradientTransformationExtraArgs,
    render: Callable[[Batch], Rendered],
    objective: Objective,
    schedule: optax.Schedule,
    size: int,
    *,
    shards: int,
    over: Mesh,
    ema: float = 0.0,
    frozen: int = 0,
) -> Callable[[State, Batch], tuple[State, Record]]:
    """Return the training step of a run in logical shards; the state's buffers are donated.

    Args:
        model: the network.
        tx: the optimizer, whose `update` takes `value=`, the loss of the batch.
        render: the batch as the network sees it, of `rendering.make_render`, for one device.
        objective: what is minimised.
        schedule: the head's rate by step that `tx` follows, for the record.
        size: side of the input in pixels.
        shards: of a batch; a power of two that the devices divide.
        over: the mesh; its devices may belong to several processes, each of which calls the step.
        ema: decay of the moving average, 0..1, where the state has one.
        frozen: in so many steps from 0 the backbone and all running statistics keep their bits.

    Returns:
        step(state, batch) -> (state, record): state replicated and batch split over the mesh; the record on one device of
        this process.
    """
    each_device = shards // over.size
    trims = (objective.trim_top, objective.trim_keep) != (0, 1)
    options = backend.compiler_options()
    reduced = _Reduction(over, objective)
    update = make_update(tx, schedule, ema)

    def look(train: bool, params: dict, stats: dict, batch: Batch, first: Array) -> tuple[Seen, dict, Callable]:
        shown = render(batch)
        factor = forward.loss_factor(objective.unit, size, batch.frame, shown.norm)
        moving = params if train else {name: part for name, part in params.items() if name != "backbone"}

        def of(some: dict) -> tuple[jax.Array, forward.Outcome]:
            seen = forward.outcome(model, objective, size, {**params, **some}, stats, shown, factor, train)
            return seen.each if seen.beside is None else seen.each + model.aux_weight * seen.beside, seen

        total, pull, seen = jax.vjp(of, moving, has_aux=True)
        labelled = jnp.any(shown.mask, -1)
        checksum = forward.checksum(shown.images, shown.points, first)[None]
        return Seen(seen.each, total, seen.nme, labelled, checksum), seen.stats, pull

    def gradient(pull: Callable, kept: jax.Array) -> dict:
        return pull(kept.astype(jnp.float32))[0]

    def look_and_gradient(
        train: bool, params: dict, stats: dict, batch: Batch, first: Array
    ) -> tuple[Seen, dict, dict]:
        seen, moved, pull = look(train, params, stats, batch, first)
        return seen, moved, gradient(pull, seen.labelled)

    def finish(state: State, sums: tuple[dict, dict], seen: Seen, kept: jax.Array) -> tuple[State, Record]:
        count = jnp.maximum(jnp.sum(kept), 1)
        grads, stats = jax.tree.map(lambda g: g / count, sums[0]), jax.tree.map(lambda s: s / shards, sums[1])
        grads = {**jax.tree.map(jnp.zeros_like, {n: p for n, p in state.params.items() if n not in grads}), **grads}
        loss = jnp.sum(jnp.where(kept, seen.total, 0)) / count
        new, grad_norm, lr = update(state, grads, stats, loss, jnp.any(seen.labelled))
        nme = jnp.sum(seen.nme * seen.labelled) / jnp.maximum(jnp.sum(seen.labelled), 1)
        return new, Record(loss, nme, grad_norm, lr, jnp.sum(seen.checksum, dtype=jnp.uint32), seen.each, kept)

    take = jax.jit(finish, donate_argnums=0, compiler_options=options)
    pulled = jax.jit(gradient, compiler_options=options)  # not donated: what it keeps may be the parameters themselves
    cut = jax.jit(_cut, static_argnums=1)

    def compiled(train: bool) -> Callable[[State, Batch], tuple[State, Record]]:
        # where nothing is trimmed, what is kept is known before: one program, a tenth faster on a CPU than two
        looked = jax.jit(partial(look if trims else look_and_gradient, train), compiler_options=options)

        def train_step(state: State, batch: Batch) -> tuple[State, Record]:
            states, pieces = _apart(over, state), [cut(part, each_device) for part in _apart(over, batch)]
            firsts = _first_rows(over, batch.index.shape[0], shards)
            seen, stats, grads = ([[] for _ in states] for _ in range(3))
            for number in range(each_device):
                for at, (mine, piece) in enumerate(zip(states, pieces, strict=True)):
                    told, moved, slope = looked(mine.params, mine.stats, piece[number], firsts[at][number])
                    seen[at].append(told)
                    stats[at].append(moved)
                    grads[at].append(slope)
            known = reduced.seen(seen)
            if trims:  # until now they are functions of what is kept
                grads = [
                    [pulled(pull, kept) for pull, kept in zip(mine, cut(own, each_device), strict=True)]
                    for mine, own in zip(grads, known.own, strict=True)
                ]
            sums = reduced.sums([_tree_sum(list(zip(*each, strict=True))) for each in zip(grads, stats, strict=True)])
            done = [take(*each) for each in zip(states, sums, known.seen, known.kept, strict=True)]
            return _together(over, [new for new, _ in done]), done[0][1]

        return train_step

    return step.unfreezing(frozen, compiled(train=False), compiled(train=True)) if frozen else compiled(train=True)


def _cut(tree: Tree, count: int) -> list:
    """A tree of arrays with a leading axis in `count` equal pieces, in order."""
    return [jax.tree.map(lambda leaf, n=n: leaf.reshape(count, -1, *leaf.shape[1:])[n], tree) for n in range(count)]


@jax.jit
def _added(one: Tree, other: Tree) -> Tree:
    return jax.tree.map(jnp.add, one, other)


def _tree_sum(trees: list) -> Tree:
    """The sum of a power of two of trees: of neighbours, then of their sums, and so on."""
    while len(trees) > 1:
        trees = [_added(trees[n], trees[n + 1]) for n in range(0, len(trees), 2)]
    return trees[0]


class _Known(NamedTuple):
    """What the devices know of the whole batch, a list over the devices of this process."""

    seen: list[Seen]  # of all examples
    kept: list[jax.Array]  # bool[batch]
    own: list[jax.Array]  # bool[batch / devices], the device's share of `kept`


class _Reduction:
    """The two programs that cross devices: the gathering of what shards say, and the sum of their gradients."""

    def __init__(self, over: Mesh, objective: Objective):
        self._over, self._band = over, (objective.trim_top, objective.trim_keep)
        whole, split = PartitionSpec(), sharding.DATA
        self._gather = jax.jit(
            jax.shard_map(self._gathered, mesh=over, in_specs=split, out_specs=(whole, whole, split), check_vma=False)
        )
        self._sum = jax.jit(
            jax.shard_map(self._summed, mesh=over, in_specs=split, out_specs=whole, check_vma=False), donate_argnums=0
        )

    def _gathered(self, shards: list[Seen]) -> tuple[Seen, jax.Array, jax.Array]:
        local = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *shards)
        seen = jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, "data", tiled=True), local)
        _, kept = losses.trimmed_mean(seen.each, *self._band, seen.labelled)
        count = len(local.each)
        return seen, kept, jax.lax.dynamic_slice_in_dim(kept, jax.lax.axis_index("data") * count, count)

    def _summed(self, tree: Tree) -> Tree:
        distance = 1
        while distance < self._over.size:
            swap = [(n, n ^ distance) for n in range(self._over.size)]
            tree = jax.tree.map(lambda leaf, swap=swap: leaf + jax.lax.ppermute(leaf, "data", swap), tree)
            distance *= 2
        return jax.tree.map(lambda leaf: leaf[0], tree)

    def seen(self, shards: list[list[Seen]]) -> _Known:
        """Gather what each device's shards say, a list each."""
        found = self._gather(_together(self._over, shards, split=True))
        return _Known(*(_apart(self._over, part) for part in found))

    def sums(self, trees: list) -> list:
        """Return the sum over all devices of each one's tree, on each device."""
        if self._over.size == 1:
            return trees
        stacked = [_stacked(tree) for tree in trees]
        return _apart(self._over, self._sum(_together(self._over, stacked, split=True)))


@jax.jit
def _stacked(tree: Tree) -> Tree:
    """A tree with a leading axis of one: a device's place along the mesh."""
    return jax.tree.map(lambda leaf: leaf[None], tree)


@functools.cache
def _first_rows(over: Mesh, batch: int, shards: int) -> list[list[jax.Array]]:
    """The place in the batch of the first example of each shard, u32[], for each device of this process, on it."""
    each, mine = shards // over.size, _local(over)
    places = [place for place, device in enumerate(over.devices.flat) if device in mine]
    return [
        [jax.device_put(np.uint32((place * each + n) * (batch // shards)), device) for n in range(each)]
        for place, device in zip(places, mine, strict=True)
    ]


def _apart(over: Mesh, tree: Tree) -> list:
    """A tree of global arrays as one of arrays on a single device for each device of this process."""
    leaves, structure = jax.tree.flatten(tree)
    on = [{shard.device: _alone(shard.device, shard.data) for shard in leaf.addressable_shards} for leaf in leaves]
    return [jax.tree.unflatten(structure, [found[device] for found in on]) for device in _local(over)]


def _alone(device: Any, data: Any) -> jax.Array:
    """What a device holds, as an array of that device: of a mesh of one, JAX gives the global array, and would compile anew."""
    if isinstance(data.sharding, SingleDeviceSharding):
        return data
    return jax.make_array_from_single_device_arrays(data.shape, SingleDeviceSharding(device), [data])


def _together(over: Mesh, trees: list, *, split: bool = False) -> Tree:
    """Trees of arrays on each device of this process as one of global arrays: replicated, or `split` along their first axis."""
    where = NamedSharding(over, sharding.DATA if split else PartitionSpec())

    def joined(*parts: jax.Array) -> jax.Array:
        shape = (parts[0].shape[0] * over.size, *parts[0].shape[1:]) if split else parts[0].shape
        return jax.make_array_from_single_device_arrays(shape, where, list(parts))

    return jax.tree.map(joined, *trees)


def _local(over: Mesh) -> list:
    """The devices of the mesh that are this process's, in its order."""
    mine = set(over.local_devices)
    return [device for device in over.devices.flat if device in mine]
