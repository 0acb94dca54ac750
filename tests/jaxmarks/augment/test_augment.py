"""Configurations: as data and back, checked when they are read, presets as they are written down."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import augment, keys
from jaxmarks.augment import parsing, samplers
from jaxmarks.augment.samplers import Blur, Colour, Geometry, OneOf


@pytest.mark.parametrize("name", augment.PRESETS)
def test_a_preset_survives_being_written_to_a_file(name):
    text = json.dumps(parsing.dump(augment.preset(name)))
    assert parsing.parse(json.loads(text)) == augment.preset(name)
    augment.check(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nope", "'nope' is not known: choose auto, none, recipe"),
        ("{a", "not JSON"),
        ("[3]", r"augment\[0\]: expected a preset, a list or an object, got 3"),
        ('{"geomtry": {}}', "'geomtry'.* is not an augmenter; known: identity, geometry"),
        ('[{"geometry": {"rot": 1}}]', r"augment\[0\].geometry: rot is not a field"),
        ('{"geometry": {"rotation": [20, -20]}}', "Geometry.rotation must lie in -360..360, the lower end first, got"),
        ('{"geometry": {"scale": 0}}', "Geometry.scale must lie in 0.1..10, got 0"),
        ('{"geometry": {"crop": [0, 1]}}', "Geometry.crop must lie in 0.1.."),
        ('{"geometry": {"rotation": NaN}}', "Geometry.rotation must lie in"),
        ('{"geometry": {"rotation": "x"}}', "Geometry.rotation must be a number or"),
        ('{"blur": {"variance": 10}}', "Blur.variance must lie in 0..9, got 10"),
        ('{"one_of": ["none"], "probabilities": [0.5]}', "must be 0 or more and sum to 1"),
        ('{"one_of": ["none", "light"], "probabilities": [1]}', "2 parts and 1 probabilities"),
        ('{"one_of": [], "probabilities": []}', "0 parts and 0 probabilities"),
        ('{"one_of": 3, "probabilities": [1]}', "must be lists"),
        ('{"sometimes": "light", "chance": 3}', "chance must lie in 0..1, got 3"),
    ],
)
def test_what_cannot_be_is_rejected_when_it_is_read(text, told):
    with pytest.raises(ValueError, match=told) as caught:
        augment.check(text)
    assert "\n" not in str(caught.value)


def test_auto_mirrors_only_where_the_permutation_is_known():
    assert augment.mirrors(augment.configure("auto", True))
    assert not augment.mirrors(augment.configure("auto", False))
    with pytest.raises(ValueError, match="how these points mirror is not known"):
        augment.configure("light", False)


def test_fixed_configurations_make_one_record_with_a_leading_axis():
    views = augment.fixed(
        [Geometry(), Geometry(rotation=30, mirror=1.0), samplers.Chain((Blur(1.0), Colour(contrast=2)))], 64
    )
    assert views.affine.shape == (3, 2, 3) and views.colour.shape == (3, 3, 4) and views.blur.tolist() == [0, 0, 1]
    np.testing.assert_allclose(views.affine[1] @ jnp.array([31.5, 31.5, 1]), [31.5, 31.5], atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        Geometry(rotation=(-1, 1)),
        Geometry(mirror=0.5),
        Geometry(crop=0.5),
        samplers.CutOut(),
        samplers.Caption(),
        augment.preset("light"),
    ],
)
def test_a_view_that_draws_is_rejected(config):
    with pytest.raises(ValueError, match="view 1 draws at random"):
        augment.fixed([Geometry(), config], 64)


def test_one_of_draws_its_parts_by_their_probabilities():
    config = OneOf((Blur(1.0), Blur(2.0), Blur(3.0)), (0.5, 0.2, 0.3))
    drawn = jax.vmap(lambda k: samplers.sample(k, config, 32).blur)(jax.random.split(keys.root(0), 5000))
    shares = [np.mean(drawn == v) for v in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.3], atol=0.03)
