"""Inception v3 against torchvision's architecture in torch, its auxiliary output, and the sizes it takes."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import models
from jaxmarks.models import inception, ops
from tests.jaxmarks.models.test_models import with_random_norms

NUM_POINTS = 5
MODEL = models.build("inception_v3", NUM_POINTS)
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 1, 1, 3)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 1, 1, 3)
apply = jax.jit(MODEL.apply, static_argnums=3)
apply_both = jax.jit(MODEL.apply_both, static_argnums=3)


def pictures(size: int, count: int) -> jax.Array:
    """Noise over a gradient: neither flat nor the same everywhere."""
    noise = np.random.default_rng(size).uniform(0, 128, (count, size, size, 3))
    return jnp.asarray(noise + np.linspace(0, 127, size)[None, :, None, None], jnp.float32)


def assert_close(ours, theirs, tolerance: float, label: str = "") -> None:
    """The largest difference, over the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, label
    assert float(np.abs(ours - theirs).max()) <= tolerance * max(float(np.abs(theirs).max()), 1e-6), label


def assert_trees_close(ours: dict, theirs: dict, tolerance: float) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert_close(a, b, tolerance, jax.tree_util.keystr(path))


# The reference: torchvision's Inception3, written from torch's layers with torchvision's names.

# Each block: branch -> its convolutions (name's end, features, window); a stride of 2 where the window is (3, 3, 2).
SEVEN = ("_1", "c", 1), ("_2", "c", (1, 7)), ("_3", 192, (7, 1))
SEVEN_DOUBLE = ("_1", "c", 1), ("_2", "c", (7, 1)), ("_3", "c", (1, 7)), ("_4", "c", (7, 1)), ("_5", 192, (1, 7))
SEVEN_D = ("_1", 192, 1), ("_2", 192, (1, 7)), ("_3", 192, (7, 1)), ("_4", 192, (3, 3, 2))
DOUBLE = ("_1", 64, 1), ("_2", 96, 3), ("_3", 96, 3)
BLOCKS = {
    "A": {"branch1x1": [("", 64, 1)], "branch5x5": [("_1", 48, 1), ("_2", 64, 5)], "branch3x3dbl": DOUBLE},
    "B": {"branch3x3": [("", 384, (3, 3, 2))], "branch3x3dbl": [*DOUBLE[:2], ("_3", 96, (3, 3, 2))]},
    "C": {"branch1x1": [("", 192, 1)], "branch7x7": SEVEN, "branch7x7dbl": SEVEN_DOUBLE},
    "D": {"branch3x3": [("_1", 192, 1), ("_2", 320, (3, 3, 2))], "branch7x7x3": SEVEN_D},
    "E": {
        "branch1x1": [("", 320, 1)],
        "branch3x3": [("_1", 384, 1), ("_2a", 384, (1, 3)), ("_2b", 384, (3, 1))],
        "branch3x3dbl": [("_1", 448, 1), ("_2", 384, 3), ("_3a", 384, (1, 3)), ("_3b", 384, (3, 1))],
    },
}
# name -> (block, inputs, features of branch_pool or of "c")
MIXED = {
    "5b": ("A", 192, 32), "5c": ("A", 256, 64), "5d": ("A", 288, 64), "6a": ("B", 288, 0), "6b": ("C", 768, 128),
    "6c": ("C", 768, 160), "6d": ("C", 768, 160), "6e": ("C", 768, 192), "7a": ("D", 768, 0), "7b": ("E", 1280, 192),
    "7c": ("E", 2048, 192),
}  # fmt: skip


def torch_blocks():
    """(BasicConv2d, Block, Aux) as classes."""
    torch = pytest.importorskip("torch")
    nn, F = torch.nn, torch.nn.functional

    class BasicConv2d(nn.Module):
        def __init__(self, inputs: int, features: int, window, stride: int = 1, padding=0) -> None:
            super().__init__()
            self.conv = nn.Conv2d(inputs, features, window, stride, padding, bias=False)
            self.bn = nn.BatchNorm2d(features, eps=0.001)

        def forward(self, x):
            return F.relu(self.bn(self.conv(x)))

    class Block(nn.Module):
        def __init__(self, kind: str, inputs: int, width: int) -> None:
            super().__init__()
            self.kind = kind
            for branch, chain in BLOCKS[kind].items():
                channels = inputs
                for end, features, window in chain:
                    features = width if features == "c" else features
                    if window == (3, 3, 2):
                        conv = BasicConv2d(channels, features, 3, 2)
                    else:
                        rows, columns = window if isinstance(window, tuple) else (window, window)
                        conv = BasicConv2d(channels, features, (rows, columns), 1, (rows // 2, columns // 2))
                    setattr(self, branch + end, conv)
                    channels = channels if end.endswith("a") else features
            if kind not in "BD":
                self.branch_pool = BasicConv2d(inputs, 192 if kind == "C" else width, 1)

        def forward(self, x):
            outputs = []
            for branch, chain in BLOCKS[self.kind].items():
                y = x
                for end, *_ in chain:
                    z = getattr(self, branch + end)(y)
                    if end.endswith(("a", "b")):
                        outputs.append(z)
                    else:
                        y = z
                if not end.endswith("b"):
                    outputs.append(y)
            if self.kind in "BD":
                return torch.cat([*outputs, F.max_pool2d(x, 3, 2)], 1)
            return torch.cat([*outputs, self.branch_pool(F.avg_pool2d(x, 3, 1, 1))], 1)

    class Aux(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.conv0, self.conv1 = BasicConv2d(inputs, 128, 1), BasicConv2d(128, 768, 5)
            self.fc = nn.Linear(768, outputs)

        def forward(self, x):
            x = self.conv1(self.conv0(F.avg_pool2d(x, 5, 3)))
            return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))

    return BasicConv2d, Block, Aux


@functools.cache
def inception3() -> Callable:
    """The class; forward(normalised [b, 3, s, s], with_aux) -> (output, aux or None, Mixed_7c's output)."""
    BasicConv2d, Block, Aux = torch_blocks()
    import torch

    nn, F = torch.nn, torch.nn.functional

    class Inception3(nn.Module):
        def __init__(self, outputs: int) -> None:
            super().__init__()
            self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, 2)
            self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
            self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, 1, 1)
            self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
            self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
            for name, (kind, inputs, width) in MIXED.items():
                setattr(self, f"Mixed_{name}", Block(kind, inputs, width))
                if name == "6e":
                    self.AuxLogits = Aux(768, outputs)
            self.fc = nn.Linear(2048, outputs)

        def forward(self, x, with_aux: bool):
            x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
            x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
            x, aux = F.max_pool2d(x, 3, 2), None
            for name in MIXED:
                x = getattr(self, f"Mixed_{name}")(x)
                if name == "6e" and with_aux:
                    aux = self.AuxLogits(x)
            return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1)), aux, x

    return Inception3


def torch_network():
    """Random weights that keep the signal's scale, and random norms and running statistics."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    return with_random_norms(inception3()(2 * NUM_POINTS), "fan_in")


def run_torch(network, image, with_aux: bool) -> tuple:
    """(points, aux points or None, Mixed_7c's output by channel last)."""
    import torch

    x = torch.tensor(np.asarray(image))
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=x.dtype)
    deviation = torch.tensor([0.229, 0.224, 0.225], dtype=x.dtype)
    output, aux, maps = network(((x / 255 - mean) / deviation).permute(0, 3, 1, 2), with_aux)
    points = [None if y is None else y.reshape(-1, NUM_POINTS, 2) for y in (output, aux)]
    return *points, maps.permute(0, 2, 3, 1)


NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def ours_of(named: dict) -> tuple[dict, dict]:
    """torchvision's names and layouts -> (params, stats); every name but the counters finds a place of its own."""
    trees, leaves = {"params": {}, "stats": {}}, 0
    for name, value in named.items():
        *path, leaf = name.split(".")
        if leaf == "num_batches_tracked":
            continue
        value = value.detach().numpy()
        if path[-1] == "fc":
            value, leaf = value.T, "kernel" if leaf == "weight" else "bias"
        elif path[-1] == "conv":
            value, leaf = value.transpose(2, 3, 1, 0), "kernel"
        else:
            assert path[-1] == "bn", name
            leaf = NORM[leaf]
        places = {"AuxLogits": ["aux", *path[1:]], "fc": ["head"]}
        path = ["head" if part == "fc" else part for part in places.get(path[0], ["backbone", *path])]
        node = trees["stats" if leaf in ("mean", "var") else "params"]
        for part in path:
            node = node.setdefault(part, {})
        assert leaf not in node, name
        node[leaf], leaves = np.array(value), leaves + 1
    assert len(jax.tree.leaves(trees)) == leaves
    return trees["params"], trees["stats"]


def without_aux(tree: dict) -> dict:
    return {name: node for name, node in tree.items() if name != "aux"}


@pytest.mark.slow
def test_every_name_of_torch_is_mapped() -> None:
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        network = inception3()(2 * NUM_POINTS)
    theirs = ours_of({name: torch.zeros(value.shape) for name, value in network.state_dict().items()})
    for size, expected in ((299, theirs), (298, tuple(map(without_aux, theirs)))):
        ours = jax.eval_shape(lambda key, size=size: MODEL.init(key, size), jax.random.key(0))
        assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, expected)
    count = sum(leaf.size for leaf in jax.tree.leaves(theirs[0]))
    assert count + (1000 - 2 * NUM_POINTS) * (2049 + 769) == 27_161_264  # torchvision's, for 1000 classes


@pytest.mark.slow
def test_evaluation_equals_torch() -> None:
    """At 128 px: outputs, and the features before them."""
    network = torch_network().eval()
    import torch

    params, stats = ours_of(network.state_dict())
    image = pictures(128, 2)
    with torch.no_grad():
        expected, _, maps = run_torch(network, image, False)
    assert float(expected.std()) > 0.01

    def run(params, stats, image):
        variables = {"params": params["backbone"], "batch_stats": stats["backbone"]}
        normalised = (image / 255 - IMAGENET_MEAN) / IMAGENET_DEVIATION
        features, middle = inception.Inception(ops.chosen()).apply(variables, normalised, False)
        assert middle is None
        points, same = MODEL.apply(params, stats, image, False)
        assert same is stats
        return points, features

    points, features = jax.jit(run)(params, stats, image)
    assert_close(points, expected, 1e-4)
    assert_close(features, maps, 1e-4)


@pytest.mark.slow
def test_evaluation_with_the_auxiliary_output_equals_torch() -> None:
    network = torch_network().eval()
    import torch

    params, stats = ours_of(network.state_dict())
    image = pictures(299, 1)
    with torch.no_grad():
        expected, expected_aux, _ = run_torch(network, image, True)
    points, aux, _ = apply_both(params, stats, image, False)
    assert float(expected_aux.std()) > 0.01
    assert_close(points, expected, 1e-4)
    assert_close(aux, expected_aux, 1e-4)


def trained_loss(params, stats, image):
    """The main loss and the auxiliary one, weighted; and what apply_both gave."""
    points, aux, new_stats = MODEL.apply_both(params, stats, image)
    value = jnp.sum(points**2)
    return value if aux is None else value + MODEL.aux_weight * jnp.sum(aux**2), (points, aux, new_stats)


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 299])
def test_training_equals_torch(size: int) -> None:
    """Outputs, running statistics and every gradient, none of them zero; at 299 px with the auxiliary loss.

    In float64: in float32 a few of ReLU's signs differ, and each such moves a gradient by a per cent.
    """
    network, with_aux = torch_network().double().train(), size >= 299
    with jax.enable_x64(True):
        params, stats = ours_of(network.state_dict())
        if not with_aux:
            params, stats = without_aux(params), without_aux(stats)
        image = jnp.asarray(np.asarray(pictures(size, 2)), jnp.float64)
        expected, expected_aux, _ = run_torch(network, image, with_aux)
        (expected.square().sum() + (0.4 * expected_aux.square().sum() if with_aux else 0)).backward()
        lowered = jax.jit(jax.grad(trained_loss, has_aux=True)).lower(params, stats, image)
        step = lowered.compile(compiler_options={"xla_llvm_disable_expensive_passes": True})  # half the time
        gradients, (points, aux, new_stats) = step(params, stats, image)
        assert_close(points, expected.detach().numpy(), 1e-6)
        if with_aux:
            assert_close(aux, expected_aux.detach().numpy(), 1e-6)
        theirs_stats = ours_of(network.state_dict())[1]
        assert_trees_close(new_stats, theirs_stats if with_aux else without_aux(theirs_stats), 1e-6)
        theirs, _ = ours_of({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
        assert_trees_close(gradients, theirs, 1e-5)
    assert jax.tree.structure(gradients) == jax.tree.structure(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert float(np.abs(np.asarray(leaf)).max()) > 0, jax.tree_util.keystr(path)


def test_auxiliary_head_trains_as_torchs() -> None:
    """Alone, on a grid of 17, in float64: output, running statistics, every gradient and that of its input."""
    head = torch_network().AuxLogits.double().train()
    import torch

    middle = np.random.default_rng(0).normal(size=(3, 17, 17, 768))
    with jax.enable_x64(True):
        named = {f"AuxLogits.{name}": value for name, value in head.state_dict().items()}
        params, stats = (tree["aux"] for tree in ours_of(named))
        theirs = torch.tensor(middle).permute(0, 3, 1, 2).requires_grad_()
        expected = head(theirs)
        expected.square().sum().backward()
        module = inception.Auxiliary(2 * NUM_POINTS, jax.nn.initializers.zeros, ops.chosen())

        def loss(params, x):
            y, changed = module.apply({"params": params, "batch_stats": stats}, x, True, mutable=["batch_stats"])
            return jnp.sum(y**2), (y, changed["batch_stats"])

        gradients, (y, new_stats) = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, jnp.asarray(middle))
        assert_close(y, expected.detach().numpy(), 1e-6)
        named = {f"AuxLogits.{name}": value for name, value in head.state_dict().items()}
        assert_trees_close(new_stats, ours_of(named)[1]["aux"], 1e-6)
        wanted = ours_of({f"AuxLogits.{name}": p.grad for name, p in head.named_parameters()})[0]["aux"]
        assert_trees_close(gradients[0], wanted, 1e-6)
        assert_close(gradients[1], theirs.grad.permute(0, 2, 3, 1).numpy(), 1e-6)
    assert all(float(np.abs(np.asarray(leaf)).max()) > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.slow
def test_training_in_single_precision_is_near_torchs() -> None:
    """To torchvision's in float64 we are as near as torchvision's own float32 is: 5e-5 of the outputs, it 1.4e-4."""
    network = torch_network().train()
    params, stats = ours_of(network.state_dict())
    image = pictures(128, 4)
    network = network.double()
    expected, _, _ = run_torch(network, np.asarray(image, np.float64), False)
    points, new_stats = apply(params, stats, image, True)
    assert_close(points, expected.detach().numpy(), 2e-4)
    assert_trees_close(new_stats, ours_of(network.state_dict())[1], 2e-4)


def test_weights_for_half_and_half_pixels_fold_in() -> None:
    """What the module says of `transform_input=True`, with which torchvision runs its published weights."""
    layer = inception.BasicConv(32, (3, 3), ops.chosen(), 2, False)
    image = pictures(75, 2) / 255
    variables = layer.init(jax.random.key(0), image, False)
    expected = layer.apply(variables, (image - 0.5) / 0.5, False)
    a, b = IMAGENET_DEVIATION / 0.5, (IMAGENET_MEAN - 0.5) / 0.5
    kernel, stats = variables["params"]["conv"]["kernel"], variables["batch_stats"]["bn"]
    folded = {
        "params": {"conv": {"kernel": kernel * a.reshape(1, 1, 3, 1)}, "bn": variables["params"]["bn"]},
        "batch_stats": {"bn": {**stats, "mean": stats["mean"] - jnp.einsum("pqio,i->o", kernel, b.reshape(3))}},
    }
    assert_close(layer.apply(folded, (image - IMAGENET_MEAN) / IMAGENET_DEVIATION, False), expected, 1e-5)


# The two forms of what `ops` does not have.


@pytest.mark.parametrize(
    ("window", "stride", "padded"),
    [((7, 1), 1, True), ((1, 7), 1, True), ((3, 3), 1, False), ((3, 3), 2, False), ((5, 5), 1, False)],
)
def test_convolutions_agree(window: tuple[int, int], stride: int, padded: bool) -> None:
    kernel = jax.random.normal(jax.random.key(1), (*window, 64, 8))
    for size in (9, 10) if stride == 2 else (9,):
        x = jax.random.normal(jax.random.key(0), (2, size, size, 64))
        results = []
        for form in (ops.CPU, ops.PLAIN):
            convolve = functools.partial(inception._convolve, stride=stride, padded=padded, ops=form)
            y = jax.eval_shape(convolve, x, kernel)
            cotangent = jax.random.normal(jax.random.key(2), y.shape)
            results.append(
                jax.jit(lambda x, k, c, f=convolve: (f(x, k), *jax.vjp(f, x, k)[1](c)))(x, kernel, cotangent)
            )
        for a, b in zip(*results, strict=True):
            assert_close(a, b, 1e-5)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("form", [ops.CPU, ops.PLAIN])
def test_max_pool_equals_torch(size: int, form: ops.Ops) -> None:
    """With its gradient, where values tie too."""
    torch = pytest.importorskip("torch")
    for x in (jax.random.normal(jax.random.key(0), (2, size, size, 3)), jnp.round(pictures(size, 2) / 64)):
        theirs = torch.tensor(np.asarray(x)).permute(0, 3, 1, 2).requires_grad_()
        expected = torch.nn.functional.max_pool2d(theirs, 3, 2)
        expected.square().sum().backward()
        ours, pull = jax.vjp(lambda x: inception._max_pool(x, form), x)
        assert_close(ours, expected.detach().permute(0, 2, 3, 1).numpy(), 0)
        assert_close(pull(2 * ours)[0], theirs.grad.permute(0, 2, 3, 1).numpy(), 1e-6)


# Sizes, and the face.


def test_least_sizes() -> None:
    """75 and 299, here by the shapes and not by the formulas."""
    assert (inception.LEAST_SIZE, inception.LEAST_SIZE_AUXILIARY) == (75, 299)
    bare = inception.Inception(ops.PLAIN)
    for size in (75, 298, 299):
        x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        (features, middle), _ = jax.eval_shape(lambda x: bare.init_with_output(jax.random.key(0), x, False), x)
        assert features.shape[1] >= 1 and features.shape[3] == 2048
        assert (middle is None) == (size < 299)
        if middle is not None:
            assert middle.shape == (1, inception.grid(size), inception.grid(size), 768)


def test_too_small_images_are_rejected() -> None:
    message = "Inception v3 needs images of 75 px or more, got 74"
    with pytest.raises(ValueError, match=message):
        MODEL.init(jax.random.key(0), 74)
    params, stats = jax.eval_shape(lambda key: MODEL.init(key, 75), jax.random.key(0))
    image = jax.ShapeDtypeStruct((2, 74, 74, 3), jnp.float32)
    for train in (False, True):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(lambda *a, train=train: MODEL.apply(*a, train), params, stats, image)


def test_torch_rejects_the_sizes_below() -> None:
    torch = pytest.importorskip("torch")
    network = inception3()(2).eval()
    with torch.no_grad():
        for size, with_aux in ((74, False), (298, True)):
            with pytest.raises(RuntimeError, match="small|greater"):
                network(torch.zeros(1, 3, size, size), with_aux)
        network(torch.zeros(1, 3, 75, 75), False)


@pytest.mark.slow
def test_auxiliary_output_only_where_it_fits() -> None:
    """Parameters made at 299 px serve at 128 too, without it; those made at 128 px serve at 299, without it."""
    shapes = {size: jax.eval_shape(lambda key, s=size: MODEL.init(key, s), jax.random.key(0)) for size in (128, 299)}
    for made, used, given in ((128, 128, False), (128, 299, False), (299, 128, False), (299, 299, True)):
        params, stats = shapes[made]
        image = jax.ShapeDtypeStruct((2, used, used, 3), jnp.float32)
        points, aux, after = jax.eval_shape(MODEL.apply_both, params, stats, image)
        assert points.shape == (2, NUM_POINTS, 2)
        assert (aux is not None) == given and (aux is None or aux.shape == points.shape)
        assert jax.tree.structure(after) == jax.tree.structure(stats)
    params, stats = shapes[299]  # apply leaves the auxiliary head's statistics where they were
    alone, after = jax.eval_shape(lambda *a: MODEL.apply(*a, True), params, stats, image)
    assert alone.shape == points.shape and jax.tree.structure(after) == jax.tree.structure(stats)


def test_networks_without_an_auxiliary_output_give_none() -> None:
    model = models.build("resnet18", NUM_POINTS)
    assert model.apply_aux is None and model.aux_weight == 0
    params, stats = jax.eval_shape(lambda key: model.init(key, 32), jax.random.key(0))
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    points, aux, after = jax.eval_shape(model.apply_both, params, stats, image)
    assert points.shape == (2, NUM_POINTS, 2) and aux is None
    assert jax.tree.structure(after) == jax.tree.structure(stats)


def test_one_value_a_channel_is_rejected_in_training() -> None:
    params, stats = jax.eval_shape(lambda key: MODEL.init(key, 75), jax.random.key(0))
    with pytest.raises(ValueError, match="two values a channel"):
        image = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
        jax.eval_shape(lambda *a: MODEL.apply(*a, True), params, stats, image)
