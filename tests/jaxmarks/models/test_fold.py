"""Weights folded for inference: the same points as unfolded, whatever the statistics; and what a network without folding does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxmarks import models
from jaxmarks.models import inception, ops
from jaxmarks.models.fold import fold
from jaxmarks.training import sharding
from tests.jaxmarks.training.test_precision import Small
from tests.tiny import LINEAR, NORMED

RANGES = {"scale": (-1.5, 1.5), "var": (0.01, 2.0), "bias": (-0.5, 0.5), "mean": (-0.5, 0.5)}


def at_random(tree: dict, seed: int) -> dict:
    """The tree with norms and statistics drawn: scales of both signs, variances down to where epsilon counts."""
    random = np.random.RandomState(seed)

    def leaf(path, value):
        low, high = RANGES.get(path[-1].key, (0, 0))
        return random.uniform(low, high, value.shape).astype(np.float32) if high else np.asarray(value)

    return jax.tree_util.tree_map_with_path(leaf, tree)


@functools.cache
def weights(name: str, size: int) -> tuple[dict, dict]:
    made = jax.jit(models.build(name, 7).init, static_argnums=1)(jax.random.key(0), size)
    return at_random(made[0], 1), at_random(made[1], 2)


def pictures(size: int, count: int = 2) -> np.ndarray:
    return np.random.RandomState(size).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def difference(name: str, size: int, forms: ops.Ops | None, precision: str = "float32") -> float:
    """The largest between folded and unfolded, over the largest unfolded."""
    model, (params, stats) = models.build(name, 7, ops=forms, precision=precision), weights(name, size)
    expected, _ = jax.jit(model.apply, static_argnums=3)(params, stats, pictures(size), False)
    found = jax.jit(model.predict)(model.fold(params, stats), pictures(size))
    assert found.shape == expected.shape == (2, 7, 2) and found.dtype == jnp.float32
    assert float(jnp.std(expected)) > 0.01
    return float(jnp.abs(found - expected).max() / jnp.abs(expected).max())


@pytest.fixture
def small(monkeypatch) -> str:
    """The name under which two convolutions with norms can be built."""
    monkeypatch.setitem(models.NAMES, "small", lambda forms: Small(forms, name="backbone"))
    weights.cache_clear()
    return "small"


@pytest.mark.slow
@pytest.mark.parametrize("forms", [ops.PLAIN, None], ids=["plain", "chosen"])
@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 32), ("resnet18", 65), pytest.param("resnet50", 64, marks=pytest.mark.slow)]
)
def test_points_are_those_of_the_unfolded(name, size, forms):
    assert difference(name, size, forms) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("size", [75, 128])
@pytest.mark.parametrize("forms", [ops.PLAIN, ops.CPU], ids=["plain", "cpu"])
def test_points_of_inception_are_those_of_the_unfolded(size, forms):
    assert difference("inception_v3", size, forms) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_in_bfloat16_near(name):
    assert 0 < difference(name, 64, ops.CPU, "bfloat16") <= 3e-2


def test_small_in_bfloat16(small):
    assert 0 < difference(small, 32, ops.CPU, "bfloat16") <= 3e-2


@pytest.mark.parametrize("pool", [False, True])
def test_inceptions_block(pool):
    """Its epsilon, and the mean pool that stands between convolution and norm."""
    x = np.random.RandomState(3).normal(size=(2, 9, 9, 16)).astype(np.float32)
    forms = [ops.CPU, ops.CPU._replace(folded=True)]
    plain, folded = (inception.BasicConv(8, (1, 1), f, pool=pool) for f in forms)
    made = plain.init(jax.random.key(0), x, False)
    params, stats = at_random(made["params"], 1), at_random(made["batch_stats"], 2)
    expected = plain.apply({"params": params, "batch_stats": stats}, x, False)
    found = folded.apply({"params": fold(params, stats, 1e-3)}, x, False)
    wrong = folded.apply({"params": fold(params, stats, 1e-5)}, x, False)
    largest = float(jnp.abs(expected).max())
    assert float(jnp.abs(found - expected).max()) <= 1e-5 * largest < float(jnp.abs(wrong - expected).max())


def test_by_hand():
    """3x - 2 and then a norm of mean 4, variance 9 - epsilon, scale 6 and bias 1: 2 (y - 4) + 1."""
    params = {
        "conv1": {"kernel": np.full((1, 1, 1, 1), 3.0, np.float32)},
        "bn1": {"scale": [6.0], "bias": np.float32([1])},
    }
    found = fold(params, {"bn1": {"mean": [4.0], "var": [9 - 1e-3]}}, 1e-3)
    assert found["conv1"]["kernel"].item() == 6 and found["bn1"]["bias"].item() == -7 and set(found["bn1"]) == {"bias"}


@pytest.mark.slow
def test_what_is_left_of_a_network():
    """No statistics, no auxiliary head; types and places as they were; the weights themselves untouched."""
    shapes = jax.eval_shape(lambda: models.build("inception_v3", 7).init(jax.random.key(0), 299))
    params, stats = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    model = models.build("inception_v3", 7)
    folded = model.fold(params, stats)
    assert set(folded) == {"backbone", "head"} and "aux" in params
    assert all(
        isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(folded["backbone"])
    )
    names = [path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(folded)]
    assert set(names) == {"kernel", "bias"} and params["backbone"]["Conv2d_1a_3x3"]["conv"]["kernel"].max() == 1


def test_folded_weights_lie_where_the_parameters_do(small):
    mesh = sharding.mesh()
    model, placed = models.build(small, 7), sharding.replicate(mesh, weights(small, 32))
    for leaf in jax.tree.leaves(model.fold(*placed)):
        assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, PartitionSpec()), leaf.ndim)


def test_predict_rejects_what_apply_rejects(small):
    model = models.build(small, 7)
    folded = model.fold(*weights(small, 32))
    with pytest.raises(ValueError, match=r"image must be \[batch, size, size, 3\]"):
        model.predict(folded, np.zeros((2, 32, 31, 3), np.float32))
    with pytest.raises(ValueError, match="got uint8: convert it"):
        model.predict(folded, np.zeros((2, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("model", [LINEAR, NORMED])
def test_networks_without_folding_predict_by_apply(model):
    params, stats = model.init(jax.random.key(0), 32)
    folded = model.fold(params, stats)
    assert folded[0] is params and folded[1] is stats
    found = model.predict(folded, jnp.asarray(pictures(32)))
    np.testing.assert_array_equal(found, model.apply(params, stats, jnp.asarray(pictures(32)), False)[0])
