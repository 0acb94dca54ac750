"""Predictions: all views of a batch rendered and run through the network in one call, un-warped and merged."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxmarks import affine, sharding, transform, tta, units
from jaxmarks import state as states
from jaxmarks.landmarks import Scheme
from jaxmarks.models import Model
from jaxmarks.transform import Transform
from jaxmarks.types import Batch, State


def make_forward(model: Model, scheme: Scheme, size: int, views: Transform, weights: jax.Array, over: Mesh) -> Callable:
    """forward(params, stats, batch) -> (points f32[batch, points, 2] in input pixels, spread f32[batch, points]).

    A view is composed with the photograph's frame, so each is one interpolation; the network's answer is taken back by
    the view's inverse, in the points' own order.
    """
    count = views.affine.shape[0]

    def render(canvas, fit, extent):
        def one(view):
            return transform.apply_image(transform.compose(transform.from_affine(fit), view), canvas, size, extent)

        return jax.vmap(one)(views)

    mapped = sharding.over_examples(render, over)

    @jax.jit
    def forward(params, stats, batch: Batch):
        pictures = mapped(batch.image, batch.fit, batch.extent)  # [batch, views, size, size, 3]
        output, _ = model.apply(params, stats, pictures.reshape(-1, size, size, 3), False)
        found = units.to_pixels(output, size).reshape(-1, count, scheme.num_points, 2).swapaxes(0, 1)
        back = jax.vmap(transform.invert)(views)
        home = jax.vmap(lambda t, p: jax.vmap(lambda q: transform.apply_points(t, q, scheme.mirror))(p))(back, found)
        return tta.merge(home, weights, jnp.all(jnp.isfinite(home), -1))

    return forward


class Predicted(NamedTuple):
    """Predictions of some photographs beside their labels, in pixels of the photographs; host arrays."""

    index: np.ndarray  # i32[n]
    points: np.ndarray  # f64[n, points, 2]
    spread: np.ndarray  # f64[n, points]
    truth: np.ndarray  # f64[n, points, 2]  the label, where the mask is true
    mask: np.ndarray  # bool[n, points]
    frame: np.ndarray  # f64[n, 2, 3]  photograph -> input


def predictions(
    forward: Callable, state: State, batches: Iterable[tuple[Batch, int]], over: Mesh
) -> Iterator[Predicted]:
    """Predictions of each batch's real examples. The next batch is dispatched before the last is fetched."""
    waiting = None
    for batch, count in batches:
        result = forward(*states.judged(state), sharding.split(over, batch))
        if waiting is not None:
            yield _home(*waiting)
        waiting = batch, count, result
    if waiting is not None:
        yield _home(*waiting)


def _home(batch: Batch, count: int, result: tuple[jax.Array, jax.Array]) -> Predicted:
    points, spread = (np.asarray(r, np.float64)[:count] for r in result)
    frame = batch.frame[:count]
    back = affine.invert(frame)
    scale = np.sqrt(np.abs(affine.determinant(back)))
    truth = affine.apply(back, batch.points[:count].astype(np.float64))
    moved = affine.apply(back, points)
    return Predicted(batch.index[:count], moved, spread * scale[:, None], truth, batch.mask[:count], frame)


def gather(found: Iterable[Predicted]) -> Predicted:
    """All of them as one. Raises ValueError where there is none."""
    parts = list(found)
    if not parts:
        raise ValueError("no photograph to predict: none could be decoded")
    return Predicted(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
