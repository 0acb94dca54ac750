"""The moving average of weights and statistics, against float64, and where it is used."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import experiment, inference, keys, landmarks, tta
from jaxmarks.config import Config
from jaxmarks.training import sharding, state
from jaxmarks.types import State
from tests.tiny import CONFIG, NORMED, batch_of

STEPS, DECAY = 20, 0.6  # the early decay (1 + t) / (10 + t) passes it in the thirteenth step
SETTINGS = {"augment": "none", "lr": 1e-2, "schedule": "constant", "steps": STEPS}


def plan_of(decay: float = DECAY) -> experiment.Experiment:
    config = Config(**{**CONFIG.__dict__, **SETTINGS, "ema": decay})
    plan = experiment.assemble(config, keys.root(0), landmarks.scheme(5), 100, sharding.mesh(jax.devices()[:1]))
    return plan._replace(model=NORMED)


def on_host(tree):
    return jax.tree.map(np.array, jax.device_get(tree))


@functools.cache
def ran() -> tuple:
    """(step function, states from the first to the last, on the host)."""
    plan = plan_of()
    take, now = plan.training_step(), plan.initial_state()
    states = [on_host(now)]
    for n in range(STEPS):
        now, _ = take(now, batch_of(n))
        states.append(on_host(now))
    return take, states


@pytest.mark.slow
def test_twenty_steps_of_parameters_and_statistics_equal_float64():
    _, states = ran()
    expected = jax.tree.map(lambda a: a.astype(np.float64), (states[0].params, states[0].stats))
    decays = []
    for t, now in enumerate(states[1:]):
        d = min(DECAY, (1 + t) / (10 + t))
        expected = jax.tree.map(lambda a, v, d=d: d * a + (1 - d) * v, expected, (now.params, now.stats))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), now.ema, expected)
        decays.append(d)
    assert decays[0] == 0.1 and decays[12] < DECAY == decays[13] == decays[-1]
    gaps = jax.tree.map(lambda a, v: np.abs(a - v).max(), states[-1].ema, (states[-1].params, states[-1].stats))
    assert min(jax.tree.leaves(gaps)) > 1e-3  # an average that is no average would show


def test_it_begins_as_the_weights_and_lies_beside_them():
    _, states = ran()
    jax.tree.map(np.testing.assert_array_equal, states[0].ema, (states[0].params, states[0].stats))
    weights = jax.device_put((states[5].params, states[5].stats))
    plan = plan_of()
    now = plan.initial_state(weights)
    jax.tree.map(np.testing.assert_array_equal, now.ema, weights)
    ran()[0](now, batch_of())  # donates the state: no buffer of it twice, and none of the caller's
    jax.tree.map(np.testing.assert_array_equal, weights, (states[5].params, states[5].stats))


def test_a_step_that_is_not_finite_leaves_it_untouched():
    take, states = ran()
    now = plan_of().place(states[3])
    bad = batch_of(3)
    bad.points[1, 0] = np.inf
    now, _ = take(now, bad)
    now, _ = take(now, batch_of(4))
    assert int(now.bad_step) == 3
    jax.tree.map(np.testing.assert_array_equal, on_host(now.ema), states[3].ema)


def paths(decay: float) -> set[str]:
    shapes = jax.tree_util.tree_leaves_with_path(plan_of(decay).template())
    return {jax.tree_util.keystr(path) for path, _ in shapes}


def test_only_a_run_with_it_has_its_leaves():
    added = paths(DECAY) - paths(0.0)
    assert paths(0.0) < paths(DECAY) and not any("ema" in path for path in paths(0.0))
    assert added == {
        ".ema[0]['backbone']['kernel']", ".ema[0]['backbone']['scale']", ".ema[0]['head']['kernel']",
        ".ema[0]['head']['bias']", ".ema[1]['backbone']['mean']", ".ema[1]['backbone']['var']",
    }  # fmt: skip


def test_a_state_without_averages_is_not_restored_into_a_run_with_them():
    leaves = state.flatten(plan_of(0.0).initial_state())
    with pytest.raises(
        ValueError, match=r"another network, optimiser or version: 6 of its leaves differ, such as \.ema"
    ):
        state.unflatten(plan_of().template(), leaves)


def judged_by(now: State) -> np.ndarray:
    """The points that prediction gives, by a forward pass that says nothing but its weights."""

    def network(folded, batch, views):
        params, stats = folded
        said = jnp.stack([params["head"]["bias"][0], stats["backbone"]["mean"][0]])
        return jnp.tile(said, (1, 8, 5, 1))

    folded, over = NORMED.fold(*state.judged(now)), sharding.mesh(jax.devices()[:1])
    member = inference.Member(network, folded, tta.views("none", False, 32), over)
    (found,) = inference.merged(inference.view_points([member], [[(batch_of(), 8)]]), np.ones(1))
    return inference.to_images(found).points[0, 0]


def test_prediction_uses_the_averages_where_there_are_any():
    last = ran()[1][-1]
    params, stats = last.ema
    averaged = [params["head"]["bias"][0], stats["backbone"]["mean"][0]]
    plain = [last.params["head"]["bias"][0], last.stats["backbone"]["mean"][0]]
    # `batch_of` cuts four pixels off each side, which prediction puts back
    np.testing.assert_allclose(judged_by(last), np.array(averaged) + 4, rtol=1e-6)
    np.testing.assert_allclose(judged_by(last._replace(ema=None)), np.array(plain) + 4, rtol=1e-6)
    assert np.abs(np.array(averaged) - plain).min() > 1e-4


@pytest.mark.parametrize("value", [1.0, -0.1, float("nan")])
def test_a_decay_that_cannot_be_is_rejected_with_its_name(value):
    with pytest.raises(ValueError, match=rf"^`ema` must lie in 0\.\.0\.999999, got {value}$"):
        Config(ema=value).check()
