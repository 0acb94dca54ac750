"""Sharding over one mesh axis, `data`: batches are split over it, the state is replicated."""

import math
from collections.abc import Callable

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxmarks import backend

DATA = PartitionSpec("data")


def mesh(devices: list | None = None) -> Mesh:
    """Return a mesh with the one axis `data`.

    Args:
        devices: what it holds; None: all devices.

    Returns:
        the mesh.
    """
    found = jax.devices() if devices is None else devices
    return jax.make_mesh((len(found),), ("data",), axis_types=(AxisType.Auto,), devices=found)


def check_batch(batch: int, devices: int, parts: int = 1) -> None:
    """Raise ValueError, with the nearest sizes that fit, unless the devices can share a batch evenly.

    Args:
        batch: images a step.
        devices: how many.
        parts: micro-batches that each device sees its share in.

    Raises:
        ValueError: where devices * parts does not divide the batch.
    """
    each = devices * parts
    if batch % each:
        low = batch - batch % each
        near = f"{low} or {low + each}" if low else f"{each}"
        raise ValueError(
            f"a batch of {batch} cannot be split over {devices} devices{f' in {parts} parts' if parts > 1 else ''}: use {near}"
        )


def mesh_dividing(batch: int) -> Mesh:
    """Return a mesh of as many devices as share a batch evenly: predictions do not depend on how many they are.

    Args:
        batch: images of a batch.

    Returns:
        the mesh.
    """
    found = jax.devices()
    return mesh(found[: math.gcd(batch, len(found))])


def split(over: Mesh, tree):
    """Return a tree on the devices, its leading axes split.

    Args:
        over: the mesh.
        tree: a pytree of arrays whose leading axes the devices divide.

    Returns:
        the tree.
    """
    return jax.device_put(tree, NamedSharding(over, DATA))


def replicate(over: Mesh, tree):
    """Return a tree whole on every device.

    Args:
        over: the mesh.
        tree: a pytree of arrays.

    Returns:
        the tree.
    """
    return jax.device_put(tree, NamedSharding(over, PartitionSpec()))


def over_batches(function: Callable, over: Mesh) -> Callable:
    """Return a function of examples that each device applies to its own examples.

    On a CPU within shard_map: a loop over examples outside of it would gather the whole batch to every device.

    Args:
        function: of pytrees of arrays with a leading axis of examples.
        over: the mesh.

    Returns:
        the same function.
    """
    if not backend.is_cpu():
        return function
    return jax.shard_map(function, mesh=over, in_specs=DATA, out_specs=DATA, check_vma=False)
