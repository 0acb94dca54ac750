"""The optimiser against PyTorch's AdamW and ReduceLROnPlateau."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmarks import optim
from jaxmarks.config import Config


def _params(random):
    kernel, bias = (random.randn(3, 4).astype(np.float32), random.randn(4).astype(np.float32))
    return {"layer": {"kernel": kernel, "bias": bias}, "norm": {"scale": np.ones(4, np.float32)}}


def test_twenty_steps_equal_torchs_adamw_with_decay_on_kernels_only(random):
    torch = pytest.importorskip("torch")
    start = _params(random)
    gradients = [jax.tree.map(lambda p: random.randn(*p.shape).astype(np.float32), start) for _ in range(20)]
    config = Config(schedule="constant", warmup=0, clip=0.0, lr=1e-2, weight_decay=0.1)
    tx, params = optim.make(config, 20, 5), jax.tree.map(jnp.asarray, start)
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
    tx, params = optim.plateau(factor, patience, 1), {"w": jnp.ones(())}
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
    tx, params = optim.plateau(0.5, 20, 20), {"w": jnp.ones(())}
    state = tx.init(params)
    for value in falling:
        _, state = tx.update(params, state, params, value=jnp.float32(value))
    assert float(state.inner.scale) == 1.0  # noise alone would have cut it: the raw losses do
    assert _rates(falling, 0.5, 20)[-1] < 1


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_the_rate_rises_then_stays_or_falls(schedule):
    config = Config(schedule=schedule, warmup=10, lr=1e-3)
    rates = np.array([optim.rate(config, 100)(step) for step in range(101)])
    assert rates[0] == 0 and np.all(np.diff(rates[:11]) > 0)
    assert rates[10] == pytest.approx(1e-3)
    assert rates[100] == pytest.approx(0 if schedule == "cosine" else 1e-3, abs=1e-9)


def test_the_reported_rate_is_the_one_taken():
    config = Config(schedule="plateau", plateau_patience=0.4, warmup=0, clip=0.0, weight_decay=0.0)
    tx, params = optim.make(config, 50, 5), {"layer": {"kernel": jnp.ones(())}}
    state = tx.init(params)
    for step in range(30):
        updates, state = tx.update({"layer": {"kernel": jnp.ones(())}}, state, params, value=1.0)
        told = optim.current_rate(config, 50, state, jnp.int32(step))
        assert -float(updates["layer"]["kernel"]) == pytest.approx(float(told), rel=1e-4)
    assert float(told) < config.lr
