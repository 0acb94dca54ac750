"""Predictions: all views of a batch rendered and run through the network in one call, mapped back and merged."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxmarks import affine, backend, transform, tta
from jaxmarks.landmarks import Scheme
from jaxmarks.models import Model, units
from jaxmarks.training import rendering, sharding
from jaxmarks.training import state as states
from jaxmarks.transform import Transform
from jaxmarks.types import Batch, State


def make_look(model: Model, scheme: Scheme, size: int, over: Mesh) -> Callable:
    """look(folded, batch, views) -> f32[views, batch, points, 2]: what each view says, in input pixels; jitted.

    folded: of `model.fold`; views: a Transform with a leading axis. A view is composed with the image's frame, so
    each is one interpolation; the network's answer is taken back by the view's inverse, in the points' own order.
    """
    return jax.jit(_look(model, scheme, size, over), compiler_options=backend.compiler_options())


def _look(model: Model, scheme: Scheme, size: int, over: Mesh) -> Callable:
    def look(folded, batch: Batch, views: Transform):
        output = model.predict(folded, rendering.under_views(batch, views, size, over))
        found = units.to_pixels(output, size).reshape(-1, views.affine.shape[0], scheme.num_points, 2).swapaxes(0, 1)
        back = jax.vmap(transform.invert)(views)
        return jax.vmap(lambda t, p: jax.vmap(lambda q: transform.apply_points(t, q, scheme.mirror))(p))(back, found)

    return look


class Forward(NamedTuple):
    """A network as it predicts under a set of views."""

    fold: Callable  # fold(params, stats) -> folded, once for all batches
    apply: Callable  # apply(folded, batch) -> (points f32[batch, points, 2] in input pixels, spread f32[batch, points])


def make_forward(model: Model, scheme: Scheme, size: int, views: Transform, weights: jax.Array, over: Mesh) -> Forward:
    """The forward pass under a set of views, merged by weights; views and weights as `tta.merge` has them."""
    look = _look(model, scheme, size, over)

    def apply(folded, batch: Batch):
        home = look(folded, batch, views)
        return tta.merge(home, weights, jnp.all(jnp.isfinite(home), -1))

    return Forward(model.fold, jax.jit(apply, compiler_options=backend.compiler_options()))


class Predicted(NamedTuple):
    """Predictions of some images beside their labels, in pixels of the images; host arrays."""

    index: np.ndarray  # i32[n]
    points: np.ndarray  # f64[n, points, 2]
    spread: np.ndarray  # f64[n, points]  of the views; NaN: no view was valid
    truth: np.ndarray  # f64[n, points, 2]  the label, where the mask is true
    mask: np.ndarray  # bool[n, points]
    frame: np.ndarray  # f64[n, 2, 3]  image -> input
    expected: np.ndarray  # f64[n, points]  the expected error; NaN: not calibrated
    diagonal: np.ndarray  # f64[n]  of the image


def predictions(
    forward: Forward, state: State, batches: Iterable[tuple[Batch, int]], over: Mesh
) -> Iterator[Predicted]:
    """Predictions of each batch's real examples. The next batch is dispatched before the last is fetched."""
    folded = forward.fold(*states.judged(state))
    dispatched = ((b, n, forward.apply(folded, sharding.split(over, b))) for b, n in batches)
    for batch, count, (points, spread) in one_ahead(dispatched):
        yield home(batch, count, np.asarray(points), np.asarray(spread))


def one_ahead(items: Iterable) -> Iterator:
    """The items, each once the next was asked for: what is dispatched runs while the one before is looked at."""
    waiting = None
    for item in items:
        if waiting is not None:
            yield waiting
        waiting = item
    if waiting is not None:
        yield waiting


def home(
    batch: Batch, count: int, points: np.ndarray, spread: np.ndarray, expected: np.ndarray | None = None
) -> Predicted:
    """The first `count` examples of a batch, from its input frames [b, points, ...] to their images."""
    frame = batch.frame[:count]
    back = affine.invert(frame)
    scale = affine.scale(back)[:, None]
    expected = np.full(spread.shape, np.nan) if expected is None else expected
    truth, found = (affine.apply(back, p[:count].astype(np.float64)) for p in (batch.points, points))
    apart, error = (scale * each[:count].astype(np.float64) for each in (spread, expected))
    diagonal = np.asarray(batch.diagonal[:count], np.float64)
    return Predicted(batch.index[:count], found, apart, truth, batch.mask[:count], frame, error, diagonal)


def gather(found: Iterable[Predicted]) -> Predicted:
    """All of them as one. Raises ValueError where there is none."""
    parts = list(found)
    if not parts:
        raise ValueError("no image to predict: none could be decoded")
    return Predicted(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
