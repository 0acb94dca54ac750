"""Sharding over one mesh axis, `data`: batches are split over it, the state is replicated."""

import math
from collections.abc import Callable

import jax
import numpy as np
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


def mesh_dividing(count: int) -> Mesh:
    """Return a mesh of as many devices of this process as share some images evenly: predictions do not depend on how many.

    Args:
        count: images of a batch, or shards.

    Returns:
        the mesh.
    """
    found = jax.local_devices()
    return mesh(found[: math.gcd(count, len(found))])


def split(over: Mesh, tree):
    """Return a tree on the devices, its leading axes split.

    Args:
        over: the mesh.
        tree: a pytree of arrays whose leading axes the devices divide; over several processes each gives its `own_rows`.

    Returns:
        the tree.
    """
    return _placed(NamedSharding(over, DATA), tree)


def replicate(over: Mesh, tree):
    """Return a tree whole on every device.

    Args:
        over: the mesh.
        tree: a pytree of arrays; over several processes the same in each.

    Returns:
        the tree.
    """
    return _placed(whole(over), tree)


def whole(over: Mesh) -> NamedSharding:
    """Return the sharding of what every device of a mesh has all of.

    Args:
        over: the mesh.

    Returns:
        the sharding.
    """
    return NamedSharding(over, PartitionSpec())


def _placed(where: NamedSharding, tree):
    if where.is_fully_addressable:
        return jax.device_put(tree, where)

    def placed(leaf):
        host = np.asarray(leaf)
        own = host.astype(jax.dtypes.canonicalize_dtype(host.dtype), copy=False)
        return jax.make_array_from_process_local_data(where, own, own.shape if where.spec == PartitionSpec() else None)

    return jax.tree.map(placed, tree)


def own_rows(over: Mesh, batch: int) -> range:
    """Return the rows of a batch that the devices of this process hold.

    Args:
        over: the mesh, the devices of a process side by side.
        batch: images of a batch, which the devices divide.

    Returns:
        all of them where there is one process.
    """
    mine = set(over.local_devices)
    places = [place for place, device in enumerate(over.devices.flat) if device in mine]
    each = batch // over.size
    return range(places[0] * each, (places[-1] + 1) * each)


def local(over: Mesh) -> Mesh:
    """Return the mesh of this process's devices alone.

    Args:
        over: the mesh.

    Returns:
        itself where there is one process.
    """
    return over if over.size == len(over.local_devices) else mesh(list(over.local_devices))


def over_batches(function: Callable, over: Mesh | None) -> Callable:
    """Return a function of examples that each device applies to its own examples.

    On a CPU within shard_map: a loop over examples outside of it would gather the whole batch to every device.

    Args:
        function: of pytrees of arrays with a leading axis of examples.
        over: the mesh; None: examples are on one device.

    Returns:
        the same function.
    """
    if over is None or not backend.is_cpu():
        return function
    return jax.shard_map(function, mesh=over, in_specs=DATA, out_specs=DATA, check_vma=False)
