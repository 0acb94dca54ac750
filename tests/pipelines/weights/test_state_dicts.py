"""Published weights: files read as torch reads them, features as torch's, and nothing in a file ever run."""

import io
import pickle
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxmarks import models
from jaxmarks.models import torchvision
from pipelines.weights import state_dicts
from tests.jaxmarks.models.test_inception import NUM_POINTS, torch_network
from tests.jaxmarks.models.test_models import assert_close, pictures, torch_resnet

FORMATS = ("zip", "stream", "safetensors")


def saved(path: Path, content, form: str = "zip", **options) -> Path:
    """A file of torch's own making."""
    torch = pytest.importorskip("torch")
    if form == "safetensors":
        from safetensors.torch import save_file

        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip", **options)
    return path


def assert_read(path: Path, expected: dict) -> None:
    """Bit-equal to torch's tensors, with their shapes and types."""
    ours = state_dicts.read(path)
    assert list(ours) == list(expected) or (path.suffix == ".safetensors" and set(ours) == set(expected))
    for name, value in expected.items():
        theirs = value.detach().numpy()
        assert ours[name].dtype == theirs.dtype and ours[name].shape == theirs.shape, name
        assert ours[name].tobytes() == theirs.tobytes(), name
        assert ours[name].flags.c_contiguous and ours[name].flags.aligned and ours[name].flags.owndata, name


def network_of(name: str):
    return torch_network() if name == "inception_v3" else torch_resnet(name)


def expected_points(name: str, network, image: np.ndarray) -> np.ndarray:
    """torch's, which for Inception is given its images as (x / 255 - 0.5) / 0.5: `transform_input=True`."""
    import torch

    with torch.no_grad():
        if name != "inception_v3":
            return network.eval()(torch.tensor(image)).numpy()
        x = torch.tensor((image / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
        return network.eval()(x, False)[0].reshape(-1, NUM_POINTS, 2).numpy()


# Features, and every array, through each kind of file.


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 65),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("resnet50", 64), ("inception_v3", 96))),
    ],
)
def test_features_equal_torchs(name: str, size: int, tmp_path: Path) -> None:
    network = network_of(name)
    state = network.state_dict()
    for form in FORMATS:
        assert_read(saved(tmp_path / f"{name}.{form}", state, form), state)
    named = state_dicts.read(tmp_path / f"{name}.zip")
    params, stats = torchvision.backbone(name, named)
    model = models.build(name, NUM_POINTS)
    wanted = jax.eval_shape(lambda key: model.init(key, 299), jax.random.key(0))
    for ours, theirs in zip((params, stats), wanted, strict=True):
        theirs = {
            part: {k: v for k, v in node.items() if k != "head"} for part, node in theirs.items() if part != "head"
        }
        assert jax.tree.map(np.shape, ours) == jax.tree.map(np.shape, theirs)
    image = np.asarray(pictures(size))
    expected = expected_points(name, network, image)
    params["head"] = {"kernel": named["fc.weight"].T, "bias": named["fc.bias"]}
    points, _ = jax.jit(model.apply, static_argnums=3)(params, stats, image, False)
    assert float(np.std(expected)) > 0.01
    assert_close(points, expected, 1e-4)


@pytest.mark.slow
def test_auxiliary_part_is_taken_over_by_name() -> None:
    named = {name: value.numpy() for name, value in torch_network().state_dict().items()}
    params, stats = torchvision.backbone("inception_v3", named)
    kernel = named["AuxLogits.conv1.conv.weight"]
    assert np.array_equal(params["aux"]["conv1"]["conv"]["kernel"], kernel.transpose(2, 3, 1, 0))
    assert np.array_equal(stats["aux"]["conv0"]["bn"]["var"], named["AuxLogits.conv0.bn.running_var"])
    assert "head" not in params["aux"] and set(params) == set(stats) == {"backbone", "aux"}
    alone = {name: value for name, value in named.items() if not name.startswith("AuxLogits.")}
    assert set(torchvision.backbone("inception_v3", alone)[0]) == {"backbone"}


# Weights of another network.


def state_of(name: str) -> dict[str, np.ndarray]:
    return {entry: value.numpy() for entry, value in network_of(name).state_dict().items()}


def test_weights_of_another_network_are_reported() -> None:
    states = {name: state_of(name) for name in models.NAMES}
    for name in models.NAMES:
        for other in models.NAMES:
            if other != name:
                with pytest.raises(ValueError, match=f"^not weights of {name}: .*; they fit {other}$"):
                    torchvision.backbone(name, states[other])
    wrong = r"layer1.0.conv1.weight has shape \(64, 64, 1, 1\), expected \(64, 64, 3, 3\); they fit resnet50"
    with pytest.raises(ValueError, match=wrong):
        torchvision.backbone("resnet18", states["resnet50"])


def test_missing_extra_and_misshapen_entries_are_named() -> None:
    state = state_of("resnet18")
    without = {name: value for name, value in state.items() if name != "layer2.0.downsample.1.running_var"}
    cases = [
        (without, r"layer2.0.downsample.1.running_var of shape \(128,\) is missing; they fit none of resnet18"),
        (state | {"bn1.bias": np.zeros(63, np.float32)}, r"bn1.bias has shape \(63,\), expected \(64,\)"),
        (state | {"layer5.0.x": np.zeros((2, 3))}, r"it has no layer5.0.x \(of shape \(2, 3\)\)"),
        (state | {"AuxLogits.fc.bias": np.zeros(3)}, "it has no AuxLogits.fc.bias"),
        ({}, "is missing"),
    ]
    for named, wrong in cases:
        with pytest.raises(ValueError, match=f"^not weights of resnet18: .*{wrong}"):
            torchvision.backbone("resnet18", named)
    bare = {n: v for n, v in state.items() if not n.startswith("fc.") and not n.endswith(".num_batches_tracked")}
    assert jax.tree.all(
        jax.tree.map(np.array_equal, torchvision.backbone("resnet18", bare), torchvision.backbone("resnet18", state))
    )


# What torch may write.


@pytest.mark.parametrize("form", ["zip", "stream"])
def test_views_and_types(form: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    state = {
        "base": base,
        "transposed": base.transpose(0, 2),
        "slice": base[1:, 1:3, ::2],
        "same": base,
        "reversed axes": base.permute(2, 1, 0)[3:, :, 1],
        "expanded": torch.tensor([1.5, 2.5]).reshape(2, 1).expand(2, 7),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "scalar": torch.tensor(0.1),
        "none": torch.zeros(0, 3),
        **{str(t): torch.tensor([1, 0, 100]).to(t) for t in (torch.int64, torch.int32, torch.int8, torch.uint8)},
        "bool": torch.tensor([True, False]),
    }
    assert_read(saved(tmp_path / "a.pth", state, form), state)


@pytest.mark.parametrize("form", FORMATS)
def test_other_floats_become_single(form: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    values = torch.tensor([0.1, -3e-5, 1e4, float("inf"), 0.0])
    state = {str(t): values.to(t) for t in (torch.float16, torch.bfloat16, torch.float64)}
    assert_read(saved(tmp_path / f"a.{form}", state, form), {name: value.float() for name, value in state.items()})


def test_safetensors_of_a_type_unknown_are_rejected(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = saved(tmp_path / "a.safetensors", {"w": torch.zeros(2, dtype=torch.complex64)}, "safetensors")
    with pytest.raises(ValueError, match=r"a.safetensors: 'w' is of type C64: save it as float32$"):
        state_dicts.read(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["zip", "stream"])
def test_protocols_and_wrappers(protocol: int, form: str, tmp_path: Path) -> None:
    """A checkpoint of a parallel run, with its optimiser."""
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network(torch.randn(4, 3)).sum().backward()
    optimiser.step()
    state = network.state_dict()
    parallel = {f"module.{name}": value for name, value in state.items()}
    for wrapper in ("state_dict", "model_state_dict", "model"):
        content = {"epoch": 3, wrapper: parallel, "optimizer": optimiser.state_dict(), "best": (None, 0.25, [1])}
        path = saved(tmp_path / "a.pth", content, form, pickle_protocol=protocol)
        assert_read(path, state)


def test_big_endian_files(tmp_path: Path) -> None:
    """torch's own bytes, of this machine, with the order's mark and every number turned."""
    torch = pytest.importorskip("torch")
    state = {"a": torch.arange(5.0), "b": torch.arange(3)}
    path = saved(tmp_path / "a.pth", state)
    turned = tmp_path / "b.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(turned, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("byteorder"):
                data = b"big"
            elif "/data/" in name:
                size = 4 if name.endswith("0") else 8
                data = b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))
            new.writestr(name, data)
    assert_read(turned, state)
    assert all(torch.equal(value, state[name]) for name, value in torch.load(turned).items())


# Pickles written by hand, as no torch of today writes them.

STORAGE = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0kX\3\0\0\0cpuK\4Nt\x51"
TENSOR = b"ctorch._utils\n_rebuild_tensor\n(" + STORAGE + b"K\1K\3\x85K\1\x85tR"
NUMBERS = struct.pack("<q4f", 4, 1, 2, 3, 4)


def stream_of(content: bytes, numbers: bytes = NUMBERS) -> bytes:
    """A stream of torch's with the pickle of its object given by hand."""
    parts = [state_dicts._MAGIC, 1001, {"little_endian": True, "protocol_version": 1001, "type_sizes": {}}]
    head = b"".join(pickle.dumps(part, 2) for part in parts)
    return head + b"\x80\2" + content + b"." + pickle.dumps(["k"], 2) + numbers


@pytest.mark.parametrize(
    "value",
    [
        TENSOR,
        b"ctorch.nn.parameter\nParameter\n)\x81q\0(" + TENSOR + b"NN\x89\x88tb",  # filled in afterwards
        b"ctorch.nn.parameter\nParameter\n" + TENSOR + b"\x85R(\x88\x89Ntb",
        b"ctorch.nn.parameter\nParameter\n" + TENSOR + b"\x88\x86R",
        b"ctorch._utils\n_rebuild_parameter\n(" + TENSOR + b"\x88)tR",
        TENSOR.replace(b"Nt\x51", b"(X\1\0\0\0vK\0K\4tt\x51"),  # a view of a storage
    ],
)
def test_tensors_of_torchs_first_years(value: bytes, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for content in (b"}U\1a" + value + b"s", b"ccollections\nOrderedDict\n]](U\1a" + value + b"ea\x85R"):
        path = tmp_path / "a.pth"
        path.write_bytes(stream_of(content))
        assert {name: value.tolist() for name, value in state_dicts.read(path).items()} == {"a": [2, 3, 4]}
        assert {name: value.tolist() for name, value in torch.load(path).items()} == {"a": [2, 3, 4]}


# Nothing is run.


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (b"cos\nsystem\nX%sR.", "os.system"),
        (b"cposix\nsystem\nX%sR.", "posix.system"),
        (b"cbuiltins\neval\nX%sR.", "builtins.eval"),
        (b"c__builtin__\nexec\nX%sR.", "__builtin__.exec"),
        (b"X\2\0\0\0osX\6\0\0\0system\x93X%sR.", "os.system"),
        (b"(X%sios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nX%so.", "os.system"),
        (b"ctorch\nload\nX%sR.", "torch.load"),
        (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\nX%sR.", "torch._utils._rebuild_tensor_v2.__globals__"),
        (b"\x82\1.", "EXT1"),
    ],
)
def test_code_is_rejected_by_name_and_not_run(code: bytes, named: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "a.pth"
    command = f"touch {mark}".encode()
    code = b"\x80\2" + code.replace(b"%s", struct.pack("<I", len(command)) + command + b"\x85")
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("archive/data.pkl", code)
    for data in (code, stream_of(code[2:-1]), inside.getvalue()):
        path.write_bytes(data)
        with pytest.raises(
            ValueError, match=rf"^\S+a.pth: .*{re.escape(named)}.*: save it anew with torch.save"
        ) as told:
            state_dicts.read(path)
        assert "\n" not in str(told.value)
    assert not mark.exists()
    if code.startswith(b"\x80\2cos\nsystem\nX"):
        pickle.loads(code)  # the test would see it
        assert mark.exists()


def test_a_tensor_still_to_be_negated_is_rejected(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = saved(tmp_path / "a.pth", {"a": torch._neg_view(torch.ones(2))})
    with pytest.raises(ValueError, match="a tensor still to be conjugated or negated: save it anew"):
        state_dicts.read(path)


def test_a_pickled_network_is_rejected(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for form in ("zip", "stream"):
        path = saved(tmp_path / "a.pth", torch.nn.Linear(2, 2), form)
        with pytest.raises(ValueError, match=r"asks for 'torch.nn.modules.linear.Linear'.*save\(model.state_dict\(\)"):
            state_dicts.read(path)


# Files that are no weights.


def test_other_files_are_reported_in_one_line(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10))
    unrelated = io.BytesIO()
    with zipfile.ZipFile(unrelated, "w") as archive:
        archive.writestr("a.txt", "a")
    for data, told in [
        (b"", "empty: fetch it again"),
        (b"<!DOCTYPE html>", "no file of torch.save or safetensors"),
        (compressed.getvalue(), "compressed, and torch.save compresses nothing: save it anew"),
        (unrelated.getvalue(), "a zip file, but none of torch.save's"),
        (pickle.dumps({"a": 1}, 2), "a pickle, but none of torch.save's"),
        (b"\x80\2" + b"N" * 1_000_001 + b".", "more than 1000000 instructions"),
    ]:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"^{path}: .*{told}"):
            state_dicts.read(path)
    for content, told in [
        (torch.zeros(3), "holds no state dict: save it anew"),
        ({}, "holds no state dict"),
        ({"a": torch.zeros(3), "epoch": 1}, "its entry 'epoch' is no tensor"),
        ({1: torch.zeros(3)}, "its entry '1' is no tensor"),
        ([torch.zeros(3)], "holds no state dict"),
    ]:
        with pytest.raises(ValueError, match=f"^{path}: .*{told}"):
            state_dicts.read(saved(path, content))
    with pytest.raises(FileNotFoundError):
        state_dicts.read(tmp_path / "b.pth")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\1K\3\x85K\1\x85", b"K\2K\3\x85K\1\x85"),  # reaches beyond the storage by its offset
        (b"K\1K\3\x85K\1\x85", b"K\1K\3\x85K\2\x85"),  # by its stride
        (b"K\1K\3\x85K\1\x85", b"J\xff\xff\xff\xffK\3\x85K\1\x85"),  # begins before it
        (b"K\1K\3\x85K\1\x85", b"K\1K\3\x85J\xff\xff\xff\xff\x85"),
        (b"K\1K\3\x85K\1\x85", b"K\1J\xff\xff\xff\x7f\x85K\0\x85"),  # one number, two thousand million times
        (b"K\1K\3\x85K\1\x85", b"K\1J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86K\0K\0\x86"),
        (b"K\1K\3\x85K\1\x85", b"K\1\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00\x85K\1\x85"),
        (b"K\1K\3\x85K\1\x85", b"K\1K\3\x85K\1K\1\x86"),
        (b"K\1K\3\x85K\1\x85", b"K\1G\x40\x08\0\0\0\0\0\0\x85K\1\x85"),  # 3.0
        (NUMBERS, struct.pack("<q4f", 2**60, 1, 2, 3, 4)),
        (NUMBERS, struct.pack("<q4f", -4, 1, 2, 3, 4)),
        (NUMBERS, struct.pack("<q3f", 4, 1, 2, 3)),
        (NUMBERS, b""),
    ],
)
def test_absurd_sizes_are_rejected_and_not_reserved(old: bytes, new: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(stream_of(b"}U\1a" + TENSOR + b"s").replace(old, new))
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"^{path}: damaged or no file of weights \(.+\): fetch it again$"):
        state_dicts.read(path)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_a_storage_that_many_share_is_not_multiplied(tmp_path: Path) -> None:
    """A thousand names for a storage of a megabyte; and a tuple whose hash would take 2^60 steps."""
    path, count = tmp_path / "a.pth", 250_000
    tensor = TENSOR.replace(b"K\1K\3\x85", b"K\0J" + struct.pack("<i", count) + b"\x85")
    names = b"".join(b"X\4\0\0\0%04d" % i + b"h\0" for i in range(1000))
    data = tensor + b"q\0}(" + names + b"u"
    path.write_bytes(stream_of(data, struct.pack("<q", count) + bytes(4 * count)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="more numbers than the file has bytes, with '0004'"):
        state_dicts.read(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    bomb = b")" + b"q\0h\0\x86" * 60
    for content in (b"}" + bomb + b"Ns", b"ccollections\nOrderedDict\n](" + bomb + b"N\x86e\x85R"):
        path.write_bytes(stream_of(content))
        with pytest.raises(ValueError, match="str expected, tuple found"):
            state_dicts.read(path)


@pytest.mark.parametrize("form", FORMATS)
def test_damaged_files_give_a_dict_or_a_value_error(form: str, tmp_path: Path) -> None:
    """Truncations, and seven hundred files with a few bytes changed."""
    torch = pytest.importorskip("torch")
    state = {"module.a": torch.randn(2, 3).T, "module.b": torch.arange(2), "module.c": torch.zeros(3).half()}
    if form == "safetensors":
        state = {name: value.contiguous() for name, value in state.items()}
    path = saved(tmp_path / "a.pth", state, form)
    whole, rejected = path.read_bytes(), 0
    random = np.random.default_rng(0)

    def tried(data: bytes) -> bool:
        path.write_bytes(data)
        try:
            named = state_dicts.read(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            return False
        assert all(isinstance(name, str) and isinstance(value, np.ndarray) for name, value in named.items())
        return True

    for length in range(0, len(whole), 1 + len(whole) // 200):
        assert not tried(whole[:length])
    for _ in range(700):
        data = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(data))] = random.integers(256)
        rejected += not tried(bytes(data))
    assert 70 < rejected < 700
