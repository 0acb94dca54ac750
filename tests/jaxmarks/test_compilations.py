"""Called without jit, as in a notebook, public functions compile once for a shape: what is made anew at each call is a function
that JAX has never seen, which costs a second and memory that is never given back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import augment, landmarks, losses, transform, tta

SIZE = 32
# Everything that a draw can hold: a filter before shrinking, a blur, colours, covers.
ALL = augment.parsing.parse([
    {"geometry": {"scale": [0.3, 0.9], "rotation": [-30, 30], "mirror": 0.5}}, {"blur": {"variance": [0, 9]}},
    {"colour": {"contrast": [0.5, 1.5]}}, {"cut_out": {}},
])  # fmt: skip


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The programs that JAX makes meanwhile, also those that it then finds in its cache on disk."""
    found: list[str] = []

    def note(event: str, duration: float, **about: str | int) -> None:
        if event.endswith("jaxpr_to_mlir_module_duration"):
            found.append(str(about.get("fun_name", event)))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def drawn(seed: int) -> transform.Transform:
    return augment.sample(jax.random.key(seed), ALL, SIZE)


def image(seed: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)


def batch(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.RandomState(seed).rand(*shape), jnp.float32)


MIRROR = landmarks.scheme(5).mirror
CALLS: dict[str, Callable[[int], object]] = {
    "sample": drawn,
    "identity": lambda seed: transform.identity(),
    "invert": lambda seed: transform.invert(drawn(seed)),
    "compose": lambda seed: transform.compose(drawn(seed), drawn(seed + 10)),
    "apply_points": lambda seed: transform.apply_points(drawn(seed), batch(seed, 5, 2), MIRROR),
    "apply_image": lambda seed: transform.apply_image(drawn(seed), image(seed), SIZE),
    "apply_image of floats": lambda seed: transform.apply_image(drawn(seed), image(seed).astype(np.float32), SIZE),
    "restore": lambda seed: transform.restore(drawn(seed), image(seed), SIZE),
    "trimmed_mean": lambda seed: losses.trimmed_mean(batch(seed, 8), 0.1, 0.9),
    "merge": lambda seed: tta.merge(batch(seed, 3, 2, 5, 2), jnp.ones(3), jnp.ones((3, 2, 5), bool)),
    **{
        name: lambda seed, loss=loss: loss(batch(seed, 8, 5, 2), batch(seed + 1, 8, 5, 2), batch(seed, 8, 5) > 0.5)
        for name, loss in losses.NAMES.items()
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_second_call_without_jit_compiles_nothing(name):
    CALLS[name](0)
    with compilations() as found:
        for seed in range(1, 4):
            jax.block_until_ready(CALLS[name](seed))
    assert not found


def test_a_function_that_is_made_at_each_call_is_counted():
    def call(x: jax.Array) -> jax.Array:
        return jax.lax.cond(x > 0, lambda y: y, lambda y: -y, x)

    call(jnp.float32(1))
    with compilations() as found:
        call(jnp.float32(2))
    assert found
