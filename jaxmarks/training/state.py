"""Train state: initialisation, and its digest."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmarks.types import State


def beginning(tx: optax.GradientTransformation, params, stats, averaged: bool = False) -> State:
    """Return step 0 of a run that begins with given weights.

    Args:
        tx: the optimizer.
        params: nested dicts of f32 arrays.
        stats: nested dicts of f32 arrays, the running statistics.
        averaged: whether a moving average of the weights is kept beside them.

    Returns:
        the state.
    """
    ema = (params, stats) if averaged else None
    return State(jnp.zeros((), jnp.int32), params, stats, tx.init(params), jnp.full((), -1, jnp.int32), ema)


def judged(state: State) -> tuple:
    """Return the weights that validation and prediction use: the moving averages where the run has them.

    Args:
        state: the state.

    Returns:
        (params, stats).
    """
    return (state.params, state.stats) if state.ema is None else state.ema


def flatten(state: State) -> dict[str, np.ndarray]:
    """Return the leaves of a state on the host.

    Args:
        state: the state.

    Returns:
        arrays by key path, sorted.
    """
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(state))
    return {path: leaf for path, leaf in sorted((jax.tree_util.keystr(p), np.asarray(leaf)) for p, leaf in leaves)}


class OtherNetworkError(ValueError):
    """A saved state is not that of this network or optimiser."""


def unflatten(template: State, leaves: dict[str, np.ndarray]) -> State:
    """Return the state that `flatten` took apart.

    Args:
        template: gives the structure and the shapes.
        leaves: arrays by key path.

    Returns:
        the state.

    Raises:
        OtherNetworkError: for missing, extra or misshapen leaves.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(p) for p, _ in paths]
    if set(names) != set(leaves):
        other = sorted(set(names) ^ set(leaves))
        raise OtherNetworkError(
            f"the saved state is of another network, optimiser or version: {len(other)} of its leaves differ, such as {other[0]}"
        )
    for name, (_, leaf) in zip(names, paths, strict=True):
        if leaves[name].shape != leaf.shape:
            raise OtherNetworkError(
                f"the saved state has {name} of shape {leaves[name].shape}, this network {leaf.shape}"
            )
    return jax.tree_util.tree_unflatten(structure, [leaves[name] for name in names])


def digest(leaves: dict[str, np.ndarray]) -> str:
    """Return the sha256 over the leaves sorted by path: path, dtype, shape, little-endian C bytes.

    Args:
        leaves: of `flatten`.

    Returns:
        hexadecimal.
    """
    total = hashlib.sha256()
    for path in sorted(leaves):
        leaf = np.ascontiguousarray(leaves[path])
        little = leaf.astype(leaf.dtype.newbyteorder("<"), copy=False)
        total.update(f"{path} {leaf.dtype.name} {leaf.shape}\n".encode())
        total.update(little.tobytes())
    return total.hexdigest()
