"""Logical shards: one digest on 1, 2 and 4 devices; batch norm over the shard; trim band, rate and checksum of the batch."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import experiment, keys, landmarks
from jaxmarks.config import Config
from jaxmarks.training import sharding, shards, state, step
from tests.tiny import CONFIG, LINEAR, NORMED, batch_of

pytestmark = pytest.mark.bits

SHARDED = dataclasses.replace(CONFIG, shards=4, steps=40, warmup=0)


def plan_of(devices: int, config: Config = SHARDED, model=NORMED) -> experiment.Experiment:
    mesh = sharding.mesh(jax.devices()[:devices])
    return experiment.assemble(config, keys.root(0), landmarks.scheme(5), 100, mesh)._replace(model=model)


STEPS_OF: dict[tuple, Callable] = {}  # training steps that several tests take: each compiles for each of its devices


def trained(plan: experiment.Experiment, steps: int, now=None, key=None) -> tuple:
    """(state, records on the host) after some steps from `now` on, or from step 0."""
    take = STEPS_OF.setdefault(key, plan.training_step()) if key else plan.training_step()
    now, records = now or plan.initial_state(), []
    for number in range(int(now.step), int(now.step) + steps):
        now, record = take(now, plan.split(batch_of(number)))
        records.append(record)
    return now, step.stack(records)


def digest(now) -> str:
    return state.digest(state.flatten(now))


SETTINGS = {
    "plain": {},
    "trimmed": {"trim_top": 0.25, "trim_keep": 0.75},
    "frozen": {"freeze": 0.25, "backbone_lr": 0.1},
    "averaged": {"ema": 0.9, "schedule": "plateau"},
}


@pytest.mark.parametrize(
    ("name", "many"),
    [
        ("trimmed", (2,)),
        pytest.param("plain", (4,), marks=pytest.mark.slow),
        pytest.param("frozen", (2,), marks=pytest.mark.slow),
        pytest.param("averaged", (2,), marks=pytest.mark.slow),
    ],
)
def test_the_digest_is_the_same_on_any_number_of_devices_and_for_a_run_that_changes_between(name, many):
    config = dataclasses.replace(SHARDED, **SETTINGS[name])
    alone, records = trained(plan_of(1, config), 6, key=(name, 1))
    assert int(alone.step) == 6 and len(set(records.loss.tolist())) == 6
    for devices in many:
        other, seen = trained(plan_of(devices, config), 6, key=(name, devices))
        assert digest(other) == digest(alone)
        for ours, theirs in zip(records, seen, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    moved = None
    for devices in (many[-1], 1, many[-1]):
        plan = plan_of(devices, config)
        moved = None if moved is None else plan.place(jax.device_get(moved))
        moved, _ = trained(plan, 2, moved, key=(name, devices))
    assert digest(moved) == digest(alone)


@pytest.mark.slow
def test_without_batch_norm_a_sharded_step_is_the_whole_one_but_for_rounding():
    """And its batch is the same bit for bit, as are who is trimmed and the rate."""
    config = dataclasses.replace(SHARDED, trim_top=0.25, trim_keep=0.75)
    cut, ours = trained(plan_of(2, config, LINEAR), 5)
    whole, theirs = trained(plan_of(2, dataclasses.replace(config, shards=1), LINEAR), 5)
    for name in ("checksum", "kept", "lr"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in ("loss", "each", "nme", "grad_norm"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-4, err_msg=name)
    moved = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()), jax.device_get(cut.params), jax.device_get(whole.params)
    )
    assert max(jax.tree.leaves(moved)) < 1e-5


def test_batch_norm_is_over_the_shard_by_an_explicit_reference():
    """In NumPy: the moments of each shard's two examples, and running statistics that move by their mean."""
    plan = plan_of(2)
    start, batch = plan.initial_state(), batch_of(0)
    params, stats = jax.device_get((start.params, start.stats))
    shown = jax.device_get(plan.render()(plan.split(batch)))
    images = shown.images.reshape(-1, 4, 8, 4, 8, 3).mean((2, 4)).reshape(-1, 48) / 128 - 1
    hidden = (images @ params["backbone"]["kernel"]).reshape(4, -1, 6)
    _, record = plan.training_step()(plan.initial_state(), plan.split(batch))
    now, _ = trained(plan, 1)
    for name, of_shard in (("mean", hidden.mean(1)), ("var", hidden.var(1))):
        wanted = 0.9 * stats["backbone"][name] + 0.1 * of_shard.mean(0)
        np.testing.assert_allclose(np.asarray(now.stats["backbone"][name]), wanted, rtol=1e-4, atol=1e-6)
    normed = (hidden - hidden.mean(1, keepdims=True)) / np.sqrt(hidden.var(1, keepdims=True) + 1e-5)
    found = np.tanh(normed.reshape(-1, 6)) @ params["head"]["kernel"]
    wanted = (shown.points - 15.5) / 16
    away = np.abs(64 * (found.reshape(-1, 5, 2) - wanted))
    loss = np.where(away < 1, 0.5 * away**2, away - 0.5).mean((1, 2))
    np.testing.assert_allclose(np.asarray(record.each), loss, rtol=1e-4)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_keeps_the_state_and_its_step():
    plan = plan_of(2)
    take, (now, _) = plan.training_step(), trained(plan, 1)
    before, bad = digest(now), batch_of(1)
    bad.points[0] = np.inf
    after, _ = take(now, plan.split(bad))
    assert int(after.bad_step) == 1 and int(after.step) == 1
    assert digest(after._replace(bad_step=jnp.int32(-1))) == before


@pytest.mark.slow
def test_the_step_compiles_once_for_each_device():
    plan = plan_of(2)
    take, now = plan.training_step(), plan.initial_state()
    now, _ = take(now, plan.split(batch_of(0)))
    with jax.log_compiles(False), count_compiles() as compiled:
        for number in range(1, 4):
            now, _ = take(now, plan.split(batch_of(number)))
    assert not compiled


class count_compiles:
    """The compilations within."""

    def __enter__(self) -> list:
        self.found = []
        self.note = lambda event, seconds, **_: self.found.append(event) if "backend_compile" in event else None
        jax.monitoring.register_event_duration_secs_listener(self.note)
        return self.found

    def __exit__(self, *_) -> None:
        jax.monitoring.unregister_event_duration_listener(self.note)


@pytest.mark.parametrize(
    ("count", "batch", "devices", "said"),
    [
        (3, 12, 1, "power of two"),
        (8, 12, 1, "must divide `batch` 12"),
        (8, 8, 1, "two images or more"),
        (4, 8, 3, "use 1 or 2 of them"),
        (2, 8, 4, "or `shards` 4"),
    ],
)
def test_what_cannot_be_cut_or_shared_is_rejected_with_what_fits(count, batch, devices, said):
    with pytest.raises(ValueError, match=said):
        shards.check(count, batch, devices)


def test_shards_with_accumulation_are_rejected_and_say_why():
    with pytest.raises(ValueError, match="one after the other, as micro-batches"):
        dataclasses.replace(SHARDED, accumulate=2).check()
