"""Sharding over one mesh axis, `data`: batches are split over it, the state is replicated."""

import math
from collections.abc import Callable

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxmarks import backend

DATA = PartitionSpec("data")


def mesh(devices: list | None = None) -> Mesh:
    """A mesh of all devices, or of those given."""
    found = jax.devices() if devices is None else devices
    return jax.make_mesh((len(found),), ("data",), axis_types=(AxisType.Auto,), devices=found)


def check_batch(batch: int, devices: int, parts: int = 1) -> None:
    """Raise ValueError, with the nearest sizes that fit, unless the devices can share the batch evenly, in `parts`."""
    each = devices * parts
    if batch % each:
        low = batch - batch % each
        near = f"{low} or {low + each}" if low else f"{each}"
        raise ValueError(
            f"a batch of {batch} cannot be split over {devices} devices{f' in {parts} parts' if parts > 1 else ''}: use {near}"
        )


def mesh_dividing(batch: int) -> Mesh:
    """A mesh of as many devices as share the batch evenly: predictions do not depend on how many they are."""
    found = jax.devices()
    return mesh(found[: math.gcd(batch, len(found))])


def split(over: Mesh, tree):
    """The tree on the devices, its leading axes split."""
    return jax.device_put(tree, NamedSharding(over, DATA))


def replicate(over: Mesh, tree):
    """The tree whole on every device."""
    return jax.device_put(tree, NamedSharding(over, PartitionSpec()))


def over_batches(function: Callable, over: Mesh) -> Callable:
    """`function` of arrays with a leading axis of examples, each device on its own examples.

    On a CPU within shard_map: a loop over examples outside of it would gather the whole batch to every device.
    """
    if not backend.is_cpu():
        return function
    return jax.shard_map(function, mesh=over, in_specs=DATA, out_specs=DATA, check_vma=False)
