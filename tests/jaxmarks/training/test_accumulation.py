"""A batch in parts is the batch: the same gradient, loss and records, whatever is labelled, on one device and four."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmarks import experiment, keys, landmarks, models
from jaxmarks.config import Config
from jaxmarks.training import sharding, state
from tests.tiny import CONFIG, LINEAR, NORMED, batch_of, step_of, thumbnails

RATE, PARTS = 1e-3, 2
SETTINGS = {"augment": "none", "loss": "l2"}


def plan_of(devices: int, parts: int, model: models.Model) -> experiment.Experiment:
    config = Config(**{**CONFIG.__dict__, **SETTINGS, "accumulate": parts})
    mesh = sharding.mesh(jax.devices()[:devices])
    plan = experiment.assemble(config, keys.root(0), landmarks.scheme(5), 100, mesh)
    return plan._replace(model=model)


def labelled(*without: int):
    """A batch with another number of points in each image, none in those of `without`."""
    batch = batch_of()
    batch.mask[:] = np.arange(5) <= np.arange(8)[:, None] // 2
    batch.mask[list(without)] = False
    return batch


# Of two parts the second has as many labelled images as the first, one to the first's four, or none.
BATCHES = {"all": batch_of, "uneven": lambda: labelled(3, 5, 7), "half": lambda: labelled(1, 3, 5, 7)}
uneven = BATCHES["uneven"]


@functools.cache
def linear(devices: int, parts: int) -> tuple:
    """(compiled text, {batch: (new params, record)}) of one step by SGD, which hides no factor."""
    plan, tx = plan_of(devices, parts, LINEAR), optax.with_extra_args_support(optax.sgd(RATE))
    take = step_of(plan, tx)
    start = state.beginning(tx, *LINEAR.init(keys.named(plan.key, "init"), 32))
    batches = {name: sharding.split(plan.mesh, make()) for name, make in BATCHES.items()}
    compiled = take.lower(sharding.replicate(plan.mesh, start), batches["all"]).compile()
    found = {}
    for name, batch in batches.items():
        first = jax.tree.map(jnp.copy, start)
        now, record = compiled(sharding.replicate(plan.mesh, first), batch)
        found[name] = jax.device_get((now.params["head"]["kernel"], record))
    return compiled.as_text(), found


@functools.cache
def kernel() -> np.ndarray:
    return np.asarray(LINEAR.init(keys.named(keys.root(0), "init"), 32)[0]["head"]["kernel"], np.float64)


def by_hand(batch) -> tuple[np.ndarray, np.ndarray]:
    """(the kernel after one step, each example's loss) of the network of one matrix, in float64."""
    small = thumbnails(batch.image[:, 4:36, 4:36].astype(np.float64))
    residual = 64 * ((small @ kernel()).reshape(-1, 5, 2) - (batch.points.astype(np.float64) - 15.5) / 16)
    counts = np.maximum(batch.mask.sum(1), 1)
    each = (batch.mask[..., None] * residual**2).sum((1, 2)) / (2 * counts)
    slope = 64 * batch.mask[..., None] * residual / counts[:, None, None] / batch.mask.any(1).sum()
    return kernel() - RATE * np.einsum("bi,bo->io", small, slope.reshape(-1, 10)), each


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("devices", [1, 4])
def test_a_step_in_parts_is_the_step(devices, name):
    ours, record = linear(devices, PARTS)[1][name]
    whole, expected = linear(1, 1)[1][name]
    np.testing.assert_array_equal(record.checksum, expected.checksum)
    np.testing.assert_array_equal(record.kept, expected.kept)
    for field in ("loss", "nme", "grad_norm", "each", "lr"):
        np.testing.assert_allclose(getattr(record, field), getattr(expected, field), rtol=1e-5, err_msg=field)
    moved = np.abs(whole - kernel()).max()
    np.testing.assert_allclose(ours, whole, rtol=0, atol=1e-5 * moved)
    assert moved > 1e-3


@pytest.mark.parametrize("name", BATCHES)
def test_both_equal_float64_by_hand(name):
    batch = BATCHES[name]()
    after, each = by_hand(batch)
    for parts in (1, PARTS):
        ours, record = linear(1, parts)[1][name]
        np.testing.assert_allclose(ours, after, rtol=0, atol=1e-5 * np.abs(after - kernel()).max())
        np.testing.assert_allclose(record.each, each, rtol=1e-5)
        np.testing.assert_array_equal(record.kept, batch.mask.any(1))
        assert record.loss == pytest.approx(each[record.kept].mean(), rel=1e-5)


def test_no_device_sends_another_its_images():
    """What passes between devices, in the compiled step, is smaller than one image of 32 x 32 x 3."""
    text, _ = linear(4, PARTS)
    passing = re.findall(r"= (.*?) (?:all-to-all|collective-permute|all-gather|all-reduce)(?:-start)?\(", text)
    shapes = [math.prod(map(int, re.findall(r"\d+", s))) for p in passing for s in re.findall(r"\[([\d,]*)\]", p)]
    assert shapes and max(shapes) < 32 * 32 * 3
    assert max(shapes) >= kernel().size  # the gradient is among them


@functools.cache
def normed() -> tuple[list, list]:
    """(states on the host, records) of a network with batch norm in four parts: a frozen step, then a thawed one."""
    plan, tx = plan_of(1, 4, NORMED), optax.with_extra_args_support(optax.sgd(RATE))
    take = step_of(plan, tx, frozen=1)
    now, records = state.beginning(tx, *NORMED.init(keys.named(plan.key, "init"), 32)), []
    states = [jax.tree.map(np.array, jax.device_get(now))]
    for _ in range(2):
        now, record = take(now, uneven())
        states.append(jax.tree.map(np.array, jax.device_get(now)))
        records.append(jax.device_get(record))
    return states, records


def objective(params, stats, batch, count, train):
    """(sum of the losses over `count`, (new statistics, each)): of a batch or of a part of one."""
    found, stats = NORMED.apply(params, stats, jnp.asarray(batch.image[:, 4:36, 4:36], jnp.float32), train)
    squared = jnp.mean(jnp.square(64 * (found - (batch.points - 15.5) / 16)), -1)
    each = jnp.sum(squared * batch.mask, 1) / jnp.maximum(batch.mask.sum(1), 1)
    return jnp.sum(each) / count, (stats, each)


slope = jax.jit(jax.value_and_grad(objective, has_aux=True), static_argnums=(3, 4))


def assert_stepped(before, after, grads) -> None:
    for a, b, g in zip(*map(jax.tree.leaves, (before, after, grads)), strict=True):
        np.testing.assert_allclose(b - a, -RATE * g, rtol=0, atol=1e-4 * RATE * np.abs(g).max())


@pytest.mark.slow
def test_with_batch_norm_the_statistics_pass_from_part_to_part():
    """Part j has the examples j, j + 4, and is normalised by its own numbers; the last has no label."""
    (_, before, after), (_, record) = normed()
    batch, stats, total, grads = uneven(), before.stats, 0.0, jax.tree.map(np.zeros_like, before.params)
    for j in range(4):
        part = jax.tree.map(lambda a, j=j: a[j::4], batch)
        (value, (stats, each)), seen = slope(before.params, stats, part, 5, True)
        np.testing.assert_allclose(record.each[j::4], each, rtol=1e-4)
        total, grads = total + value, jax.tree.map(np.add, grads, seen)
    assert record.loss == pytest.approx(float(total), rel=1e-5)
    assert_stepped(before.params, after.params, grads)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after.stats, stats)
    (whole, (once, _)), _ = slope(before.params, before.stats, batch, 5, True)
    assert abs(whole - total) > 1e-2 * total  # the whole batch's numbers would be others
    assert np.abs(once["backbone"]["mean"] - stats["backbone"]["mean"]).max() > 1e-2


@pytest.mark.slow
def test_a_frozen_backbone_in_parts_gives_what_it_gives_whole():
    """Running statistics normalise, so no part knows of another; and none of them moves."""
    (before, after, _), (record, _) = normed()
    (value, (_, each)), grads = slope(before.params, before.stats, uneven(), 5, False)
    np.testing.assert_allclose(record.each, each, rtol=1e-5)
    assert record.loss == pytest.approx(float(value), rel=1e-5)
    assert_stepped(before.params["head"], after.params["head"], grads["head"])
    still = (before.params["backbone"], before.stats), (after.params["backbone"], after.stats)
    jax.tree.map(np.testing.assert_array_equal, *still)
    assert record.grad_norm == pytest.approx(float(optax.global_norm(grads["head"])), rel=1e-5)


def rejected(message: str, **settings) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        experiment.assemble(Config(**{**CONFIG.__dict__, **settings}), keys.root(0), landmarks.scheme(5), 100)


def test_a_trim_band_is_rejected():
    for band in ({"trim_top": 0.25}, {"trim_keep": 0.9}):
        rejected(r"`accumulate` with a trim band [^\n]*", accumulate=2, **band)


def test_sizes_that_do_not_divide_are_rejected():
    rejected("`accumulate` 3 does not divide `batch` 8", accumulate=3)
    rejected("a batch of 8 cannot be split over 4 devices in 4 parts: use 16", accumulate=4)
    rejected("a batch of 24 cannot be split over 4 devices in 4 parts: use 16 or 32", accumulate=4, batch=24)
    rejected(r"`accumulate` must lie in 1\.\.4096, got 0", accumulate=0)
