"""Random keys, derived and never threaded: root -> named stream -> epoch -> position.

Every random number of a run is a function of the root key and of what it is for, so batches and draws
cannot depend on workers, devices or restarts, and the train state holds no key.
"""

import functools
import hashlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

IMPLEMENTATION = "threefry2x32"


def root(seed: int) -> jax.Array:
    """Return the typed root key of a run.

    Args:
        seed: a whole number of 0..2**32 - 1.

    Returns:
        a key of IMPLEMENTATION.

    Raises:
        ValueError: for a seed outside that range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie in 0..{2**32 - 1}, got {seed}")
    return jax.random.key(seed, impl=IMPLEMENTATION)


def named(key: jax.Array, name: str) -> jax.Array:
    """Return the key for one use: fold_in of the first four bytes of its name's sha256, big-endian.

    Args:
        key: a typed key.
        name: of the use; other names give independent keys.

    Returns:
        a typed key.
    """
    return jax.random.fold_in(key, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))


def at(stream: jax.Array, draw: jax.Array) -> jax.Array:
    """Return the key of one draw in a stream.

    Args:
        stream: a typed key.
        draw: i32[2], (epoch, position).

    Returns:
        a typed key.
    """
    return jax.random.fold_in(jax.random.fold_in(stream, draw[0]), draw[1])


def draws(start: int, count: int, length: int) -> np.ndarray:
    """Return the draws start, start + 1, ... over a set, across the ends of epochs.

    Args:
        start: number of the first draw, from 0.
        count: how many.
        length: number of examples in the set.

    Returns:
        i64[count, 2], (epoch, position).
    """
    g = np.arange(start, start + count)
    return np.stack([g // length, g % length], -1)


def order(stream: jax.Array, epoch: int, length: int) -> np.ndarray:
    """Return the epoch's permutation of a set, computed on the CPU.

    Args:
        stream: a typed key.
        epoch: from 0.
        length: number of examples in the set.

    Returns:
        i32[length].
    """
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        return np.asarray(jax.random.permutation(jax.random.fold_in(stream, epoch), jnp.arange(length)))


def weighted(stream: jax.Array, epoch: int, weights: np.ndarray) -> np.ndarray:
    """Return an epoch's examples when example i is to come weights[i] / mean(weights) times.

    Systematic sampling: each comes that often rounded down or up, the mean over epochs is exact, equal weights give
    each once.

    Args:
        stream: a typed key.
        epoch: from 0.
        weights: f64[length], not negative, some above 0.

    Returns:
        i64[length], ascending.
    """
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        offset = float(jax.random.uniform(jax.random.fold_in(stream, epoch))) + 2.0**-25
    total = np.cumsum(weights, dtype=np.float64)
    picked = np.searchsorted(total / total[-1] * len(weights), np.arange(len(weights)) + offset, side="right")
    return np.minimum(picked, np.flatnonzero(weights)[-1])


def ordering(root_key: jax.Array, length: int, weights: np.ndarray | None = None) -> Callable[[int], np.ndarray]:
    """Return the function that gives a run's examples by position in an epoch; it keeps the last few epochs.

    Args:
        root_key: the run's.
        length: number of examples in the set.
        weights: f64[length], how often each comes, in proportion; None: once.

    Returns:
        order(epoch) -> i32[length].
    """
    stream, chosen = named(root_key, "shuffle"), named(root_key, "weights")

    @functools.lru_cache(4)
    def in_epoch(epoch: int) -> np.ndarray:
        permuted = order(stream, epoch, length)
        return permuted if weights is None else weighted(chosen, epoch, weights)[permuted]

    return in_epoch


def to_json(key: jax.Array) -> dict:
    """Return a typed key as plain data.

    Args:
        key: a typed key.

    Returns:
        its implementation "impl" and its words "data".
    """
    return {"impl": str(jax.random.key_impl(key)), "data": np.asarray(jax.random.key_data(key)).tolist()}


def from_json(data: dict) -> jax.Array:
    """Return the typed key that `to_json` wrote.

    Args:
        data: of `to_json`.

    Returns:
        a typed key.
    """
    return jax.random.wrap_key_data(jnp.asarray(data["data"], jnp.uint32), impl=data["impl"])
