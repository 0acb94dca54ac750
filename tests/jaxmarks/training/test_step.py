"""The training step: devices change nothing they must not, it compiles once, and a bad number cannot spoil the state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmarks import experiment, keys, landmarks
from jaxmarks.config import Config
from jaxmarks.training import sharding, state, step
from tests.tiny import CONFIG, LINEAR, batch_of, step_of

pytestmark = pytest.mark.bits


def _plan(devices, config=CONFIG):
    plan = experiment.assemble(config, keys.root(0), landmarks.scheme(5), 100, sharding.mesh(jax.devices()[:devices]))
    return plan._replace(model=LINEAR)


def _trained(devices, steps, config=CONFIG):
    plan = _plan(devices, config)
    take, now = plan.training_step(), plan.initial_state()
    records = []
    for n in range(steps):
        now, record = take(now, sharding.split(plan.mesh, batch_of(n)))
        records.append(record)
    return now, step.stack(records), take


@pytest.mark.parametrize("devices", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_batches_are_bit_equal_and_losses_agree_on_any_number_of_devices(devices):
    one, many = _trained(1, 3), _trained(devices, 3)
    np.testing.assert_array_equal(one[1].checksum, many[1].checksum)
    np.testing.assert_allclose(one[1].loss, many[1].loss, rtol=1e-4)
    np.testing.assert_array_equal(one[1].kept, many[1].kept)


@pytest.mark.slow
def test_the_rendered_batch_does_not_depend_on_its_size_or_neighbours():
    plan = _plan(1, Config(**{**CONFIG.__dict__, "augment": "contest"}))
    whole = plan.render()(batch_of())
    half = plan.render()(jax.tree.map(lambda a: a[4:], batch_of()))
    for a, b in zip(whole, half, strict=True):
        np.testing.assert_array_equal(a[4:], b)


@pytest.mark.slow
def test_the_sharded_step_equals_a_pmap_of_it():
    """Gradients by SGD, since Adam hides a wrong factor; untrimmed, so that the mean over devices is the batch's."""
    plan, tx = _plan(4), optax.with_extra_args_support(optax.sgd(0.1))
    take = step_of(plan, tx)
    start = state.beginning(tx, *LINEAR.init(keys.named(plan.key, "init"), 32))
    first = jax.device_get(start.params)
    ours, _ = take(sharding.replicate(plan.mesh, start), sharding.split(plan.mesh, batch_of()))
    shown = plan.render()(sharding.split(plan.mesh, batch_of()))

    def local(params, image, target):
        def objective(p):
            residual = 64 * (LINEAR.apply(p, {}, image, True)[0] - (target - 15.5) / 16)
            size = jnp.abs(residual)
            return jnp.mean(jnp.where(size < 1, 0.5 * size**2, size - 0.5))

        return jax.lax.pmean(jax.grad(objective)(params), "devices")

    parts = (np.asarray(a).reshape(4, 2, *a.shape[1:]) for a in (shown.images, shown.points))
    mapped = jax.pmap(local, axis_name="devices", in_axes=(None, 0, 0), devices=jax.devices()[:4])
    gradient = np.asarray(mapped(first, *parts)["head"]["kernel"])[0]
    expected = first["head"]["kernel"] - 0.1 * gradient
    np.testing.assert_allclose(ours.params["head"]["kernel"], expected, rtol=1e-5, atol=1e-7)


def test_the_trim_band_is_of_the_globalbatch_of():
    config = Config(**{**CONFIG.__dict__, "trim_top": 0.25, "trim_keep": 0.75})
    _, record, _ = _trained(4, 1, config)
    kept = np.argsort(-record.each[0], kind="stable")[2:6]
    assert set(np.flatnonzero(record.kept[0])) == set(kept)
    np.testing.assert_allclose(record.loss[0], record.each[0][kept].mean(), rtol=1e-6)


def test_it_compiles_once():
    _, _, take = _trained(1, 4)
    assert take._cache_size() == 1


def test_from_the_first_number_that_is_not_finite_the_state_stands_still():
    plan = _plan(1)
    take, now = plan.training_step(), plan.initial_state()
    now, _ = take(now, batch_of(0))
    before = state.digest({k: v for k, v in state.flatten(now).items() if "bad_step" not in k})
    bad = batch_of(1)
    bad.points[3, 2] = np.nan
    for batch in (bad, batch_of(2)):
        now, _ = take(now, batch)
    after = state.digest({k: v for k, v in state.flatten(now).items() if "bad_step" not in k})
    assert before == after and int(now.bad_step) == 1


def test_a_batch_without_any_label_changes_no_weight_but_by_decay():
    plan = _plan(1, Config(**{**CONFIG.__dict__, "weight_decay": 0.0}))
    take, now = plan.training_step(), plan.initial_state()
    before = np.asarray(now.params["head"]["kernel"])
    blank = batch_of()
    blank.mask[:] = False
    now, record = take(now, blank)
    np.testing.assert_array_equal(now.params["head"]["kernel"], before)
    assert record.loss == 0 and not record.kept.any() and int(now.bad_step) == -1


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["crop", "photo", "face"])
def test_the_loss_unit_is_a_factor_on_each_images_residuals(unit):
    """L1 is homogeneous, so the factor can be read off each example's loss."""
    plan = _plan(1, Config(**{**CONFIG.__dict__, "loss": "l1", "loss_unit": unit, "augment": "none"}))
    batch = batch_of()
    batch.frame[:, :2, :2] *= np.linspace(0.5, 2, 8)[:, None, None]
    _, record = plan.training_step()(plan.initial_state(), batch)
    reference = _plan(1, Config(**{**CONFIG.__dict__, "loss": "l1", "augment": "none"}))
    _, crop = reference.training_step()(reference.initial_state(), batch)
    eyes = np.hypot(*(batch.points[:, 0] - batch.points[:, 1]).T)
    factor = {"crop": np.ones(8), "photo": 1 / np.linspace(0.5, 2, 8), "face": 32 / eyes}[unit]
    np.testing.assert_allclose(record.each / crop.each, factor, rtol=1e-4)


def test_batches_that_do_not_divide_are_rejected_with_the_nearest_that_do():
    with pytest.raises(ValueError, match="a batch of 6 cannot be split over 4 devices: use 4 or 8"):
        experiment.assemble(Config(**{**CONFIG.__dict__, "batch": 6}), keys.root(0), landmarks.scheme(5), 100)


def test_mirroring_without_a_permutation_is_rejected_before_anything_is_compiled():
    with pytest.raises(ValueError, match="mirrors, but how these points mirror is not known"):
        experiment.assemble(Config(**{**CONFIG.__dict__, "augment": "contest"}), keys.root(0), landmarks.scheme(7), 100)
    experiment.assemble(Config(**{**CONFIG.__dict__, "augment": "auto"}), keys.root(0), landmarks.scheme(7), 100)


def test_a_run_says_what_a_person_should_know_of_it():
    settings = Config(**{**CONFIG.__dict__, "batch": 8, "trim_top": 0.01, "trim_keep": 0.3})
    known = experiment.remarks(experiment.assemble(settings, keys.root(0), landmarks.scheme(5), 100))
    assert "--check known" in known[0] and "the worst 0 and the easiest 5 are left out" in known[1]
    (unknown,) = experiment.remarks(experiment.assemble(CONFIG, keys.root(0), landmarks.scheme(7), 100))
    assert "trained unmirrored" in unknown


@pytest.mark.slow
def test_an_auxiliary_output_adds_its_weight_of_its_own_loss_over_the_examples_that_are_kept():
    def both(params, stats, image, train):
        points, stats = LINEAR.apply(params, stats, image, train)
        return points, 0 * points, stats  # an auxiliary head that always says: the middle

    config = Config(**{**CONFIG.__dict__, "trim_top": 0.25, "loss": "l2", "augment": "none"})
    plan = _plan(1, config)
    batch = batch_of()
    before, record = plan.training_step()(plan.initial_state(), batch)
    with_aux = plan._replace(model=LINEAR._replace(apply_aux=both, aux_weight=0.4))
    _, found = with_aux.training_step()(plan.initial_state(), batch)
    away = 64 * (batch.points.astype(np.float64) - 15.5) / 16
    expected = (away**2).mean((1, 2))[np.asarray(record.kept)].mean()
    assert int(record.kept.sum()) == 6 and np.array_equal(record.kept, found.kept)
    np.testing.assert_allclose(found.loss - record.loss, 0.4 * expected, rtol=1e-4)
    np.testing.assert_array_equal(found.each, record.each)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_what_is_not_labelled_has_no_influence_mirrored_or_not(mirror):
    """A mirrored face has its points under other names, and what is not labelled of it too."""
    config = Config(**{**CONFIG.__dict__, "augment": f'{{"geometry": {{"mirror": {mirror}}}}}'})
    plan, records = _plan(1, config), []
    for anything in (0.0, 1e4):
        batch = batch_of()
        batch.mask[:, 0] = batch.mask[:, 3] = False
        batch.points[:, [0, 3]] = anything
        records.append(plan.training_step()(plan.initial_state(), batch)[1])
    np.testing.assert_array_equal(records[0].each, records[1].each)
    assert records[0].nme == records[1].nme < 10 and records[0].loss == records[1].loss


@pytest.mark.slow
def test_a_norm_of_zero_is_replaced_in_training_as_in_validation():
    """Read off the losses of two units: a line has a box once it is turned, which validation would not divide by."""
    geometry, units = '{"geometry": {"rotation": [20, 20], "scale": [1.25, 1.25]}}', {}
    for unit in ("crop", "face"):
        plan = _plan(1, Config(**{**CONFIG.__dict__, "loss": "l1", "loss_unit": unit, "augment": geometry}))
        batch = batch_of()
        batch.points[0] = [[9.0, 4.0 + k] for k in range(5)]  # a line, its first two points apart
        batch.mask[1, :4] = False  # one point
        batch.points[2], batch.mask[2, 0] = batch.points[0], False  # a line without one of the scheme's two
        batch.points[3, 1] = batch.points[3, 0]  # these in one place: the box
        batch.mask[4, 1] = False
        units[unit] = plan.training_step()(plan.initial_state(), batch)[1].each
    found = 32 * units["crop"] / units["face"]
    turned = (
        batch.points @ np.array([[np.cos(np.pi / 9), -np.sin(np.pi / 9)], [np.sin(np.pi / 9), np.cos(np.pi / 9)]]).T
    )
    box = 1.25 * np.sqrt(np.prod(np.ptp(np.delete(turned[3:5], 1, 1), axis=1), axis=1))
    whole = 1.25 * 40 * np.sqrt(2)  # the diagonal that batch_of gives, in frames that enlarge by nothing
    np.testing.assert_allclose(found[:3], [1.25, whole, whole], rtol=1e-3)
    assert found[4] == pytest.approx(box[1], rel=1e-3)
    every = np.ptp(turned[3], axis=0)
    assert found[3] == pytest.approx(1.25 * np.sqrt(np.prod(every)), rel=1e-3)
