"""A run's network as a file for other programs: images in, points in pixels out, and what a stranger must know beside it.

Weights are folded, normalisation is inside, everything is float32. The operations are the plain forms, which any
compiler knows; products are taken in full precision where a device has a coarser default.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import affine, choices, landmarks, models, tta
from jaxmarks.config import Config
from jaxmarks.models import ops, units
from jaxmarks.training import rendering, state
from pipelines import loader
from pipelines.example import Source
from pipelines.export import onnx_graph
from pipelines.images import decode
from pipelines.runs import boxed
from pipelines.runs.restore import Trained

FORMATS, TYPES = choices.EXPORTS, choices.PIXELS
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
PLACED = 1.0  # pixels of the input: the most that rounded sides move what is seen at its edge
TOLERANCE = 0.05  # pixels of the input: the most that a file may differ from its run

Network = Callable[[np.ndarray], np.ndarray]  # images [n, size, size, 3] -> points f32[n, points, 2] in pixels


def check(kind: str) -> None:
    """Raises ValueError, with what to install, where a format's packages are missing."""
    if kind == "onnx":
        for name in ("onnx", "onnxruntime"):
            onnx_graph.package(name)


def make(kind: str, trained: Trained, dtype: str, batch: int | None) -> bytes:
    """The content of a file; batch: the images of a call, None for any."""
    config, points = trained.run.config, trained.run.scheme.num_points
    model = models.build(config.model, points, ops=ops.PLAIN)
    weights = jax.tree.map(np.asarray, state.judged(trained.state))
    folded = jax.tree.map(np.asarray, model.fold(*weights))
    shape = (config.size, config.size, 3)

    def network(image):
        return units.to_pixels(model.predict(folded, image.astype(jnp.float32)), config.size)

    if kind == "onnx":
        return onnx_graph.build(network, shape, dtype, batch)
    (rows,) = jax.export.symbolic_shape("batch") if batch is None else (batch,)
    with jax.default_matmul_precision("float32"):
        made = jax.export.export(jax.jit(network), platforms=PLATFORMS)(jax.ShapeDtypeStruct((rows, *shape), dtype))
    return bytes(made.serialize())


def read(path: Path, kind: str) -> Network:
    """The network of a file, as any program runs it."""
    data = path.read_bytes()
    if kind == "onnx":
        return onnx_graph.reader(data)
    call = jax.jit(jax.export.deserialize(bytearray(data)).call)
    return lambda image: np.asarray(call(image))


def difference(network: Network, trained: Trained, source: Source, dtype: str, batch: int | None) -> tuple[float, int]:
    """(the largest between a file's points and the run's own, unfolded, in pixels of the input; the images)."""
    config = trained.run.config
    model = models.build(config.model, trained.run.scheme.num_points)

    @jax.jit
    def own(params, stats, image):
        return units.to_pixels(model.apply(params, stats, image, False)[0], config.size)

    worst, count = 0.0, 0
    for pictures in _inputs(trained, source):
        pictures = np.rint(pictures) if dtype == "uint8" else pictures
        with jax.default_matmul_precision("float32"):
            expected = np.asarray(own(*state.judged(trained.state), pictures))
        found = _in_parts(network, pictures.astype(dtype), batch or len(pictures))
        if not np.isfinite(found).all():
            return float("inf"), count
        worst, count = max(worst, float(np.abs(found - expected).max())), count + len(pictures)
    if not count:
        raise ValueError("none of the images to check the file on can be decoded; say with --data where sound ones lie")
    return worst, count


def misplaced(trained: Trained, source: Source) -> float:
    """The largest distance, in pixels of the input, between where the run itself and the preprocessing of `describe` place
    what is seen at the input's corners. Raises ValueError unless the source has bounding boxes as the run's data has."""
    boxed.check(trained.run, source)
    config, worst = trained.run.config, 0.0
    corners = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]) * (config.size - 1)
    for batch, count in loader.ordered(source, config):
        for frame, index in zip(batch.frame[:count], batch.index, strict=False):
            example = source[int(index)]
            seen = affine.apply(affine.invert(frame), corners)
            placed = _placed(seen, decode.photograph_size(example), example.box if trained.run.boxed else None, config)
            worst = max(worst, float(np.linalg.norm(placed - corners, axis=1).max()))
    return worst


def _placed(points: np.ndarray, sides: tuple[int, int], box: np.ndarray | None, config: Config) -> np.ndarray:
    """Points f64[n, 2] of an image in the input, by the formulas of `_preprocessing`."""
    size = config.size
    if box is not None:
        zoom = size / (max(box[2], box[3]) * (1 + 2 * config.box_margin))
        return zoom * (points - (box[:2] + box[2:] / 2 - 0.5)) + (size - 1) / 2
    shown = np.array([max(1, round(n * size / min(sides))) for n in sides])
    return (points + 0.5) * shown / sides - 0.5 - (shown - size) // 2


def _inputs(trained: Trained, source: Source) -> Iterator[np.ndarray]:
    """The images as the network sees them, f32[n, size, size, 3]."""
    size = trained.run.config.size
    plain = tta.views("none", False, size)
    render = jax.jit(lambda batch: rendering.under_views(batch, plain, size, trained.plan.mesh))
    for batch, count in loader.ordered(source, trained.run.config):
        yield np.asarray(render(batch))[:count]


def _in_parts(network: Network, pictures: np.ndarray, size: int) -> np.ndarray:
    """The network on `size` images at a time, the last ones filled up."""
    filled = np.concatenate([pictures, np.repeat(pictures[:1], -len(pictures) % size, axis=0)])
    parts = [network(filled[at : at + size]) for at in range(0, len(filled), size)]
    return np.concatenate(parts)[: len(pictures)]


def describe(trained: Trained, kind: str, dtype: str, batch: int | None) -> dict[str, Any]:
    """What a program needs to use the file, for the JSON beside it."""
    run, commit = trained.run, trained.commit
    size, rows = run.config.size, "batch" if batch is None else batch
    about = {"run": run.root.name, "model": run.config.model, "step": commit.step, "digest": commit.digest}
    return {
        "format": kind,
        **about,
        "size": size,
        "points": run.scheme.num_points,
        "scheme": landmarks.to_data(run.scheme),
        "input": {
            "name": "image",
            "shape": [rows, size, size, 3],
            "type": dtype,
            "range": [0, 255],
            "axes": "batch, row, column, colour; colours in the order R, G, B; ImageNet's normalisation is inside",
        },
        "output": {
            "name": "points",
            "shape": [rows, run.scheme.num_points, 2],
            "type": "float32",
            "unit": "pixels of the input, (x, y), x right, y down; the centre of the first pixel is (0, 0); points outside"
            f" 0..{size - 1} are legal",
        },
        **({"platforms": list(PLATFORMS)} if kind == "stablehlo" else {"opset": onnx_graph.OPSET}),
        "preprocessing": _preprocessing(trained),
    }


def _preprocessing(trained: Trained) -> dict[str, Any]:
    config, size = trained.run.config, trained.run.config.size
    found: dict[str, Any] = {
        "words": "Turn the image as its EXIF says, make it RGB. Resize it to a short side of `size`, by area where that"
        " makes it smaller and bilinearly where larger. Cut the square of `size` out of its middle.",
        "formulas": [
            "w, h: sides of the image in pixels; n = min(w, h)",
            "mw = max(1, round(w * size / n)), mh = max(1, round(h * size / n)): sides after resizing",
            "left = (mw - size) // 2, top = (mh - size) // 2: first column and row of the square",
            "x of the image is (x + 0.5) * mw / w - 0.5 - left in the input; y likewise with mh, h, top",
        ],
        "home": "x of the image = (x + left + 0.5) * w / mw - 0.5, y = (y + top + 0.5) * h / mh - 0.5",
        "size": size,
        "boxes": False,
    }
    if trained.run.boxed:
        found["boxes"] = True
        found["words"] = (
            "The run was trained on bounding boxes: turn the image as its EXIF says, make it RGB, take the square"
            " about the box's centre whose side is the box's longer side times (1 + 2 margin), and resize that to"
            " `size`, by area where that makes it smaller. Outside the image the square is grey, 128."
        )
        found["margin"] = config.box_margin
        found["formulas"] = [
            "box: x0, y0, width, height in pixels of the image, whose first pixel reaches from 0 to 1",
            "side = max(width, height) * (1 + 2 * margin), zoom = size / side",
            "cx = x0 + width / 2 - 0.5, cy = y0 + height / 2 - 0.5",
            "x of the image is zoom * (x - cx) + (size - 1) / 2 in the input; y likewise with cy",
        ]
        found["home"] = "x of the image = (x - (size - 1) / 2) / zoom + cx, y = (y - (size - 1) / 2) / zoom + cy"
    return found
