"""bfloat16 in the backbone's convolutions, float32 in all that is kept or judged: close to float32, and it learns."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jaxmarks import experiment, keys, landmarks, models
from jaxmarks.config import Config
from jaxmarks.models.inception import LEAST_SIZE_AUXILIARY
from jaxmarks.models.layers import Backbone, BatchNorm, Conv
from jaxmarks.models.ops import Ops
from jaxmarks.training import sharding
from tests.tiny import CONFIG, batch_of

pytestmark = pytest.mark.bits

LEAST = {"resnet18": 32, "resnet50": 32, "inception_v3": 75}  # sides of images


class Small(Backbone):
    """Two convolutions with batch norm, of the same layers as the backbones': quick to compile."""

    ops: Ops

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for index, width in enumerate((16, 32)):
            x = Conv(width, 3, self.ops, 2, name=f"conv{index}")(x)
            x = nn.relu(BatchNorm(self.ops, name=f"bn{index}")(x, train))
        return x


@pytest.fixture
def small(monkeypatch) -> str:
    """The name under which `Small` can be built."""
    monkeypatch.setitem(models.NAMES, "small", lambda ops: Small(ops, name="backbone"))
    return "small"


def pictures(size: int, count: int = 2) -> np.ndarray:
    return np.random.RandomState(size).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def both(name: str, size: int, train: bool) -> list:
    """[(points, statistics)] of the same weights, in float32 and in bfloat16."""
    built = [models.build(name, 5, precision=precision) for precision in ("float32", "bfloat16")]
    weights = jax.jit(built[0].init, static_argnums=1)(keys.named(keys.root(0), "init"), size)
    return [jax.jit(m.apply, static_argnums=3)(*weights, pictures(size), train) for m in built]


def assert_near(name: str, size: int, train: bool, tolerance: float) -> None:
    """bfloat16's points and statistics are float32 and near float32's own, but not those."""
    (exact, stats), (found, moved) = both(name, size, train)
    scale = np.abs(exact).max()
    assert scale > 0 and 0 < np.abs(found - exact).max() <= tolerance * scale
    for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(moved), strict=True):
        assert b.dtype == np.float32 and np.abs(a - b).max() <= tolerance * max(np.abs(a).max(), 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_points_are_near_those_of_float32(small, train):
    """bfloat16 has 8 bits: one rounding is 0.4 percent."""
    assert_near(small, 32, train, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "inception_v3"])
def test_points_of_the_whole_networks_are_near_those_of_float32(name):
    assert_near(name, LEAST[name], False, 0.04)


PRODUCTS = ("conv_general_dilated", "dot_general")


def equations(jaxpr) -> Iterator:
    """Of a traced function and of those within it, in order."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            if hasattr(inner, "jaxpr") or hasattr(inner, "eqns"):
                yield from equations(getattr(inner, "jaxpr", inner))


def products(jaxpr) -> list[tuple[str, str, str]]:
    """(primitive, type of its operands, type of its result) of every convolution and matrix product, in order."""
    found = []
    for equation in (e for e in equations(jaxpr) if e.primitive.name in PRODUCTS):
        kinds = {str(v.aval.dtype) for v in equation.invars}
        found.append((equation.primitive.name, "/".join(sorted(kinds)), str(equation.outvars[0].aval.dtype)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [("resnet18", "float32"), *((name, "bfloat16") for name in LEAST)])
def test_every_product_of_the_backbone_is_of_the_precision_and_the_heads_is_float32(name, precision):
    model, size = models.build(name, 5, precision=precision), LEAST[name]
    weights = jax.eval_shape(lambda: model.init(keys.named(keys.root(0), "init"), size))
    image = jax.ShapeDtypeStruct((2, size, size, 3), np.float32)
    traced = jax.make_jaxpr(lambda p, s, x: model.apply(p, s, x, False))(*weights, image)
    *backbone, head = [kinds for _, *kinds in products(traced.jaxpr)]
    assert len(backbone) >= sum(a.ndim == 4 for a in jax.tree.leaves(weights[0]["backbone"])) >= 20
    assert all(factors == precision for factors, _ in backbone)  # a CPU sums them in float32
    assert head == ["float32", "float32"]


def test_the_products_of_its_gradient_are_bfloat16_too():
    model = models.build("resnet18", 5, precision="bfloat16")
    weights = jax.eval_shape(lambda: model.init(keys.named(keys.root(0), "init"), 32))
    slope = jax.grad(lambda p, s, x: jnp.sum(model.apply(p, s, x, True)[0]))
    traced = jax.make_jaxpr(slope)(*weights, jax.ShapeDtypeStruct((2, 32, 32, 3), np.float32))
    kinds = [factors for _, factors, _ in products(traced.jaxpr)]
    assert set(kinds) == {"bfloat16", "float32"}
    assert kinds.count("float32") == 3  # the head's: forward, for its kernel, for what it sees
    assert len(kinds) >= 3 + 3 * 20 - 1  # and three of each convolution; the first passes nothing on


def precisions(jaxpr) -> list:
    """What every convolution and matrix product asks of the device, in order."""
    return [e.params["precision"] for e in equations(jaxpr) if e.primitive.name in PRODUCTS]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", pytest.param("inception_v3", marks=pytest.mark.slow)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "tf32"])
def test_on_a_gpu_products_of_float32_are_full_unless_tf32_is_asked_for(monkeypatch, name, precision):
    """Forward and backward, by what is asked of the device; the heads' are full always, and a CPU is asked for nothing."""
    model, size = models.build(name, 5, precision=precision), 32 if name == "resnet18" else LEAST_SIZE_AUXILIARY
    weights = jax.eval_shape(lambda: model.init(keys.named(keys.root(0), "init"), size))
    image = jax.ShapeDtypeStruct((2, size, size, 3), np.float32)

    def loss(params, stats, x):
        points, aux, _ = model.apply_both(params, stats, x)
        return jnp.sum(points) + (0 if aux is None else jnp.sum(aux))

    trace = lambda: precisions(jax.make_jaxpr(jax.grad(loss))(*weights, image).jaxpr)  # noqa: E731
    assert set(trace()) == {None}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found, heads = trace(), 3 if name == "resnet18" else 6
    full = [p == (lax.Precision.HIGHEST,) * 2 for p in found]
    assert len(found) > 60 and (all(full) if precision == "float32" else sum(full) == heads)
    assert precision == "float32" or found.count(None) == len(found) - heads


@pytest.mark.slow
def test_tf32_on_a_cpu_is_float32_and_training_says_so():
    exact, found = (plan_of("resnet18", precision=p).model for p in ("float32", "tf32"))
    weights = jax.jit(exact.init, static_argnums=1)(keys.named(keys.root(0), "init"), 32)
    assert np.array_equal(
        *[jax.jit(m.apply, static_argnums=3)(*weights, pictures(32), False)[0] for m in (exact, found)]
    )
    assert "`precision` tf32 is float32 on a CPU" in experiment.remarks(plan_of("resnet18", precision="tf32"))


def plan_of(model: str, **settings) -> experiment.Experiment:
    config = Config(
        **{**CONFIG.__dict__, "model": "resnet18", "augment": "none", "schedule": "constant", "precision": "bfloat16"}
        | settings
    )
    mesh = sharding.mesh(jax.devices()[:1])
    plan = experiment.assemble(config, keys.root(0), landmarks.scheme(5), 100, mesh)
    return plan._replace(model=models.build(model, 5, precision=config.precision))


def floating(tree) -> set[str]:
    return {str(a.dtype) for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.floating)}


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 32), pytest.param("inception_v3", LEAST_SIZE_AUXILIARY, marks=pytest.mark.slow)],
)
def test_everything_that_a_step_keeps_is_float32(name, size):
    """By the shapes of the step alone; with averages, parts and an auxiliary output in it."""
    plan = plan_of(name, ema=0.9, accumulate=2, backbone_lr=0.1, size=size)
    start, batch = plan.template(), batch_of(size=size)
    assert ("aux" in start.params) == (name == "inception_v3")
    after, record = jax.eval_shape(plan.training_step(), start, batch)
    assert floating(start) == floating(after) == floating(record) == {"float32"}
    kinds = [jax.tree.map(lambda a: (a.shape, a.dtype), s) for s in (start, after)]
    assert kinds[0] == kinds[1]


def assert_learns(plan: experiment.Experiment, steps: int) -> None:
    """It learns one batch by heart: the loss falls to less than half, and everything stays finite."""
    take, now = plan.training_step(), plan.initial_state()
    losses = []
    for _ in range(steps):
        now, record = take(now, batch_of(size=plan.config.size))
        losses.append(float(record.loss))
    assert int(now.bad_step) == -1 and floating(now) == {"float32"}
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_it_learns(small):
    assert_learns(plan_of(small, lr=1e-2), 30)


@pytest.mark.slow
def test_a_whole_network_learns():
    assert_learns(plan_of("resnet18", size=LEAST["resnet18"]), 20)


def test_another_precision_is_rejected_with_those_that_are_known():
    with pytest.raises(ValueError, match="^`precision` 'float16' is not known: choose one of float32, bfloat16, tf32$"):
        Config(precision="float16").check()
