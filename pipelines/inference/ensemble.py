"""Ensemble inference with test-time augmentation: every view of every network, merged, with optional refinement of small faces.

Views are chunked so that a bounded number of images goes through a network at one time; what several networks say meets
in the first one's input frame, and is mapped back to the image by one inverse.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import affine, backend, inference, tta
from jaxmarks.config import Config
from jaxmarks.evaluation import metrics
from jaxmarks.inference import Predicted
from jaxmarks.training import sharding
from jaxmarks.training import state as states
from jaxmarks.transform import Transform
from jaxmarks.types import Batch
from pipelines import loader
from pipelines.example import Example, Source, Subset
from pipelines.runs.restore import Trained

_CLOSER = 1.1  # times: faces that a second look would enlarge by less are left as they are
_LARGEST = 8.0  # times: no face is enlarged by more


class Net(NamedTuple):
    """A run's network, ready to look."""

    trained: Trained
    config: Config  # the run's, but for the images of a batch
    folded: dict
    look: Callable
    chunks: list[Transform]  # the views, all chunks of one length: the last is filled up by its first
    views: int


class Looked(NamedTuple):
    """What every view of every network says of a batch of images."""

    batch: Batch  # as the first network's loader made it
    count: int  # real examples
    points: np.ndarray  # f32[views, batch, points, 2]  in the first network's input frame


def nets(found: Sequence[Trained], views: str, at_once: int | None) -> list[Net]:
    """The networks with their views; at_once: how many images may go through a network at one time. None: so many as are
    fast, on a CPU those whose layers its caches hold."""
    at_once = at_once or (32 if backend.is_cpu() else 128)
    chosen = [tta.views(views, t.run.scheme.mirror is not None, t.run.config.size) for t in found]
    devices = math.lcm(*(t.plan.mesh.size for t in found))
    batch = max(at_once // max(v.affine.shape[0] for v in chosen) // devices, 1) * devices
    return [_net(t, v, batch, max(1, at_once // batch)) for t, v in zip(found, chosen, strict=True)]


def _net(found: Trained, views: Transform, batch: int, chunk: int) -> Net:
    run, plan, count = found.run, found.plan, views.affine.shape[0]
    chunk = min(chunk, count)
    chunks = [
        jax.tree.map(lambda leaf, at=at: _filled(leaf[at : at + chunk], chunk), views) for at in range(0, count, chunk)
    ]
    look = inference.make_look(plan.model, run.scheme, run.config.size, plan.mesh)
    folded = plan.model.fold(*states.judged(found.state))
    return Net(found, dataclasses.replace(run.config, batch=batch), folded, look, chunks, count)


def _filled(leaf: jax.Array, length: int) -> jax.Array:
    return jnp.concatenate([leaf, jnp.repeat(leaf[:1], length - len(leaf), 0)])


def looked(over: Sequence[Net], source: Source, faults: loader.Faults | None = None) -> Iterator[Looked]:
    """What the networks say of every decodable image of a source, in order; the next batch is loaded and dispatched
    before the last is fetched."""
    feeds = [loader.ordered(source, net.config, faults=faults) for net in over]

    def dispatched():
        for batches in zip(*feeds, strict=True):
            if any(not np.array_equal(batch.index, batches[0][0].index) for batch, _ in batches):
                raise OSError("an image could be read for one network and not for another; run the command again")
            yield batches, [_said(net, batch) for net, (batch, _) in zip(over, batches, strict=True)]

    for batches, said in inference.one_ahead(dispatched()):
        (first, count), points = batches[0], []
        for net, (batch, _), chunks in zip(over, batches, said, strict=True):
            each = np.concatenate([np.asarray(chunk) for chunk in chunks])[: net.views]
            points.append(each if batch is first else _moved(each, batch.frame, first.frame))
        yield Looked(first, count, np.concatenate(points))


def _said(net: Net, batch: Batch) -> list[jax.Array]:
    on_devices = sharding.split(net.trained.plan.mesh, batch)
    return [net.look(net.folded, on_devices, views) for views in net.chunks]


def _moved(points: np.ndarray, frame: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Points f32[views, b, points, 2] from the inputs of frames f64[b, 2, 3] to those of others."""
    return affine.apply(affine.compose(affine.invert(frame), to), points.astype(np.float64)).astype(np.float32)


@partial(jax.jit, static_argnames="how")
def _merge(points: jax.Array, weights: jax.Array, how: str) -> tuple[jax.Array, jax.Array]:
    valid = jnp.all(jnp.isfinite(points), -1)
    merged, spread = tta.merge(points, weights, valid, how=how)
    return merged, jnp.where(jnp.isnan(spread), spread, tta.disagreement(points, merged, valid))


def merged(
    over: Sequence[Net], weights: np.ndarray, how: str, source: Source, faults: loader.Faults | None = None
) -> Iterator[Predicted]:
    """Predictions of every decodable image of a source, in order: views merged by weights f[views] or
    f[views, points] as `tta.merge` has them. Their spread is that of all views, whatever the weights."""
    for batch, count, points in looked(over, source, faults):
        found, spread = _merge(points, jnp.asarray(weights, jnp.float32), how)
        yield inference.home(batch, count, np.asarray(found), np.asarray(spread))


class Boxed(Source):
    """A source whose images are looked at within other boxes f64[n, 4]: x, y, width, height in their pixels."""

    boxed = True

    def __init__(self, source: Source, boxes: np.ndarray):
        self._source, self._boxes = source, boxes
        self.names, self.num_points, self.labelled = source.names, source.num_points, source.labelled

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        return self._source[index]._replace(box=self._boxes[index])


def framing(found: Predicted, size: int) -> np.ndarray:
    """f64[3]: how faces lie in the input of size x size pixels, by their labels: the median centre (x, y) of their boxes, from
    the input's centre, and the median longer side, over `size`. Faces with all points labelled, if there are any. Raises
    ValueError where nothing is labelled, or each label is a single place."""
    labelled = found.mask.all(1) if found.mask.all(1).any() else found.mask.any(1)
    if not labelled.any():
        raise ValueError("--refine: no held-out image is labelled, so how objects lie in the frame is not known")
    inside = affine.apply(found.frame, found.truth)[labelled]
    low, high = metrics.extremes(inside, found.mask[labelled])
    if not (high > low).any():
        raise ValueError("--refine: no label has an extent, so by how much to enlarge is not known")
    centre = ((low + high) / 2 - (size - 1) / 2) / size
    return np.median(np.concatenate([centre, (high - low).max(1, keepdims=True) / size], 1), 0)


def closer(
    over: Sequence[Net], weights: np.ndarray, how: str, typical: np.ndarray, source: Source, found: Predicted
) -> Predicted:
    """`found`, with the images whose faces fill less of the frame than they do in training looked at again, each in a
    crop in which its predicted points lie as labels lie (`typical`, of `framing`). Where that crop leaves the image
    the first look stays."""
    boxes, zoom = crops(found, typical, over[0].config)
    again = np.flatnonzero((zoom > _CLOSER) & np.isfinite(boxes).all(1))
    if not len(again):
        return found
    near = Boxed(Subset(source, found.index[again].tolist()), boxes[again])
    parts = list(merged(over, weights, how, near, loader.Faults()))
    if not parts:
        return found
    new = inference.gather(parts)
    changed = {name: getattr(found, name).copy() for name in ("points", "spread", "frame")}
    for name, values in changed.items():
        values[again[new.index]] = getattr(new, name)
    return found._replace(**changed)


def crops(found: Predicted, typical: np.ndarray, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(boxes f64[n, 4] in pixels of the images, by how much each would enlarge its face f64[n])."""
    low, high = found.points.min(1), found.points.max(1)
    longer = np.maximum((high - low).max(1), 1e-6)
    before = affine.scale(found.frame)
    zoom = np.minimum(typical[2] * config.size / longer, _LARGEST * before)
    centre = (low + high) / 2 - typical[:2] * config.size / zoom[:, None]
    side = config.size / zoom / (1 + 2 * config.box_margin)
    corner = centre + 0.5 - side[:, None] / 2
    return np.concatenate([corner, np.stack([side, side], 1)], 1), zoom / before
