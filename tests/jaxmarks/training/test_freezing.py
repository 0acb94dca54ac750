"""A frozen backbone stands still to the last bit, its statistics too, and sees as in prediction; then it thaws.

One run serves all: three frozen steps, three thawed ones, with decay, a moving average and another rate after the thaw.
"""

import functools

import jax
import numpy as np
import pytest

from jaxmarks import experiment, keys, landmarks, models
from jaxmarks.config import Config
from jaxmarks.training import sharding, state, step
from jaxmarks.types import State
from tests.tiny import CONFIG, NORMED, batch_of, thumbnails

FROZEN, STEPS = 3, 6  # a quarter of the twelve steps of an epoch of 100 images
SETTINGS = {
    "augment": "none", "loss": "l2", "schedule": "constant", "lr": 1e-2, "weight_decay": 0.1, "steps": STEPS,
    "freeze": 0.25, "thaw_lr": 0.5, "ema": 0.9,
}  # fmt: skip


def plan_of(model: models.Model = NORMED, **settings) -> experiment.Experiment:
    config = Config(**{**CONFIG.__dict__, **SETTINGS, **settings})
    plan = experiment.assemble(config, keys.root(0), landmarks.scheme(5), 100, sharding.mesh(jax.devices()[:1]))
    return plan._replace(model=model)


@functools.cache
def ran() -> tuple:
    """(step function, states from the first to the last, records), the states copied to the host."""
    plan = plan_of()
    return run_of(plan, STEPS)


def run_of(plan: experiment.Experiment, steps: int) -> tuple:
    take, now = plan.training_step(), plan.initial_state()
    states, records = [on_host(now)], []
    for n in range(steps):
        now, record = take(now, batch_of(n))
        states.append(on_host(now))
        records.append(jax.device_get(record))
    return take, states, records


def on_host(tree):
    return jax.tree.map(np.array, jax.device_get(tree))


def all_equal(one, other) -> bool:
    """Whether every leaf has the same bits."""
    return all(a.tobytes() == b.tobytes() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def all_differ(one, other) -> bool:
    return all(np.any(a != b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def moments(now, part: str) -> list[np.ndarray]:
    """AdamW's first and second moments of the backbone or of the head."""
    found = [a for p, a in state.flatten(now).items() if p.startswith(".opt") and f"['{part}']" in p and a.ndim]
    assert len(found) == 4  # two of each of two arrays
    return found


@pytest.mark.slow
def test_while_frozen_the_backbone_and_all_statistics_keep_their_bits_and_the_head_moves():
    _, states, _ = ran()
    for now, before in zip(states[1 : FROZEN + 1], states[:FROZEN], strict=True):
        assert all_equal(now.params["backbone"], states[0].params["backbone"])
        assert all_equal(now.stats, states[0].stats)
        assert all_differ(now.params["head"], before.params["head"])


def test_the_moving_average_of_what_stands_still_keeps_its_bits_too():
    _, states, _ = ran()
    for now in states[1 : FROZEN + 1]:
        params, stats = now.ema
        assert all_equal(params["backbone"], states[0].params["backbone"]) and all_equal(stats, states[0].stats)


def test_from_the_thaw_on_all_moves():
    _, states, _ = ran()
    for now, before in zip(states[FROZEN + 1 :], states[FROZEN:], strict=False):
        assert all_differ((now.params, now.stats), (before.params, before.stats))


def test_the_backbones_moments_are_zero_until_the_thaw():
    _, states, _ = ran()
    for now in states[1 : FROZEN + 1]:
        assert not any(a.any() for a in moments(now, "backbone")) and all(a.any() for a in moments(now, "head"))
    assert all(a.any() for a in moments(states[FROZEN + 1], "backbone"))


def loss_of(now, batch, running: bool) -> float:
    """The l2 loss in float64, by the running statistics or by the batch's own."""
    params, stats = jax.tree.map(lambda a: a.astype(np.float64), (now.params, now.stats))
    hidden = thumbnails(batch.image[:, 4:36, 4:36].astype(np.float64)) @ params["backbone"]["kernel"]
    own = {"mean": hidden.mean(0), "var": hidden.var(0)}
    used = stats["backbone"] if running else own
    features = np.tanh(params["backbone"]["scale"] * (hidden - used["mean"]) / np.sqrt(used["var"] + 1e-5))
    found = (features @ params["head"]["kernel"] + params["head"]["bias"]).reshape(-1, 5, 2)
    return float(np.mean((64 * (found - (batch.points - 15.5) / 16)) ** 2))


def test_a_frozen_backbone_sees_by_its_running_statistics_and_a_thawed_one_by_the_batchs():
    _, states, records = ran()
    for n, record in enumerate(records):
        expected, other = (loss_of(states[n], batch_of(n), running) for running in (n < FROZEN, n >= FROZEN))
        assert record.loss == pytest.approx(expected, rel=1e-5) and record.loss != pytest.approx(other, rel=1e-3)


def test_the_rate_changes_at_the_thaw_and_the_record_says_so():
    _, _, records = ran()
    np.testing.assert_allclose([r.lr for r in records], [1e-2] * FROZEN + [5e-3] * (STEPS - FROZEN), rtol=1e-6)


def test_a_freezing_run_compiles_two_steps_and_no_more():
    """One while the backbone stands still, one after."""
    traced = []

    def apply(params, stats, image, train):
        traced.append(train)
        return NORMED.apply(params, stats, image, train)

    run_of(plan_of(NORMED._replace(apply=apply)), STEPS)
    assert traced == [False, True]


def test_the_device_is_asked_for_its_counter_only_where_a_state_is_not_the_last_steps():
    asked = []

    class Counter(int):
        def __int__(self):
            asked.append(self + 0)
            return self + 0

    def taken(name):
        return lambda now, batch: (now._replace(step=Counter(now.step + 1)), name)

    take = step.unfreezing(2, taken("still"), taken("moving"))
    first = now = State(Counter(0), {}, {}, (), -1)
    names = []
    for _ in range(4):
        now, name = take(now, None)
        names.append(name)
    assert names == ["still", "still", "moving", "moving"] and asked == [0]
    assert take(first, None)[1] == "still" and take(now, None)[1] == "moving" and asked == [0, 0, 4]


@pytest.mark.parametrize("cut", [FROZEN - 1, FROZEN, FROZEN + 1])
def test_a_run_restored_before_at_and_after_the_thaw_ends_in_the_same_bits(cut):
    take, states, _ = ran()
    plan = plan_of()
    leaves = {path: leaf.copy() for path, leaf in state.flatten(states[cut]).items()}
    now = plan.place(state.unflatten(plan.template(), leaves))
    for n in range(cut, STEPS):
        now, _ = take(now, batch_of(n))
    assert state.digest(state.flatten(now)) == state.digest(state.flatten(states[-1]))


def test_a_person_is_reported_that_a_frozen_backbone_is_random():
    (_, said) = experiment.remarks(plan_of())
    assert "3 steps" in said and "random" in said and "`init_from`" in said
    (_, said) = experiment.remarks(plan_of(init_from="runs/first"))
    assert "3 steps" in said and "random" not in said


@pytest.mark.parametrize(
    ("field", "value"),
    [("freeze", -1.0), ("freeze", float("nan")), ("thaw_lr", 0.0), ("thaw_lr", float("inf")), ("backbone_lr", -0.1)],
)
def test_what_cannot_be_is_rejected_with_its_name(field, value):
    with pytest.raises(ValueError, match=rf"^`{field}` must lie in [^\n]*, got {value}$"):
        Config(**{field: value}).check()


@pytest.mark.slow
def test_a_real_network_stands_still_too():
    model = models.build("resnet18", 5)
    _, states, _ = run_of(plan_of(model, freeze=0.17), 3)  # two frozen steps of twelve
    for now in states[1:3]:
        assert all_equal(now.params["backbone"], states[0].params["backbone"]) and all_equal(now.stats, states[0].stats)
        assert all_differ(now.params["head"], states[0].params["head"])
    moved = all_differ((states[3].params["backbone"], states[3].stats), (states[0].params["backbone"], states[0].stats))
    assert moved
