"""The backbones against torchvision's architecture in torch, and the two forms of each operation."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxmarks import models
from jaxmarks.models import ops

NUM_POINTS = 5


@functools.cache
def compiled(name: str) -> models.Model:
    """Both functions jitted, once a test run."""
    model = models.build(name, NUM_POINTS)
    return models.Model(jax.jit(model.init, static_argnums=1), jax.jit(model.apply, static_argnums=3))


@functools.cache
def gradients_of(name: str) -> Callable:
    """Jitted (params, stats, image) -> gradients, (points, new_stats); the loss weighs every output apart."""
    model = models.build(name, NUM_POINTS)

    def loss(params, stats, image):
        points, new_stats = model.apply(params, stats, image, True)
        weights = jnp.linspace(-1.0, 2.0, points.size).reshape(points.shape)
        return jnp.sum(weights * points + points**2), (points, new_stats)

    return jax.jit(jax.grad(loss, has_aux=True))


def pictures(size: int, count: int = 2) -> jax.Array:
    """Noise over a gradient: neither flat nor the same everywhere."""
    noise = np.random.default_rng(size).uniform(0, 128, (count, size, size, 3))
    ramp = np.linspace(0, 127, size)[None, :, None, None]
    return jnp.asarray(noise + ramp, jnp.float32)


def assert_close(ours, theirs, tolerance: float, label: str = "") -> None:
    """The largest difference, over the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, label
    scale = max(float(np.abs(theirs).max()), 1e-6)
    assert float(np.abs(ours - theirs).max()) <= tolerance * scale, label


def assert_trees_close(ours: dict, theirs: dict, tolerance: float) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert_close(a, b, tolerance, jax.tree_util.keystr(path))


def with_random_norms(network, mode: str):
    """A network of torch with kaiming's weights by `mode`, which keep the signal's scale, and random norms and statistics."""
    nn = pytest.importorskip("torch").nn
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    return network


# The reference: torchvision's ResNet, written from torch's layers with torchvision's names.


def torch_resnet(name: str):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    wide = name == "resnet50"
    expansion, depths = (4, (3, 4, 6, 3)) if wide else (1, (2, 2, 2, 2))

    def conv(inputs: int, outputs: int, size: int, stride: int = 1):
        return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            outputs = width * expansion
            if wide:
                shapes = [(inputs, width, 1), (width, width, 3, stride), (width, outputs, 1)]
            else:
                shapes = [(inputs, width, 3, stride), (width, width, 3)]
            self.count = len(shapes)
            for index, shape in enumerate(shapes, start=1):
                setattr(self, f"conv{index}", conv(*shape))
                setattr(self, f"bn{index}", nn.BatchNorm2d(shape[1]))
            self.downsample = None
            if stride != 1 or inputs != outputs:
                self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = x
            for index in range(1, self.count + 1):
                y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
                y = torch.relu(y) if index < self.count else y
            return torch.relu(y + (x if self.downsample is None else self.downsample(x)))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            inputs = 64
            for stage, depth in enumerate(depths):
                blocks = []
                for index in range(depth):
                    blocks.append(Block(inputs, 64 * 2**stage, 2 if stage and not index else 1))
                    inputs = 64 * 2**stage * expansion
                setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            self.fc = nn.Linear(inputs, 2 * NUM_POINTS)

        def forward(self, image):
            mean = torch.tensor([0.485, 0.456, 0.406], dtype=image.dtype)
            deviation = torch.tensor([0.229, 0.224, 0.225], dtype=image.dtype)
            x = ((image / 255 - mean) / deviation).permute(0, 3, 1, 2)
            x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
            for stage in range(1, 5):
                x = getattr(self, f"layer{stage}")(x)
            return self.fc(x.mean((2, 3))).reshape(-1, NUM_POINTS, 2)

    torch.manual_seed(1)
    return with_random_norms(ResNet(), "fan_out")


NAMES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def ours_of(named: dict) -> tuple[dict, dict]:
    """torchvision's names and layouts -> (params, stats)."""
    trees = {"params": {}, "stats": {}}
    for name, value in named.items():
        *modules, leaf = name.replace(".downsample.", ".downsample_").split(".")
        if leaf == "num_batches_tracked":
            continue
        if modules[0].startswith("layer"):
            modules = [f"{modules[0]}_{modules[1]}", *modules[2:]]
        value = value.detach().numpy()
        if modules == ["fc"]:
            path, leaf = ["head"], "kernel" if leaf == "weight" else "bias"
            value = value.T
        else:
            path, leaf = ["backbone", *modules], "kernel" if value.ndim == 4 else NAMES[leaf]
            value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
        node = trees["stats" if leaf in ("mean", "var") else "params"]
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = np.array(value)
    return trees["params"], trees["stats"]


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 64), *(pytest.param(name, 65, marks=pytest.mark.slow) for name in ("resnet18", "resnet50"))],
)
def test_evaluation_equals_torch(name: str, size: int) -> None:
    network = torch_resnet(name)
    import torch

    params, stats = ours_of(network.state_dict())
    ours = jax.eval_shape(lambda key: compiled(name).init(key, size), jax.random.key(0))
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, (params, stats))
    image = pictures(size)
    with torch.no_grad():
        expected = network.eval()(torch.tensor(np.asarray(image))).numpy()
    assert float(np.std(expected)) > 0.01
    ours, _ = compiled(name).apply(params, stats, image, False)
    assert_close(ours, expected, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("resnet18", 64), ("resnet50", 65)])
def test_training_outputs_and_statistics_equal_torch(name: str, size: int) -> None:
    network = torch_resnet(name)
    import torch

    params, stats = ours_of(network.state_dict())
    image = pictures(size, 4)
    with torch.no_grad():
        expected = network.train()(torch.tensor(np.asarray(image))).numpy()
    points, new_stats = compiled(name).apply(params, stats, image, True)
    assert_close(points, expected, 1e-4)
    assert_trees_close(new_stats, ours_of(network.state_dict())[1], 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("resnet18", 33), ("resnet50", 32)])
def test_gradients_equal_torch(name: str, size: int) -> None:
    """In float64: in float32 a few of ReLU's signs differ, and each such moves a gradient by a per cent."""
    network = torch_resnet(name).double()
    import torch

    with jax.enable_x64(True):
        params, stats = ours_of(network.state_dict())
        image = jnp.asarray(np.asarray(pictures(size, 4)), jnp.float64)
        expected = network.train()(torch.tensor(np.asarray(image)))
        weights = torch.linspace(-1, 2, expected.numel(), dtype=torch.float64).reshape(expected.shape)
        (weights * expected + expected**2).sum().backward()
        gradients, (points, new_stats) = gradients_of(name)(params, stats, image)
        assert_close(points, expected.detach().numpy(), 1e-6)
        theirs, _ = ours_of({key: parameter.grad for key, parameter in network.named_parameters()})
        assert_trees_close(gradients, theirs, 1e-5)
        assert_trees_close(new_stats, ours_of(network.state_dict())[1], 1e-6)


# The forms of each operation.


def agree(one: Callable, other: Callable, arguments: tuple, tolerance: float) -> None:
    """Values and the gradients by all arguments."""
    for pull in (lambda f: f(*arguments), lambda f: jax.vjp(f, *arguments)[1](cotangent(f(*arguments)))):
        for a, b in zip(jax.tree.leaves(pull(one)), jax.tree.leaves(pull(other)), strict=True):
            assert_close(a, b, tolerance)


def cotangent(value: jax.Array) -> jax.Array:
    return jax.random.normal(jax.random.key(7), value.shape)


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("size", [2, 9, 24])  # two sizes at which a CPU takes patches, one at which it does not
@pytest.mark.parametrize(("window", "channels"), [(1, 16), (3, 16), (3, 64)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_agree(size: int, window: int, channels: int, stride: int) -> None:
    forms = [jax.jit(functools.partial(f.conv, stride=stride)) for f in (ops.CPU, ops.CPU_FOLDED, ops.PLAIN)]
    arguments = normal(0, 2, size, size, channels), normal(1, window, window, channels, 8)
    for form in forms[:2]:
        agree(form, forms[2], arguments, 1e-5)


@pytest.mark.parametrize("size", [8, 9])
def test_batch_norms_agree(size: int) -> None:
    arguments = (normal(0, 3, size, size, 6) * 3 + 2, normal(1, 6), normal(2, 6))
    agree(*[jax.jit(lambda *a, f=form.batch_norm: f(*a)[0]) for form in (ops.CPU, ops.PLAIN)], arguments, 1e-5)
    for a, b in zip(ops.CPU.batch_norm(*arguments), ops.PLAIN.batch_norm(*arguments), strict=True):
        assert_close(a, b, 1e-6)


@pytest.mark.parametrize("forms", [ops.CPU, ops.PLAIN])
def test_batch_norm_of_a_mean_far_from_zero(forms: ops.Ops) -> None:
    """The mean of squares less the squared mean has no digit left here."""
    x = normal(0, 8, 8, 8, 4) + 10_000
    y, _, var = forms.batch_norm(x, jnp.ones(4), jnp.zeros(4))
    wide = np.asarray(x, np.float64)
    assert_close(var, wide.var((0, 1, 2)), 1e-4)
    assert_close(y, (wide - wide.mean((0, 1, 2))) / wide.std((0, 1, 2)), 2e-3)


@pytest.mark.parametrize("size", [2, 7, 8])
def test_max_pools_agree(size: int) -> None:
    """With ties too: of equals the first wins, in both."""
    ties = jnp.round(normal(0, 2, size, size, 3))
    for x in (normal(1, 2, size, size, 3), ties, jnp.maximum(ties, 0)):
        agree(jax.jit(ops.CPU.max_pool), jax.jit(ops.PLAIN.max_pool), (x,), 1e-6)


def test_chosen_by_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    folded = ops.PLAIN._replace(folded=True)
    accelerator = ops.PLAIN, folded
    for backend, (whole, once) in {"cpu": (ops.CPU, ops.CPU_FOLDED), "gpu": accelerator, "tpu": accelerator}.items():
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        assert ops.chosen() == whole
        assert ops.chosen(folded=True) == once


# The face.


@pytest.mark.slow
def test_initial_values() -> None:
    params, stats = compiled("resnet18").init(jax.random.key(0), 64)
    leaves = dict(jax.tree_util.tree_leaves_with_path({"params": params, "stats": stats}))
    assert {leaf.dtype for leaf in leaves.values()} == {jnp.dtype("float32")}
    assert all(type(node) is dict for node in (params, stats, params["backbone"], params["head"]))
    for path, leaf in leaves.items():
        key = path[-1].key
        if key == "kernel" and leaf.ndim == 4:
            assert float(leaf.std()) == pytest.approx((2 / (leaf.shape[0] ** 2 * leaf.shape[3])) ** 0.5, rel=0.05)
        elif key != "kernel":
            assert float(jnp.abs(leaf - (key in ("scale", "var"))).max()) == 0
    again, _ = compiled("resnet18").init(jax.random.key(1), 64)
    assert float(jnp.abs(again["head"]["kernel"] - params["head"]["kernel"]).max()) > 0
    points, _ = compiled("resnet18").apply(params, stats, pictures(65), False)
    assert 0 < float(jnp.abs(points).max()) < 0.25


@pytest.mark.slow
def test_evaluation_returns_statistics_unchanged() -> None:
    params, stats = compiled("resnet18").init(jax.random.key(0), 64)
    points, same = models.build("resnet18", NUM_POINTS).apply(params, stats, pictures(32), False)
    assert points.shape == (2, NUM_POINTS, 2)
    assert same is stats


@pytest.mark.slow
def test_a_batch_over_four_devices_equals_one() -> None:
    """Statistics and gradients are those of the whole batch, of which one example is much brighter."""
    if jax.device_count() < 4:
        pytest.skip("needs XLA_FLAGS=--xla_force_host_platform_device_count=4")
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    everywhere, along = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    variables = compiled("resnet18").init(jax.random.key(0), 64)
    with jax.enable_x64(True):
        wide = functools.partial(jnp.asarray, dtype=jnp.float64)
        variables = jax.tree.map(wide, variables)
        image = wide(pictures(33, 4)) * jnp.asarray([1.0, 0.2, 0.2, 0.2]).reshape(4, 1, 1, 1)
        step = gradients_of("resnet18")
        gradients, (points, stats) = step(*variables, image)
        sharded = step(*jax.device_put(variables, everywhere), jax.device_put(image, along))
    assert_trees_close(sharded[0], gradients, 1e-6)
    assert_close(sharded[1][0], points, 1e-6)
    assert_trees_close(sharded[1][1], stats, 1e-6)


@pytest.mark.slow
def test_errors_name_what_is_known() -> None:
    with pytest.raises(ValueError, match="unknown model 'resnet19': expected one of resnet18, resnet50"):
        models.build("resnet19", 68)
    with pytest.raises(ValueError, match="num_points must be 1 or more, got 0"):
        models.build("resnet18", 0)
    params, stats = compiled("resnet18").init(jax.random.key(0), 64)
    model = models.build("resnet18", NUM_POINTS)
    with pytest.raises(ValueError, match=r"image must be \[batch, size, size, 3\], got shape \(2, 64, 32, 3\)"):
        model.apply(params, stats, jnp.zeros((2, 64, 32, 3)), True)
    with pytest.raises(ValueError, match="image must be float32 as the parameters are, in 0..255, got uint8"):
        model.apply(params, stats, jnp.zeros((2, 32, 32, 3), jnp.uint8), True)
    with pytest.raises(ValueError, match="two values a channel"):
        model.apply(params, stats, jnp.zeros((1, 32, 32, 3)), True)
