"""The optimiser against PyTorch's AdamW, its parameter groups and its schedulers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmarks.config import Config
from jaxmarks.training import optimizer


def _params(random):
    kernel, bias = (random.randn(3, 4).astype(np.float32), random.randn(4).astype(np.float32))
    return {"layer": {"kernel": kernel, "bias": bias}, "norm": {"scale": np.ones(4, np.float32)}}


def test_twenty_steps_equal_torchs_adamw_with_decay_on_kernels_only(random):
    torch = pytest.importorskip("torch")
    start = _params(random)
    gradients = [jax.tree.map(lambda p: random.randn(*p.shape).astype(np.float32), start) for _ in range(20)]
    config = Config(schedule="constant", warmup=0, clip=0.0, lr=1e-2, weight_decay=0.1)
    tx, params = optimizer.make(config, 20, 5), jax.tree.map(jnp.asarray, start)
    state = tx.init(params)
    for g in gradients:
        updates, state = tx.update(g, state, params, value=1.0)
        params = optax.apply_updates(params, updates)
    tensors = jax.tree.map(lambda p: torch.nn.Parameter(torch.tensor(p)), start)
    rest = [tensors["layer"]["bias"], tensors["norm"]["scale"]]
    groups = [{"params": [tensors["layer"]["kernel"]]}, {"params": rest, "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.1)
    for g in gradients:
        for tensor, value in zip(jax.tree.leaves(tensors), jax.tree.leaves(g), strict=True):
            tensor.grad = torch.tensor(value)
        reference.step()
    for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(tensors), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=2e-5, atol=1e-6)


def _rates(losses, factor, patience):
    """The scale after each loss, by ours without smoothing."""
    tx, params = optimizer.plateau(factor, patience, 1), {"w": jnp.ones(())}
    state, found = tx.init(params), []
    update = jax.jit(lambda s, v: tx.update(params, s, params, value=v))
    for value in losses:
        _, state = update(state, jnp.float32(value))
        found.append(float(state.inner.scale))
    return found


def test_the_sequence_of_rates_equals_torchs_with_patience_one_less():
    torch = pytest.importorskip("torch")
    random = np.random.RandomState(2)
    losses = (2 + np.exp(-np.arange(200) / 40) + 0.05 * random.randn(200)).astype(np.float32)
    weight = torch.nn.Parameter(torch.zeros(()))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.8, patience=5 - 1, threshold=1e-4)
    expected = []
    for value in losses:
        reference.step(float(value))
        expected.append(optimiser.param_groups[0]["lr"])
    assert expected[-1] < 0.5
    np.testing.assert_allclose(_rates(losses, 0.8, 5), expected, rtol=1e-6)


def test_a_batch_without_labels_is_no_judgement():
    with_gaps = [3.0, float("nan"), 2.0, float("nan"), 2.0, 2.0, 2.0]
    assert _rates(with_gaps, 0.5, 2)[-1] == _rates([3.0, 2.0, 2.0, 2.0, 2.0], 0.5, 2)[-1] < 1


def test_the_plateau_judges_the_smoothed_loss():
    random = np.random.RandomState(0)
    falling = 5 - 0.01 * np.arange(150) + 0.3 * random.randn(150)
    tx, params = optimizer.plateau(0.5, 20, 20), {"w": jnp.ones(())}
    state, update = tx.init(params), jax.jit(lambda s, v: tx.update(params, s, params, value=v))
    for value in falling:
        _, state = update(state, jnp.float32(value))
    assert float(state.inner.scale) == 1.0  # noise alone would have cut it: the raw losses do
    assert _rates(falling, 0.5, 20)[-1] < 1


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_the_rate_rises_then_stays_or_falls(schedule):
    config = Config(schedule=schedule, warmup=10, lr=1e-3)
    rates = np.array([optimizer.rate(config, 100)(step) for step in range(101)])
    assert rates[0] == 0 and np.all(np.diff(rates[:11]) > 0)
    assert rates[10] == pytest.approx(1e-3)
    assert rates[100] == pytest.approx(0 if schedule == "cosine" else 1e-3, abs=1e-9)


def test_the_reported_rate_is_the_one_taken():
    config = Config(schedule="plateau", plateau_patience=0.4, warmup=0, clip=0.0, weight_decay=0.0)
    tx, params = optimizer.make(config, 50, 5), {"layer": {"kernel": jnp.ones(())}}
    state = tx.init(params)
    for step in range(30):
        updates, state = tx.update({"layer": {"kernel": jnp.ones(())}}, state, params, value=1.0)
        told = optimizer.current_rate(optimizer.rate(config, 50), state, jnp.int32(step))
        assert -float(updates["layer"]["kernel"]) == pytest.approx(float(told), rel=1e-4)
    assert float(told) < config.lr


def _two_parts(random):
    """A backbone with a kernel and a scale, a head with a kernel and a bias."""
    backbone = {"layer": {"kernel": random.randn(3, 4)}, "norm": {"scale": np.ones(4)}}
    head = {"kernel": random.randn(4, 2), "bias": random.randn(2)}
    return jax.tree.map(np.float32, {"backbone": backbone, "head": head})


def _taken(config, start, gradients):
    """The parameters after these steps of ours."""
    tx, params = optimizer.make(config, len(gradients), 10), jax.tree.map(jnp.asarray, start)
    update, state = jax.jit(lambda g, s, p: tx.update(g, s, p, value=1.0)), tx.init(params)
    for g in gradients:
        updates, state = update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params


def _taken_by_torch(config, start, gradients, frozen=0):
    """The same by torch: a group for each part, kernels apart; no gradient for the backbone in the frozen steps."""
    torch = pytest.importorskip("torch")
    tensors = jax.tree.map(lambda p: torch.nn.Parameter(torch.tensor(p)), start)
    back, head = tensors["backbone"], tensors["head"]
    slow, rest = config.lr * config.backbone_lr, config.lr
    groups = [
        {"params": [back["layer"]["kernel"]], "lr": slow},
        {"params": [back["norm"]["scale"]], "lr": slow, "weight_decay": 0.0},
        {"params": [head["kernel"]], "lr": rest},
        {"params": [head["bias"]], "lr": rest, "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    for number, g in enumerate(gradients):
        if number == frozen > 0:
            for group in reference.param_groups:
                group["lr"] *= config.thaw_lr
        jax.tree.map(lambda t, value: setattr(t, "grad", torch.tensor(value)), tensors, g)
        for tensor in jax.tree.leaves(back) if number < frozen else []:
            tensor.grad = None
        reference.step()
    return jax.tree.map(lambda t: t.detach().numpy(), tensors)


_PARTS = dict(schedule="constant", warmup=0, clip=0.0, lr=1e-2, weight_decay=0.1)


@pytest.mark.parametrize("factor", [0.1, 0.0, 3.0])
def test_twenty_steps_with_a_slower_backbone_equal_torchs_parameter_groups(random, factor):
    start = _two_parts(random)
    gradients = [jax.tree.map(lambda p: random.randn(*p.shape).astype(np.float32), start) for _ in range(20)]
    config = Config(**_PARTS, backbone_lr=factor)
    ours, theirs = _taken(config, start, gradients), _taken_by_torch(config, start, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), ours, theirs)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_thawed_backbone_resumes_as_torchs_that_had_no_gradient(random, factor):
    """torch keeps no moments for a parameter without gradient, so the first thawed step is corrected as a first."""
    start = _two_parts(random)
    gradients = [jax.tree.map(lambda p: random.randn(*p.shape).astype(np.float32), start) for _ in range(20)]
    config = Config(**_PARTS, freeze=0.7, backbone_lr=factor, thaw_lr=0.3)  # 7 steps of the 10 of an epoch
    still = [{**g, "backbone": jax.tree.map(np.zeros_like, g["backbone"])} for g in gradients[:7]]
    ours, theirs = _taken(config, start, still + gradients[7:]), _taken_by_torch(config, start, gradients, 7)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), ours, theirs)
    unmoved = _taken(config, start, still)["backbone"]
    jax.tree.map(np.testing.assert_array_equal, unmoved, start["backbone"])


def _torchs_rates(scheduler, steps, **settings):
    """The rate of each step of a torch scheduler that follows every step, as its documentation has it."""
    torch = pytest.importorskip("torch")
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1e-3)
    reference, found = getattr(torch.optim.lr_scheduler, scheduler)(optimiser, **settings), []
    for number in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if number < steps - 1:
            reference.step()
    return np.array(found)


def _rates_of(schedule, steps):
    return np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(steps)))


@pytest.mark.parametrize("steps", [10, 50, 200])
def test_onecycle_equals_torchs_with_its_defaults_step_by_step(steps):
    ours = _rates_of(optimizer.rate(Config(schedule="onecycle", lr=1e-3), steps), steps)
    np.testing.assert_allclose(ours, _torchs_rates("OneCycleLR", steps, max_lr=1e-3, total_steps=steps), atol=1e-9)
    assert ours[0] == pytest.approx(4e-5) and ours.max() == pytest.approx(1e-3) and ours[-1] < 5e-9


@pytest.mark.parametrize("steps", [33, 101])
def test_where_three_tenths_of_the_steps_are_no_whole_number_onecycle_turns_at_a_whole_step(steps):
    """torch's peak lies between two steps then; ours is at one, less than a step away."""
    ours = _rates_of(optimizer.rate(Config(schedule="onecycle", lr=1e-3), steps), steps)
    theirs = _torchs_rates("OneCycleLR", steps, max_lr=1e-3, total_steps=steps)
    assert abs(np.argmax(ours) - (0.3 * steps - 1)) < 1 and ours.max() == pytest.approx(1e-3)
    assert np.abs(ours - theirs).max() < np.abs(np.diff(theirs)).max()
    np.testing.assert_allclose(ours[[0, -1]], theirs[[0, -1]], atol=1e-9)


def test_the_least_run_of_onecycle_peaks_within_it():
    assert np.argmax(_rates_of(optimizer.rate(Config(schedule="onecycle"), 5), 5)) == 1
    with pytest.raises(ValueError, match="^`schedule` onecycle needs 5 steps or more, the run has 4$"):
        optimizer.rate(Config(schedule="onecycle"), 4)


def test_cosine_equals_torchs_from_its_first_step_on():
    """No offset: both begin at the whole rate and would be at 0 in the step after the last."""
    ours = _rates_of(optimizer.rate(Config(schedule="cosine", lr=1e-3, warmup=0), 40), 40)
    np.testing.assert_allclose(ours, _torchs_rates("CosineAnnealingLR", 40, T_max=40), atol=1e-9)
    warmed = _rates_of(optimizer.rate(Config(schedule="cosine", lr=1e-3, warmup=8), 48), 48)
    np.testing.assert_allclose(warmed[8:], ours, atol=1e-9)
    np.testing.assert_allclose(warmed[:8], 1e-3 * np.arange(8) / 8, atol=1e-9)


@pytest.mark.bits
@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle", "plateau"])
def test_the_rate_after_the_thaw_is_the_schedules_times_the_factor(schedule):
    config = Config(schedule=schedule, freeze=1.0, thaw_lr=0.25)
    plain, thawing = (_rates_of(optimizer.rate(config, 50, frozen), 50) for frozen in (0, 20))
    np.testing.assert_allclose(thawing / np.where(plain > 0, plain, 1), (plain > 0) * np.repeat([1, 0.25], [20, 30]))


def test_the_sweep_is_a_geometric_sequence_from_first_to_last():
    np.testing.assert_allclose(_rates_of(optimizer.sweep(1e-6, 1.0, 25), 25), np.geomspace(1e-6, 1.0, 25), rtol=1e-5)
    assert float(optimizer.sweep(1e-4, 1.0, 1)(0)) == pytest.approx(1e-4)


def test_the_steps_of_a_sweep_are_taken_at_its_rates_whatever_the_schedule(random):
    """Adam's first step is of one rate per weight, whatever the gradient: its length says the rate."""
    start = _two_parts(random)
    config = Config(schedule="plateau", clip=0.0, weight_decay=0.0, backbone_lr=0.5, warmup=3)
    tx = optimizer.make(config, 10, 5, optimizer.sweep(1e-3, 1e-1, 3))
    state = tx.init(start)
    for expected in (1e-3, 1e-2, 1e-1):
        updates, state = tx.update(jax.tree.map(np.ones_like, start), state, start, value=1.0)
        for part, factor in (("head", 1.0), ("backbone", 0.5)):
            for leaf in jax.tree.leaves(updates[part]):
                np.testing.assert_allclose(leaf, -factor * expected, rtol=1e-4)


def test_the_norm_of_the_weights_is_that_of_all_kernels_and_of_nothing_else(random):
    params = _two_parts(random)
    kernels = [params["backbone"]["layer"]["kernel"], params["head"]["kernel"]]
    expected = np.sqrt(sum((k.astype(np.float64) ** 2).sum() for k in kernels))
    assert float(optimizer.weight_norm(params)) == pytest.approx(expected, rel=1e-6)


def test_a_schedule_that_is_not_known_is_rejected_with_those_that_are():
    with pytest.raises(ValueError, match="^`schedule` 'step' is not known: choose one of cosine, plateau, onecycle,"):
        Config(schedule="step").check()
