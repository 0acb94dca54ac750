"""Draws are independent of each other and of everything but root key, use, epoch and position (CHECKS.md, Randomness)."""

import collections
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import augment, keys, landmarks, transform
from jaxmarks.augment.samplers import Caption, CutOut, Geometry, OneOf, sample
from jaxmarks.config import Config
from jaxmarks.training import rendering, sharding
from pipelines import loader
from pipelines.certificate import cases, draws, reference, table
from pipelines.synthetic import drawn

pytestmark = pytest.mark.bits

ROOT = keys.root(0)
PRESETS = ["recipe", pytest.param("strong", marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("name", draws.SOLVED)
def test_no_two_parameters_are_correlated(name):
    found = draws.drawn(name)
    worst, pair = draws.correlation(found)
    assert worst < table.BOUNDS["correlation of draws"][0], pair


RANGES = {
    "motion": {"rotation": (-45, 45), "scale": (0.7, 1.3), "stretch": (0.75, 1.33), "shear": (-0.15, 0.15),
               "shift_x": (-0.1, 0.1), "shift_y": (-0.1, 0.1)},
    "crop": {"crop": (0.6, 0.95), "crop_x": (0, 1), "crop_y": (0, 1), "side_view": (5, 60)},
    "colour": {"brightness": (-0.3, 0.3), "contrast": (0.5, 1.5), "saturation": (0.2, 1.8)},
    "tint": {"tint red": (-0.2, 0.2), "tint green": (-0.2, 0.2), "tint blue": (-0.2, 0.2)},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RANGES)
def test_each_parameter_fills_its_range_evenly(name):
    found = draws.drawn(name, 10_000)
    for parameter, (low, high) in RANGES[name].items():
        share = np.sort((found[parameter] - low) / (high - low))
        assert np.abs(share - np.linspace(0, 1, len(share))).max() < 0.02, (
            parameter
        )  # Kolmogorov and Smirnov's distance
    for chance in ("mirror", "grey"):
        if chance in found:
            assert abs(np.mean(found[chance] > 0.5) - 0.5) < 0.02


def test_a_mix_chooses_by_its_probabilities_and_whatever_it_draws():
    parts = (Geometry(rotation=(-45, 45)), Geometry(shift_x=(0.2, 0.4)), Geometry(scale=2.0))
    t = reference.record(cases.drawn(OneOf(parts, (0.5, 0.3, 0.2)), 64, 10_000))
    shifted, scaled = t.affine[:, 0, 2] > 10, t.affine[:, 0, 0] > 1.5
    turned = ~shifted & ~scaled | (np.abs(t.affine[:, 1, 0]) > 1e-6)
    assert np.abs([turned.mean() - 0.5, scaled.mean() - 0.2]).max() < 0.02
    angles = np.sort(np.rad2deg(np.arctan2(t.affine[:, 1, 0], t.affine[:, 0, 0]))[turned])
    assert (
        np.abs((angles + 45) / 90 - np.linspace(0, 1, len(angles))).max() < 0.03
    )  # the choice tells nothing of the angle


@pytest.mark.parametrize("name", augment.PRESETS)
def test_one_gather_is_rendered_whatever_the_number_of_kinds(name):
    assert draws.gathers(augment.preset(name)) == draws.gathers(augment.preset("none"))


@pytest.mark.slow
def test_the_cost_of_a_mix_is_that_of_one():
    def flops(config):
        def whole(seed, picture):
            return transform.apply_image(sample(jax.random.key(seed), config, 128), picture, 128)

        lowered = jax.jit(whole).lower(jnp.uint32(0), jnp.zeros((160, 160, 3), jnp.uint8))
        return lowered.compile().cost_analysis()["flops"]

    one = augment.preset("recipe").parts[0]
    assert flops(OneOf((one,) * 3, (0.2, 0.3, 0.5))) < 1.05 * flops(one)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_draw_is_the_same_bits_alone_or_in_any_batch(preset):
    stream = keys.named(ROOT, "augment")
    positions = jnp.asarray(keys.draws(5, 32, 7), jnp.int32)
    config = augment.preset(preset)

    @jax.jit
    def batch(positions):
        return jax.vmap(lambda p: sample(keys.at(stream, p), config, 64))(positions)

    whole = batch(positions)
    for start, count in ((0, 8), (8, 8), (31, 1)):
        part = batch(positions[start : start + count])
        for a, b in zip(whole, part, strict=True):
            assert np.array_equal(a[start : start + count], b)


def test_streams_epochs_and_positions_have_keys_of_their_own():
    found = [
        tuple(np.asarray(jax.random.key_data(keys.at(keys.named(keys.root(seed), use), jnp.array([epoch, position])))))
        for seed, use, epoch, position in itertools.product((0, 1), ("augment", "shuffle"), (0, 1, 2), (0, 1, 2))
    ]
    assert len(set(found)) == len(found)


def test_a_key_is_written_as_json_and_read_again():
    again = keys.from_json(json.loads(json.dumps(keys.to_json(ROOT))))
    assert np.array_equal(jax.random.key_data(again), jax.random.key_data(ROOT)) and again.dtype == ROOT.dtype


@pytest.mark.parametrize("config", [Caption(), CutOut(), Geometry(mirror=0.5), Geometry(crop=0.9)], ids=str)
def test_what_still_draws_is_no_view(config):
    assert not augment.is_fixed(config)
    with pytest.raises(ValueError, match="draws at random"):
        augment.fixed([config], 64)


# Batches: the same draw is the same example, whatever else is chosen.


@pytest.fixture(scope="module")
def faces():
    return drawn.DrawnSource("drawn:11:5")


def settings(batch: int, workers: int, preset: str = "recipe") -> Config:
    return Config(size=32, batch=batch, workers=workers, augment=preset).check()


def stream_of(faces, preset: str, batch: int, workers: int, devices: int, start: int, count: int) -> list[tuple]:
    """(draw, index, image, points) of the draws from `start` steps on, `count` of them."""
    config, over = settings(batch, workers, preset), sharding.mesh(jax.devices()[:devices])
    augmenters = augment.configure(preset, True)
    render = jax.jit(rendering.make_render(ROOT, augmenters, landmarks.scheme(5), config.size, over))
    found = []
    for data in itertools.islice(loader.batches(faces, config, ROOT, start), -(-count // batch)):
        shown = render(sharding.split(over, data._replace(frame=data.frame.astype(np.float32))))
        images, points = np.asarray(shown.images), np.asarray(shown.points)
        found += list(zip(map(tuple, data.draw), data.index, images, points, strict=True))
    return found[:count]


@pytest.mark.slow
def test_draw_g_is_the_same_bits_whatever_the_batch_workers_devices_or_restart(faces):
    whole = stream_of(faces, "recipe", 8, 1, 1, 0, 32)
    for start, changed in ((0, (32, 4, 1, 0, 32)), (0, (8, 4, 4, 0, 32)), (16, (8, 2, 1, 2, 16))):
        other = stream_of(faces, "recipe", *changed)
        for (draw, index, picture, points), (draw2, index2, picture2, points2) in zip(
            whole[start:], other, strict=True
        ):
            assert draw == draw2 and index == index2
            assert np.array_equal(picture, picture2) and np.array_equal(points, points2)


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_two_epochs_hold_every_example_twice_wherever_they_are_cut(faces, cut):
    config = settings(2, 2)
    steps = len(faces)  # two examples a step: two epochs
    parts = [itertools.islice(loader.batches(faces, config, ROOT), cut)]
    parts.append(itertools.islice(loader.batches(faces, config, ROOT, cut), steps - cut))
    seen = [int(i) for batch in itertools.chain(*parts) for i in batch.index]
    assert collections.Counter(seen) == dict.fromkeys(range(len(faces)), 2)
    first, second = seen[: len(faces)], seen[len(faces) :]
    assert sorted(first) == sorted(second) == list(range(len(faces))) and first != second
