"""Losses against PyTorch, the trim band against NumPy and against what is written about it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import losses


def _pair(random, batch=7, points=5):
    return (3 * random.randn(2, batch, points, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "reference"), [("l2", "mse_loss"), ("l1", "l1_loss"), ("smooth_l1", "smooth_l1_loss")]
)
def test_equals_pytorch_for_each_example(random, name, reference):
    torch = pytest.importorskip("torch")
    prediction, target = _pair(random)
    expected = getattr(torch.nn.functional, reference)(torch.tensor(prediction), torch.tensor(target), reduction="none")
    np.testing.assert_allclose(losses.NAMES[name](prediction, target), expected.mean((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("name", losses.NAMES)
def test_a_mask_leaves_points_out_even_where_they_are_not_numbers(random, name):
    prediction, target = _pair(random)
    mask = random.rand(7, 5) < 0.6
    mask[:, 0] = True
    target[~mask] = np.nan
    found = losses.NAMES[name](prediction, target, mask)
    for i in range(7):
        alone = losses.NAMES[name](prediction[i : i + 1, mask[i]], target[i : i + 1, mask[i]])
        np.testing.assert_allclose(found[i], alone[0], rtol=1e-6)
    slope = jax.grad(lambda p: losses.NAMES[name](p, target, mask).sum())(jnp.asarray(prediction))
    assert np.isfinite(slope).all() and not np.asarray(slope)[~mask].any() and np.asarray(slope)[mask].any()


def test_the_gradient_of_an_unlabelled_point_is_zero(random):
    prediction, target = _pair(random)
    mask = np.ones((7, 5), bool)
    mask[3] = False
    gradient = jax.grad(lambda p: jnp.sum(losses.smooth_l1(p, target, mask)))(prediction)
    assert np.all(gradient[3] == 0) and np.all(np.isfinite(gradient))


def _numpy_band(values, valid, first, last):
    """Ranks first <= r < last of the valid examples, worst first, ties by place."""
    ranked = sorted(np.flatnonzero(valid), key=lambda i: (-values[i], i))
    kept = np.zeros(len(values), bool)
    kept[ranked[first:last]] = True
    return kept


@pytest.mark.parametrize(
    ("drop", "keep", "count", "expected"),
    [
        (0.01, 0.3, 100, (1, 30)),  # 1 % of 100 is one example, exactly
        (0.01, 0.3, 32, (0, 10)),  # and of 32 none
        (0.3, 0.7, 10, (3, 7)),  # 0.3 * 10 is over 3 in binary, and must not be
        (0.29, 0.3, 2, (0, 1)),  # at least one stays
        (0.0, 1.0, 5, (0, 5)),
        (0.9, 1.0, 1, (0, 1)),
    ],
)
def test_the_band_is_exact_in_decimals(drop, keep, count, expected):
    assert losses.band(drop, keep, count) == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_trimmed_mean_equals_numpys(seed):
    random = np.random.RandomState(seed)
    values = random.randint(0, 9, 33).astype(np.float32)  # with ties
    valid = random.rand(33) < 0.7
    first, last = losses.band(0.05, 0.4, int(valid.sum()))
    mean, kept = jax.jit(lambda v, m: losses.trimmed_mean(v, 0.05, 0.4, m))(values, valid)
    expected = _numpy_band(values, valid, first, last)
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_allclose(mean, values[expected].mean(), rtol=1e-6)


def test_without_a_valid_example_the_mean_is_zero_and_nothing_is_kept():
    mean, kept = losses.trimmed_mean(jnp.array([1.0, jnp.nan]), 0.0, 1.0, jnp.zeros(2, bool))
    assert mean == 0 and not kept.any()


def test_only_kept_examples_have_a_gradient():
    values = jnp.array([5.0, 4.0, 3.0, 2.0, 1.0])
    gradient = jax.grad(lambda v: losses.trimmed_mean(v, 0.2, 0.6)[0])(values)
    np.testing.assert_allclose(gradient, [0, 0.5, 0.5, 0, 0])


@pytest.mark.parametrize("band", [(-0.1, 1), (0.5, 0.5), (0.6, 0.3), (0, 1.1)])
def test_a_band_that_is_none_is_rejected(band):
    with pytest.raises(ValueError, match="0 <= `trim_top` < `trim_keep` <= 1"):
        losses.trimmed_mean(jnp.ones(4), *band)


def _wing_by_hand(residual: float, width: float = 10.0, curve: float = 2.0) -> float:
    if abs(residual) < width:
        return width * math.log(1 + abs(residual) / curve)
    return abs(residual) - (width - width * math.log(1 + width / curve))


def _soft_wing_by_hand(residual: float) -> float:
    if abs(residual) < 2:
        return abs(residual)
    return 20 * math.log(1 + abs(residual) / 0.5) + 2 - 20 * math.log(1 + 2 / 0.5)


@pytest.mark.parametrize(("name", "by_hand"), [("wing", _wing_by_hand), ("soft_wing", _soft_wing_by_hand)])
def test_the_wings_equal_their_papers_one_number_at_a_time(random, name, by_hand):
    prediction, target = 5 * _pair(random)  # on both sides of every corner
    found = losses.NAMES[name](prediction, target)
    for i in range(7):
        each = [by_hand(float(r)) for r in np.ravel(prediction[i].astype(np.float64) - target[i])]
        np.testing.assert_allclose(found[i], sum(each) / len(each), rtol=1e-5)


def test_enme_is_wings_curve_over_the_mean_distance(random):
    prediction, target = _pair(random)
    for i, found in enumerate(losses.enme(prediction, target)):
        distances = [math.dist(p, t) for p, t in zip(prediction[i].tolist(), target[i].tolist(), strict=True)]
        np.testing.assert_allclose(found, _wing_by_hand(sum(distances) / 5), rtol=1e-5)


@pytest.mark.parametrize("name", losses.NAMES)
def test_a_perfect_prediction_costs_nothing_and_its_gradient_is_finite(name):
    points = np.ones((2, 5, 2), np.float32)
    assert float(losses.NAMES[name](points, points).sum()) < 1e-4
    assert np.isfinite(jax.grad(lambda p: losses.NAMES[name](p, points).sum())(points)).all()
