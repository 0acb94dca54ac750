"""A run on 1, 2 or 4 devices: the same batches bit for bit, the same examples trimmed, the same weights up to rounding.

By SGD, since Adam hides a wrong factor, and in float64, where what is left of a difference is no rounding.
"""

import functools
from collections.abc import Callable
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from jaxmarks import experiment, inference, keys, landmarks, models
from jaxmarks.config import Config
from jaxmarks.models import ops
from jaxmarks.training import sharding, step
from jaxmarks.types import Batch
from pipelines import loader
from pipelines.synthetic import drawn
from tests.pipelines.test_loader import Shades
from tests.tiny import CONFIG, LINEAR, batch_of, step_of

pytestmark = pytest.mark.bits

STEPS, RATE = 20, 3e-4
PLAIN = Config(**{**CONFIG.__dict__, "augment": "none"})


def plan_of(devices: int, config: Config = CONFIG) -> experiment.Experiment:
    mesh = sharding.mesh(jax.devices()[:devices])
    return experiment.assemble(config, keys.root(0), landmarks.scheme(5), 100, mesh)


def in_float64(tree):
    """Its floating leaves as float64; others as they are."""
    return jax.tree.map(lambda a: np.asarray(a, np.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


@functools.cache
def beginning() -> tuple[dict, dict]:
    """The run's own first (params, stats), on the host in float64."""
    start = plan_of(1).initial_state()
    return in_float64(jax.device_get((start.params, start.stats)))


def rendered(plan: experiment.Experiment, steps: int) -> list[Batch]:
    """The batches of so many steps with the run's own rendering of each in place of its image, in float64."""
    render = plan.render()
    shown = [jax.device_get(render(plan.split(batch_of(number)))) for number in range(steps)]
    return [in_float64(batch_of(number)._replace(image=each)) for number, each in enumerate(shown)]


def trained(devices: int, config: Config, steps: int) -> tuple[dict, dict, step.Record]:
    """(params, stats, records) after some steps of the run's own training step.

    Rendering is float32 in any run, and is done before; the rest of the step is taken in float64.
    """
    plan, tx = plan_of(devices, config), optax.with_extra_args_support(optax.sgd(RATE))
    batches, start = rendered(plan, steps), plan.initial_state()
    with jax.enable_x64(True):
        params, stats = beginning()
        now = sharding.replicate(plan.mesh, start._replace(params=params, stats=stats, opt=tx.init(params)))
        take = step_of(plan, tx, render=lambda batch: batch.image)
        records = []
        for batch in batches:
            now, record = take(now, sharding.split(plan.mesh, batch))
            records.append(record)
        return *jax.device_get((now.params, now.stats)), step.stack(records)


@functools.cache
def on(devices: int) -> tuple[dict, dict, step.Record]:
    """`trained` with augmentation, once a test run."""
    return trained(devices, CONFIG, STEPS)


def assert_trees_near(ours: dict, theirs: dict, tolerance: float) -> None:
    """Every leaf in float64 and within `tolerance` of its largest value."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype == np.float64 and a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-6), jax.tree_util.keystr(path)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_after_twenty_steps_a_network_with_batch_norm_is_the_same_on_any_number_of_devices(devices):
    """Far below 1e-5: what a part of the batch alone would give differs in the first digits."""
    one, many = on(1), on(devices)
    np.testing.assert_array_equal(one[2].checksum, many[2].checksum)
    assert len(set(one[2].checksum.tolist())) == STEPS
    for name in ("loss", "each", "grad_norm", "nme"):
        ours, theirs = getattr(many[2], name), getattr(one[2], name)
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, err_msg=name)
    assert_trees_near(many[0], one[0], 1e-8)
    assert_trees_near(many[1], one[1], 1e-8)
    moved = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(leaves(one), leaves(beginning()), strict=True)]
    assert min(moved) > 1e-4


def leaves(found: tuple) -> list[np.ndarray]:
    """The kernels of convolutions and of the head."""
    return [a for a in jax.tree.leaves(found[0]) if a.ndim > 1]


def pooled(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch norm over all devices, its moments by explicit means over the axis `devices`."""
    mean = lax.pmean(jnp.mean(x, (0, 1, 2)), "devices")
    away = x - ops.per_channel(mean)
    var = lax.pmean(jnp.mean(away**2, (0, 1, 2)), "devices")
    y = away / jnp.sqrt(ops.per_channel(var + ops.BATCH_NORM_EPS)) * ops.per_channel(scale) + ops.per_channel(bias)
    part = x.size // x.shape[3]  # the layer corrects the running variance for what it sees, a part of the values
    whole = part * lax.psum(1, "devices")
    return y, lax.stop_gradient(mean), lax.stop_gradient(var * (whole / (whole - 1)) / (part / (part - 1)))


def mapped_step(devices: int) -> Callable:
    """The same step written for jax.pmap: own forward pass, loss, statistics over devices, gradient and update."""
    model = models.build("resnet18", 5, ops=ops.PLAIN._replace(batch_norm=pooled))

    def local(params, stats, images, points):
        def objective(p):
            found, after = model.apply(p, stats, images, True)
            wanted = (points - 15.5) / 16
            size = jnp.abs(64 * (found - wanted))
            return jnp.mean(jnp.where(size < 1, 0.5 * size**2, size - 0.5)), after

        (value, after), grads = jax.value_and_grad(objective, has_aux=True)(params)
        grads = lax.pmean(grads, "devices")
        return jax.tree.map(lambda p, g: p - RATE * g, params, grads), after, lax.pmean(value, "devices")

    return jax.pmap(local, axis_name="devices", devices=jax.devices()[:devices])


@pytest.mark.slow
def test_the_sharded_step_with_batch_norm_equals_a_pmap_of_it():
    params, stats, records = trained(4, PLAIN, 5)
    losses = []
    with jax.enable_x64(True):
        now = jax.tree.map(lambda a: np.stack([a] * 4), beginning())
        take = mapped_step(4)
        for number in range(5):
            batch = batch_of(number)
            images = batch.image[:, 4:36, 4:36]  # what `fit` says, and no augmentation
            parts = (a.reshape(4, 2, *a.shape[1:]).astype(np.float64) for a in (images, batch.points))
            *now, value = take(*now, *parts)
            losses.append(np.asarray(value))
        found = jax.device_get(now)
    for device in range(4):
        assert_trees_near(params, jax.tree.map(lambda a, d=device: a[d], found[0]), 1e-7)
        assert_trees_near(stats, jax.tree.map(lambda a, d=device: a[d], found[1]), 1e-7)
        np.testing.assert_allclose(records.loss, np.array(losses)[:, device], rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_a_trimmed_step_keeps_the_same_examples_on_any_number_of_devices(devices):
    """The two examples that are far off lie on one device: trimmed on each alone, others would go."""
    config = Config(**{**CONFIG.__dict__, "trim_top": 0.25, "trim_keep": 0.75, "augment": "none", "loss": "l1"})
    found = []
    for count in (1, devices):
        plan = plan_of(count, config)._replace(model=LINEAR)
        take, now = plan.training_step(), plan.initial_state()
        for number in range(5):
            batch = batch_of(number)
            batch.points[:2] += 1000
            now, record = take(now, sharding.split(plan.mesh, batch))
            found.append(jax.device_get(record))
    for one, many in zip(found[:5], found[5:], strict=True):
        assert not one.kept[:2].any() and one.kept.sum() == 4
        np.testing.assert_array_equal(one.kept, many.kept)
        parts = one.each.reshape(devices, -1)
        alone = [trimmed(part, 0.25, 0.75) for part in parts]
        assert not np.array_equal(np.concatenate(alone), one.kept)
        np.testing.assert_allclose(many.loss, one.each[one.kept].mean(), rtol=1e-5)


def trimmed(each: np.ndarray, top: float, keep: float) -> np.ndarray:
    """bool: what the band keeps of these examples alone."""
    first, last = int(top * len(each)), int(np.ceil(keep * len(each)))
    ranks = np.argsort(np.argsort(-each, kind="stable"), kind="stable")
    return (ranks >= first) & (ranks < last)


@pytest.mark.slow
def test_batches_that_threads_put_on_the_devices_are_bit_equal_whatever_the_threads_and_devices():
    source, seen = Shades(21), {}
    for workers, devices in ((1, 1), (4, 1), (1, 4), (4, 4), (4, 2)):
        config = Config(**{**CONFIG.__dict__, "workers": workers, "augment": "auto"})
        mesh = sharding.mesh(jax.devices()[:devices])
        ready = functools.partial(sharding.split, mesh)
        plan = experiment.assemble(config, keys.root(3), landmarks.scheme(source.num_points), len(source), mesh)
        render, found = plan.render(), []
        for batch in islice(loader.batches(source, config, plan.key, ready=ready), 6):
            assert len(batch.image.sharding.device_set) == devices
            found += [np.asarray(a) for a in (*batch, *render(batch))]
        seen[workers, devices] = found
    known = seen.pop((1, 1))
    assert len({a.tobytes() for a in known[:: len(known) // 6]}) == 6
    for other in seen.values():
        assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(known, other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 6, 7, 8])
def test_a_validation_is_of_every_image_once_whatever_the_batch_and_the_devices(count):
    source, found = drawn.DrawnSource(f"drawn:{count}:5"), []
    for batch, devices in ((1, 1), (4, 1), (4, 4)):
        config = Config(**{**CONFIG.__dict__, "batch": batch})
        plan = plan_of(devices, config)._replace(model=LINEAR)
        member = plan.member("none")(plan.initial_state())
        seen = inference.view_points([member], loader.together(source, [config]))
        found.append(inference.to_images(inference.gather(inference.merged(seen, np.ones(1)))))
    for other in found:
        assert other.index.tolist() == list(range(count)) and other.mask.all()
        np.testing.assert_array_equal(other.truth, found[0].truth)
        np.testing.assert_allclose(other.points, found[0].points, atol=1e-4)
    assert np.abs(found[0].points[0] - found[0].points[1]).max() > 0.01
