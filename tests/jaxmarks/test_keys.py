"""Keys are functions of names and places; orders and draws may never change without a reason."""

import jax
import numpy as np
import pytest

from jaxmarks import keys

pytestmark = pytest.mark.bits

GOLDEN = [[4, 6, 9, 5, 8, 7, 0, 1, 2, 3], [9, 2, 5, 8, 4, 6, 0, 1, 3, 7]]


def test_the_order_of_an_epoch_is_golden():
    """Changes only with JAX's permutation or this project's streams: then every saved run is another run."""
    stream = keys.named(keys.root(0), "shuffle")
    assert keys.order(stream, 0, 10).tolist() == GOLDEN[0]
    assert keys.order(stream, 1, 10).tolist() == GOLDEN[1]


def test_named_streams_differ_and_do_not_depend_on_each_other():
    root = keys.root(3)
    data = {name: tuple(jax.random.key_data(keys.named(root, name)).tolist()) for name in ("a", "b", "augment")}
    assert len(set(data.values())) == 3
    assert tuple(jax.random.key_data(keys.named(keys.root(3), "b")).tolist()) == data["b"]


def test_draws_cross_the_ends_of_epochs():
    np.testing.assert_array_equal(keys.draws(3, 4, 5), [[0, 3], [0, 4], [1, 0], [1, 1]])


def test_a_key_survives_json():
    key = keys.root(7)
    again = keys.from_json(keys.to_json(key))
    assert jax.random.key_data(again).tolist() == jax.random.key_data(key).tolist()
    assert again.dtype == key.dtype


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_rejected(seed):
    with pytest.raises(ValueError, match=r"seed must lie in 0\.\."):
        keys.root(seed)
