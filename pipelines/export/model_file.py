"""Export of a run's network as a file for other programs: images in, points in pixels out, and a description beside it.

Weights are folded, normalisation is inside, everything is float32. The operations are the plain forms, which any
compiler knows; products are taken in full precision where a device has a coarser default.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import landmarks, models, tta
from jaxmarks.models import ops, units
from jaxmarks.training import rendering, state
from pipelines import loader
from pipelines.example import Source
from pipelines.export import onnx_graph, preprocessing
from pipelines.runs.restore import Trained

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
TOLERANCE = 0.05  # pixels of the input: the most that a file may differ from its run

Network = Callable[[np.ndarray], np.ndarray]  # images [n, size, size, 3] -> points f32[n, points, 2] in pixels


def check(kind: str) -> None:
    """Raise ValueError, with what to install, where a format's packages are missing.

    Args:
        kind: one of choices.EXPORTS.

    Raises:
        ValueError: names the package.
    """
    if kind == "onnx":
        for name in ("onnx", "onnxruntime"):
            onnx_graph.package(name)


def make(kind: str, trained: Trained, dtype: str, batch: int | None) -> bytes:
    """Return the content of a file with a run's network.

    Args:
        kind: one of choices.EXPORTS.
        trained: the run.
        dtype: of the images, one of choices.PIXELS.
        batch: images of a call; None for any.

    Returns:
        the file.

    Raises:
        ValueError: where a package is missing, or ONNX has no node for an operation.
    """
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
    """Return the network of a file, as any program runs it.

    Args:
        path: the file.
        kind: one of choices.EXPORTS.

    Returns:
        network(images [n, size, size, 3]) -> f32[n, points, 2] in pixels of the input.

    Raises:
        ValueError: where a package is missing.
        OSError: where the file cannot be read.
    """
    data = path.read_bytes()
    if kind == "onnx":
        return onnx_graph.reader(data)
    call = jax.jit(jax.export.deserialize(bytearray(data)).call)
    return lambda image: np.asarray(call(image))


def difference(network: Network, trained: Trained, source: Source, dtype: str, batch: int | None) -> tuple[float, int]:
    """Return how far a file's points are from the run's own, unfolded.

    Args:
        network: of `read`.
        trained: the run.
        source: the images to compare on.
        dtype: of the network's images.
        batch: images of a call; None for any.

    Returns:
        the largest distance of a coordinate in pixels of the input, infinite for points that are not finite; and the
        number of images.

    Raises:
        ValueError: where none of the images can be decoded.
    """
    config = trained.run.config
    model = models.build(config.model, trained.run.scheme.num_points)

    @jax.jit
    def own(params, stats, image):
        return units.to_pixels(model.apply(params, stats, image, False)[0], config.size)

    worst, count = 0.0, 0
    for images in _inputs(trained, source):
        images = np.rint(images) if dtype == "uint8" else images
        with jax.default_matmul_precision("float32"):
            expected = np.asarray(own(*state.judged(trained.state), images))
        found = _in_parts(network, images.astype(dtype), batch or len(images))
        if not np.isfinite(found).all():
            return float("inf"), count
        worst, count = max(worst, float(np.abs(found - expected).max())), count + len(images)
    if not count:
        raise ValueError("none of the images to check the file on can be decoded; say with `data` where sound ones lie")
    return worst, count


def _inputs(trained: Trained, source: Source) -> Iterator[np.ndarray]:
    """The images as the network sees them, f32[n, size, size, 3]."""
    size = trained.run.config.size
    plain = tta.views("none", False, size)
    render = jax.jit(lambda batch: rendering.under_views(batch, plain, size, trained.plan.mesh))
    for batch, count in loader.ordered(source, trained.run.config):
        yield np.asarray(render(batch))[:count]


def _in_parts(network: Network, images: np.ndarray, size: int) -> np.ndarray:
    """The network on `size` images at a time, the last ones filled up."""
    filled = np.concatenate([images, np.repeat(images[:1], -len(images) % size, axis=0)])
    parts = [network(filled[at : at + size]) for at in range(0, len(filled), size)]
    return np.concatenate(parts)[: len(images)]


def describe(trained: Trained, kind: str, dtype: str, batch: int | None) -> dict[str, Any]:
    """Return what a program needs to use the file, for the JSON beside it.

    Args:
        trained: the run.
        kind: one of choices.EXPORTS.
        dtype: of the network's images.
        batch: images of a call; None for any.

    Returns:
        plain data.
    """
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
        "preprocessing": preprocessing.described(run),
    }
