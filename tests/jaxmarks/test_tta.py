"""Views: what an oracle sees is mapped back, and merging is a weighted mean of what is valid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import inference, landmarks, models, transform, tta
from jaxmarks.models import units
from jaxmarks.training import sharding
from jaxmarks.types import Batch
from pipelines import synthetic
from pipelines.certificate import cases, points, reference
from pipelines.images import placement

SIZE = 96


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", tta.NAMES)
def test_an_oracle_is_recovered_under_every_set_of_views(name, known):
    if name == "flip" and not known:
        pytest.skip("refused")
    assert points.oracle(tta.views(name, known, SIZE), SIZE, tta.merge) < 1e-3


@pytest.mark.parametrize("name", tta.NAMES)
def test_an_oracle_in_place_of_the_network_is_mapped_back_through_the_forward_pass(name, random):
    scheme, views, count = landmarks.scheme(68), tta.views(name, True, SIZE), 4
    truth = random.uniform(-0.1 * SIZE, 1.1 * SIZE, (count, 68, 2))
    assert scheme.mirror is not None
    shown = np.stack(
        [[reference.move_points(t.affine, p, scheme.mirror) for t in reference.rows(views)] for p in truth]
    )
    answer = jnp.asarray(units.from_pixels(shown.reshape(-1, 68, 2), SIZE), jnp.float32)
    oracle = models.Model(lambda key, size: ({}, {}), lambda params, stats, pictures, train: (answer, stats))
    over = sharding.mesh()
    member = inference.Member(inference.make_network(oracle, scheme, SIZE, over), ({}, {}), views, over)
    canvases = [placement.place(synthetic.draw(n, faults=False).image, SIZE, 120) for n in range(count)]
    empty, frame = np.zeros(count), np.tile(np.eye(2, 3), (count, 1, 1))
    batch = Batch(
        image=np.stack([c.image for c in canvases]), points=empty, mask=empty, frame=frame, index=empty, draw=empty,
        fit=np.stack([c.fit for c in canvases]).astype(np.float32),
        extent=np.stack([c.extent for c in canvases]).astype(np.float32), diagonal=empty,
    )  # fmt: skip
    (found,) = inference.merged(inference.view_points([member], [[(batch, count)]]), np.ones(member.count))
    assert np.abs(found.points - truth).max() < 1e-3
    assert found.spread.max() < 1e-3


@pytest.fixture
def found(random):
    return jnp.asarray(random.uniform(0, SIZE, (4, 3, 5, 2)), jnp.float32)


VALID = np.ones((4, 3, 5), bool)


def test_only_the_proportions_of_weights_count(found):
    for once, twice in zip(
        tta.merge(found, jnp.ones(4), VALID), tta.merge(found, jnp.full(4, 2.0), VALID), strict=True
    ):
        assert np.array_equal(once, twice)
    each = tta.merge(found, jnp.broadcast_to(jnp.arange(4.0)[:, None], (4, 5)), VALID)[0]
    assert np.allclose(each, tta.merge(found, jnp.arange(4.0), VALID)[0], atol=1e-5)


def test_the_mean_and_the_spread_are_numpys(found):
    weights = np.array([0.5, 1.0, 0.0, 3.0])
    merged, spread = tta.merge(found, jnp.asarray(weights, jnp.float32), VALID)
    mean = np.average(np.asarray(found, np.float64), 0, weights)
    assert np.abs(merged - mean).max() < 1e-4
    squared = np.sum((np.asarray(found, np.float64) - mean) ** 2, -1)
    assert np.abs(spread - np.sqrt(np.average(squared, 0, weights))).max() < 1e-4


def test_a_view_of_no_weight_has_no_influence_not_even_by_nan(found):
    poisoned = found.at[2].set(jnp.nan)
    weights = jnp.array([1.0, 1.0, 0.0, 1.0])
    for a, b in zip(tta.merge(poisoned, weights, VALID), tta.merge(found, weights, VALID), strict=True):
        assert np.array_equal(a, b)
    invalid = VALID.copy()
    invalid[2] = False
    for a, b in zip(tta.merge(poisoned, jnp.ones(4), invalid), tta.merge(found, weights, VALID), strict=True):
        assert np.allclose(a, b, atol=1e-5)


def test_where_no_view_is_valid_the_plain_one_is_given_and_flagged(found):
    nowhere = VALID.copy()
    nowhere[:, 1, 3] = False
    merged, spread = tta.merge(found, jnp.ones(4), nowhere)
    assert np.array_equal(merged[1, 3], found[0, 1, 3])
    assert np.argwhere(np.isnan(np.asarray(spread))).tolist() == [[1, 3]]


def test_views_mapped_and_looped_are_equal():
    views, picture = tta.views("standard", True, SIZE), jnp.asarray(synthetic.draw(0, faults=False).image[:SIZE, :SIZE])
    xy = jnp.asarray(cases.scattered(SIZE, 20))
    draw = jax.jit(lambda t: (transform.apply_image(t, picture, SIZE), transform.apply_points(t, xy, cases.swaps(20))))
    together = jax.jit(jax.vmap(draw))(views)
    for n in range(len(views.affine)):
        alone = draw(jax.tree.map(lambda leaf, n=n: leaf[n], views))
        for a, b, scale in zip(together, alone, (255, SIZE), strict=True):
            assert np.abs(a[n] - b).max() < 1e-5 * scale


def test_the_first_view_is_the_plain_one():
    for name in tta.NAMES:
        assert np.array_equal(tta.views(name, True, SIZE).affine[0], np.eye(2, 3))
    assert len(tta.view_configs("standard", True)) == len(tta.view_configs("standard", False)) == 8


def test_unknown_views_are_rejected_with_the_known_ones():
    with pytest.raises(ValueError, match="none, flip, standard"):
        tta.views("swirl", True, SIZE)
    with pytest.raises(ValueError, match="mirror"):
        tta.views("flip", False, SIZE)
