"""Ensemble inference with test-time augmentation, the one path from batches to predictions.

Every view of a batch is rendered and run through a network in one call and taken back by the view's inverse; what several
members say meets in the first one's input frame. All here is in pixels of that frame, until `to_images`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxmarks import affine, backend, transform, tta
from jaxmarks.landmarks import Scheme
from jaxmarks.models import Model, units
from jaxmarks.training import rendering, sharding
from jaxmarks.transform import Transform
from jaxmarks.types import Batch


class Member(NamedTuple):
    """A network of an ensemble, its weights, and the views that it predicts each image under."""

    network: Callable  # of `make_network`
    folded: Any  # of `Model.fold`
    views: Transform  # with a leading axis
    mesh: Mesh

    @property
    def count(self) -> int:
        """Number of views."""
        return self.views.affine.shape[0]


class ViewPoints(NamedTuple):
    """The points of every view of every member for a batch."""

    batch: Batch  # the first member's
    count: int  # real examples
    points: np.ndarray  # f32[views, batch, points, 2]


class Predicted(NamedTuple):
    """Predictions of some images beside their labels; host arrays in pixels of the input or, by `to_images`, of the images."""

    index: np.ndarray  # i32[n]
    points: np.ndarray  # f64[n, points, 2]
    spread: np.ndarray  # f64[n, points]  of the views; NaN: no view was valid
    truth: np.ndarray  # f64[n, points, 2]  the label, where the mask is true
    mask: np.ndarray  # bool[n, points]
    frame: np.ndarray  # f64[n, 2, 3]  image -> input
    expected: np.ndarray  # f64[n, points]  the expected error; NaN: not calibrated
    diagonal: np.ndarray  # f64[n]  of the image


def make_network(model: Model, scheme: Scheme, size: int, over: Mesh) -> Callable:
    """Return the jitted function from a batch and views to points.

    Args:
        model: the network.
        scheme: its points; a mirrored view is taken back in their own order.
        size: side of the input in pixels.
        over: the mesh that batches are split over.

    Returns:
        network(folded, batch, views) -> f32[views, batch, points, 2] in pixels of the input, each taken back by the
        inverse of its view; folded of `model.fold`, views a Transform with a leading axis.
    """

    def network(folded, batch: Batch, views: Transform):
        output = model.predict(folded, rendering.under_views(batch, views, size, over))
        found = units.to_pixels(output, size).reshape(-1, views.affine.shape[0], scheme.num_points, 2).swapaxes(0, 1)
        back = jax.vmap(transform.invert)(views)
        return jax.vmap(lambda t, p: jax.vmap(lambda q: transform.apply_points(t, q, scheme.mirror))(p))(back, found)

    return jax.jit(network, compiler_options=backend.compiler_options())


def view_points(
    members: Sequence[Member], batches: Iterable[Sequence[tuple[Batch, int]]], *, at_once: int | None = None
) -> Iterator[ViewPoints]:
    """Yield the points of every view, batch by batch; the next batch is dispatched before the last is fetched.

    Args:
        members: the ensemble.
        batches: for each member (batch, number of real examples), of the same images, each in the member's own frame.
        at_once: views that are rendered in one call; None: all of a member.

    Yields:
        the points of a batch, in pixels of the first member's input.
    """
    views = [_chunks(m.views, min(at_once or m.count, m.count)) for m in members]

    def dispatched():
        for each in batches:
            placed = [sharding.split(m.mesh, batch) for m, (batch, _) in zip(members, each, strict=True)]
            rows = zip(members, placed, views, strict=True)
            yield each, [[m.network(m.folded, batch, chunk) for chunk in chunks] for m, batch, chunks in rows]

    for each, answers in _one_ahead(dispatched()):
        (first, count), found = each[0], []
        for member, (batch, _), chunks in zip(members, each, answers, strict=True):
            points = np.concatenate([np.asarray(chunk) for chunk in chunks])[: member.count]
            found.append(points if batch is first else _moved(points, batch.frame, first.frame))
        yield ViewPoints(first, count, np.concatenate(found))


def _chunks(views: Transform, length: int) -> list[Transform]:
    """The views, `length` at a time; the last are filled up by the first."""

    def filled(leaf: jax.Array) -> jax.Array:
        return jnp.concatenate([leaf, jnp.repeat(leaf[:1], -len(leaf) % length, 0)])

    whole = jax.tree.map(filled, views)
    return [
        jax.tree.map(lambda leaf, at=at: leaf[at : at + length], whole) for at in range(0, len(whole.affine), length)
    ]


def _one_ahead(items: Iterable) -> Iterator:
    """The items, each once the next was asked for."""
    waiting = None
    for item in items:
        if waiting is not None:
            yield waiting
        waiting = item
    if waiting is not None:
        yield waiting


def _moved(points: np.ndarray, frame: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Points f32[views, b, points, 2] from the inputs of frames f64[b, 2, 3] to those of others."""
    return affine.apply(affine.compose(affine.invert(frame), to), points.astype(np.float64)).astype(np.float32)


@partial(jax.jit, static_argnames="how")
def _merge(points: jax.Array, weights: jax.Array, how: str) -> tuple[jax.Array, jax.Array]:
    return tta.merge(points, weights, jnp.all(jnp.isfinite(points), -1), how=how)


def merged(found: Iterable[ViewPoints], weights: np.ndarray, *, how: str = "mean") -> Iterator[Predicted]:
    """Yield predictions of each batch's real examples, the views merged as `tta.merge` has it.

    Args:
        found: of `view_points`.
        weights: f[views] or f[views, points] over all members, 0 or more.
        how: one of `tta.MERGES`.

    Yields:
        predictions in pixels of the first member's input, without expected errors (NaN).
    """
    for batch, count, points in found:
        prediction = _merge(points, jnp.asarray(weights, jnp.float32), how)
        yield _labelled(batch, count, *(np.asarray(each, np.float64)[:count] for each in prediction))


def _labelled(batch: Batch, count: int, points: np.ndarray, spread: np.ndarray) -> Predicted:
    """Predictions f64[count, points, 2] with their spread beside the labels of a batch's first `count` examples."""
    frame, truth = batch.frame[:count], batch.points[:count].astype(np.float64)
    diagonal = batch.diagonal[:count] * affine.scale(frame)
    unknown = np.full(spread.shape, np.nan)
    return Predicted(batch.index[:count], points, spread, truth, batch.mask[:count], frame, unknown, diagonal)


def to_images(found: Predicted) -> Predicted:
    """Return predictions in pixels of the images.

    Args:
        found: in pixels of the input.

    Returns:
        the same, all lengths and places taken back by the inverse of the frames.
    """
    back = affine.invert(found.frame)
    scale = affine.scale(back)
    points, truth = (affine.apply(back, p) for p in (found.points, found.truth))
    spread, expected = (scale[:, None] * each for each in (found.spread, found.expected))
    return found._replace(points=points, truth=truth, spread=spread, expected=expected, diagonal=scale * found.diagonal)


def gather(found: Iterable[Predicted]) -> Predicted:
    """Return some predictions as one.

    Args:
        found: predictions of some images each, in one kind of frame.

    Returns:
        all of them, in order.

    Raises:
        ValueError: where there are none.
    """
    parts = list(found)
    if not parts:
        raise ValueError("no image to predict: none could be decoded")
    return Predicted(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
