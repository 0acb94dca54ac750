"""Networks as files: read again by those who read them, the same points as the run; and what is rejected."""

import dataclasses
import io
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from PIL import Image

from pipelines import example
from pipelines.example import Source
from pipelines.export import model_file, onnx_graph, preprocessing
from pipelines.images import placement
from pipelines.runs import restore as opened
from pipelines.runs import run_data
from tests.commands import begun

PAGE = Path(__file__).parents[3] / "docs" / "export.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return begun(tmp_path_factory.mktemp("runs") / "one", data="drawn:24:5", batch=4, val_fraction=0.1)


@pytest.fixture(scope="module")
def found(run):
    """(the run opened, three of its images)."""
    opened_run = opened.load(run)
    data = run_data.of_run(opened_run.run)
    return opened_run, example.Subset(run_data.split_of(opened_run.run, data, "train"), [0, 1, 2])


@pytest.mark.slow
def test_the_command_writes_reads_again_and_describes(run, tmp_path, command):
    out = tmp_path / "new" / "n.stablehlo"
    code, said = command("export", "--run", run, "--out", out, "--input", "uint8")
    assert code == 0 and "px from the run at most" in said.out and str(out) in said.out
    assert {p.name for p in out.parent.iterdir()} == {"n.stablehlo", "n.stablehlo.json"}
    about = json.loads(out.with_name("n.stablehlo.json").read_text())
    assert about["format_version"] == 1 and about["step"] == 0 and len(about["digest"]) == 64 and about["size"] == 32
    assert about["input"]["shape"] == ["batch", 32, 32, 3] and about["output"]["shape"] == ["batch", 5, 2]
    assert about["parity"]["largest_px"] <= 0.05 and about["parity"]["photographs"] >= 1
    network = jax.export.deserialize(bytearray(out.read_bytes()))
    assert network.platforms == model_file.PLATFORMS and str(network.in_avals[0].dtype) == "uint8"
    for count in (1, 3):
        assert network.call(np.zeros((count, 32, 32, 3), np.uint8)).shape == (count, 5, 2)


@pytest.mark.slow
def test_a_batch_of_fixed_size(found):
    here, part = found
    data = model_file.make("stablehlo", here, "float32", 2)
    network = jax.export.deserialize(bytearray(data))
    assert network.in_avals[0].shape == (2, 32, 32, 3)
    worst, count = model_file.difference(lambda x: np.asarray(network.call(x)), here, part, "float32", 2)
    assert count == 3 and worst <= 1e-3


@pytest.mark.slow
def test_a_network_that_differs_is_seen_and_nothing_is_kept(found, run, tmp_path, command, monkeypatch):
    here, part = found
    head = {**here.state.params["head"], "bias": here.state.params["head"]["bias"] + 0.01}  # 0.16 px
    wrong = here._replace(state=here.state._replace(params={**here.state.params, "head": head}))
    data = model_file.make("stablehlo", wrong, "float32", None)
    network = jax.export.deserialize(bytearray(data))
    assert model_file.difference(lambda x: np.asarray(network.call(x)), here, part, "float32", None)[0] > 0.05
    assert model_file.difference(lambda x: np.full((len(x), 5, 2), np.nan), here, part, "float32", None)[0] == np.inf
    monkeypatch.setattr(model_file, "make", lambda *_: data)
    (tmp_path / "n.stablehlo").write_bytes(b"an older one")
    code, said = command("export", "--run", run, "--out", tmp_path / "n.stablehlo")
    assert code == 1 and "that is not what the run predicts" in said.err
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("n.stablehlo", b"an older one")]


@pytest.mark.slow
def test_what_is_rejected_in_one_line(run, tmp_path, rejected, monkeypatch):
    assert "expected a file" in rejected("export", "--run", run, "--out", tmp_path)
    assert "not a run folder" in rejected("export", "--run", tmp_path, "--out", tmp_path / "n")
    assert "invalid choice: 'tflite'" in rejected("export", "--run", run, "--out", tmp_path / "n", "--format", "tflite")
    assert "--batch must be 1 or more, got 0" in rejected("export", "--run", run, "--out", tmp_path / "n", "--batch", 0)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(onnx_graph.importlib, "import_module", missing)
    said = rejected("export", "--run", run, "--out", tmp_path / "n", "--format", "onnx")
    assert said == "error: --format onnx needs onnx: pip install onnx onnxruntime\n"
    assert not list(tmp_path.iterdir())


class Files(Source):
    """Encoded images of many sides, without labels."""

    num_points, labelled = 5, False

    def __init__(self, found: dict[str, bytes], size: tuple[int, int] | None = None):
        self.names, self._found, self._size = list(found), list(found.values()), size

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return example.Example(self._found[index], np.zeros((5, 2)), np.ones(5, bool), size=self._size)


def encoded(width: int, height: int, kind: str, turn: int = 1) -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = turn
    Image.new("RGB", (width, height), (90, 120, 60)).save(file, kind, exif=exif)
    return file.getvalue()


def page_crop():
    """The function of docs/export.md that finds the crop."""
    known: dict = {}
    exec(re.search(r"def crop.*?\n\n\n", PAGE.read_text(), re.DOTALL)[0], known)  # pyright: ignore
    return known["crop"]


SIDES = [(101, 67), (64, 90), (32, 33), (20, 31), (65, 64), (67, 512), (641, 480), (1001, 33), (257, 259)]


@pytest.mark.parametrize("size", [32, 41])
def test_the_formulas_are_those_of_the_loader(found, size):
    """For any sides, as JPEG turned in any way and as PNG: against the frames of the loader's own batches, and by the
    function that docs/export.md gives to other programs."""
    run = found[0].run._replace(config=dataclasses.replace(found[0].run.config, size=size))
    shapes = {f"{w}x{h}.{t}": (w, h, t) for w, h in SIDES for t in range(1, 9)} | {"p": (641, 480, 0)}
    images = Files({n: encoded(w, h, "JPEG" if t else "PNG", max(t, 1)) for n, (w, h, t) in shapes.items()})
    assert preprocessing.misplaced(run, images)[0] < 1e-6
    for index, (w, h, turn) in enumerate(shapes.values()):
        w, h = (h, w) if turn >= 5 else (w, h)
        cx, cy, cw, ch = page_crop()(w, h, size, turn > 0, turn)
        frame = placement.canvas(images[index], size, 2 * size).frame
        expected = [[size / cw, 0, (0.5 - cx) * size / cw - 0.5], [0, size / ch, (0.5 - cy) * size / ch - 0.5]]
        np.testing.assert_allclose(frame, expected, atol=1e-6)


def test_of_a_set_of_reductions_the_formulas_are_about_those(found):
    assert preprocessing.misplaced(found[0].run, Files({"a": encoded(151, 201, "JPEG")}, (303, 405)))[0] < 1e-6


def test_formulas_that_are_wrong_name_the_image_the_bound_and_a_remedy(run, tmp_path, command, monkeypatch):
    monkeypatch.setattr(preprocessing, "_crop", lambda example, config: np.array([0, 0, 200.0, 200]))
    code, said = command("export", "--run", run, "--out", tmp_path / "n")
    assert code == 1 and all(part in said.err for part in (".png", f"{preprocessing.BOUND:g}", "--data"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_onnx_is_the_run(found):
    pytest.importorskip("onnxruntime")
    here, part = found
    for dtype, batch in (("uint8", None), ("float32", 2)):
        network = onnx_graph.reader(model_file.make("onnx", here, dtype, batch))
        worst, count = model_file.difference(network, here, part, dtype, batch)
        assert count == 3 and worst <= 1e-3


def test_onnx_of_every_operation():
    """What Inception has and ResNet has not: pads, slices, joins, pools, windows of two sides."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    random = np.random.RandomState(0)
    kernel = random.normal(size=(1, 7, 3, 4)).astype(np.float32)
    matrix = random.normal(size=(7, 6)).astype(np.float32)

    def network(image):
        x = jnp.pad(image.astype(jnp.float32), ((0, 0), (2, 1), (0, 3), (0, 0)), constant_values=-2.0)
        y = lax.conv_general_dilated(x, kernel, (1, 2), [(0, 0), (3, 2)], dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jnp.maximum(lax.slice_in_dim(x, 0, y.shape[2], axis=2), 0)
        z = jnp.concatenate([x, jax.nn.relu(y)], axis=3) / 3 - jnp.full((1, 1, 1, 7), 0.5)
        z = jnp.maximum(lax.slice(z, (0, 1, 0, 0), (z.shape[0], 9, 6, 7), (1, 2, 1, 1)), 0.25)
        z = lax.reduce_window(z, -jnp.inf, lax.max, (1, 2, 3, 1), (1, 1, 2, 1), ((0, 0), (1, 0), (0, 1), (0, 0)))
        return jnp.reshape(jnp.mean(z, axis=(1, 2)) @ matrix, (-1, 3, 2))

    image = random.uniform(-3, 3, (5, 9, 9, 3)).astype(np.float32)
    data = onnx_graph.build(network, (9, 9, 3), "float32", None)
    np.testing.assert_allclose(onnx_graph.reader(data)(image), network(image), atol=1e-5)
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert kinds.count("Transpose") == 1 and kinds.count("Conv") == kinds.count("Relu") - 1 == 1


def test_onnx_says_what_it_cannot():
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="no ONNX node is known for sort"):
        onnx_graph.build(lambda x: jnp.sort(x, axis=1), (4, 4, 3), "float32", None)
