"""Probes of coordinates. Each returns a worst case, 0 at best, in pixels unless stated otherwise.

The functions under test are arguments, so that a wrong one can be seen to fail.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import affine, transform
from jaxmarks.transform import Transform
from pipelines.certificate import cases, reference
from pipelines.images import placement

IMAGE_SIZES = ((60, 60), (61, 83), (129, 131), (300, 211), (481, 640), (975, 1300), (1300, 701), (1300, 1300))


def _worst(difference: np.ndarray) -> float:
    """The largest absolute value; NaN counts as infinite."""
    return float(np.max(np.where(np.isnan(difference), np.inf, np.abs(difference)), initial=0))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _both(
    apply_points: Callable, invert: Callable, records: Transform, points: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Under each record: f32[records, points, 2] moved, and those brought back."""
    mirror = cases.swaps(points.shape[0])

    @jax.vmap
    def one(t: Transform):
        moved = apply_points(t, points, mirror)
        return moved, apply_points(invert(t), moved, mirror)

    return one(records)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _combined(
    compose: Callable, invert: Callable, a: Transform, b: Transform, c: Transform
) -> tuple[Transform, Transform, Transform]:
    """(a b) c, a (b c), and a b c with their inverses after them in reverse order."""

    @jax.vmap
    def one(a: Transform, b: Transform, c: Transform):
        left = compose(compose(a, b), c)
        undone = compose(compose(invert(c), invert(b)), invert(a))
        return left, compose(a, compose(b, c)), compose(left, undone)

    return one(a, b, c)


def there_and_back(
    records: Transform,
    size: int,
    apply_points: Callable = transform.apply_points,
    invert: Callable = transform.invert,
    seed: int = 0,
) -> float:
    """Points applied and inverted, against themselves in their own order.

    In and around the frame an error counts as it is; beyond a side's distance from it, where float32 is coarser, per
    side of distance from the centre of the frame (before or after, whichever is farther).
    """
    points = cases.scattered(size, 70, seed)
    moved, back = (np.asarray(a, np.float64) for a in _both(apply_points, invert, records, jnp.asarray(points)))
    reach = np.maximum(np.abs(points - size / 2), np.abs(moved - size / 2)).max(-1, keepdims=True)
    return _worst((back - points) / np.maximum(1, reach / (1.5 * size)))


def moved(records: Transform, size: int, apply_points: Callable = transform.apply_points, seed: int = 0) -> float:
    """Points and their order under records, against float64 products and the permutation written out."""
    points = cases.scattered(size, 70, seed)
    found = np.asarray(_both(apply_points, transform.invert, records, jnp.asarray(points))[0], np.float64)
    mirror = cases.swaps(len(points))
    expected = np.stack([reference.move_points(t.affine, points, mirror) for t in reference.rows(records)])
    reach = np.maximum(np.abs(points - size / 2), np.abs(expected - size / 2)).max(-1, keepdims=True)
    return _worst((found - expected) / np.maximum(1, reach / (1.5 * size)))


def through_image(
    records: Transform,
    size: int,
    image_size: tuple[int, int],
    place: Callable = placement.place,
    invert: Callable = transform.invert,
) -> float:
    """Map points of an image (width, height), also far outside, to the augmented input in float32 and back; worst error
    in pixels of the image."""
    width, height = image_size
    canvas = place(np.zeros((height, width, 3), np.uint8), size, placement.canvas_side(size, 1.25))
    inner = np.random.RandomState(0).uniform((-0.2 * width, -0.2 * height), (1.2 * width, 1.2 * height), (40, 2))
    points = np.concatenate(
        [inner, [[-22.0, 1308.0 * max(image_size) / 1300], [0.0, 0.0], [width - 1.0, height - 1.0]]]
    )
    there = jnp.asarray(affine.apply(canvas.frame, points), jnp.float32)
    found = np.asarray(_both(transform.apply_points, invert, records, there)[1], np.float64)
    return _worst(affine.apply(affine.invert(canvas.frame), found) - points)


def frame_of_image(size: int, image_size: tuple[int, int], place: Callable = placement.place) -> float:
    """The image's corners, by area, in the input: the short side from edge to edge and the long one centred.

    Centred up to half a pixel of the reduced image: where nothing is enlarged the cut is by whole pixels.
    """
    width, height = image_size
    frame = place(np.zeros((height, width, 3), np.uint8), size, placement.canvas_side(size, 1.25)).frame
    low, high = reference.move(frame, np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]]))
    axis = int(width > height)
    off_centre = max(0.0, abs((low + high)[1 - axis] / 2 - (size - 1) / 2) - 0.5)
    return _worst(np.array([low[axis] + 0.5, high[axis] - (size - 0.5), off_centre]))


def algebra(
    records: Transform, size: int, compose: Callable = transform.compose, invert: Callable = transform.invert
) -> float:
    """Three records composed in both orders of brackets, against float64 products, and undone in reverse order.

    The largest difference of corners of the frame and of covers in pixels, of colours in grey levels, and of blur in
    pixels squared.
    """
    count = len(records.affine)
    a, b, c = (jax.tree.map(lambda leaf, s=s: jnp.roll(leaf, s, 0), records) for s in (0, count // 3, 1))
    left, right, nothing = _combined(compose, invert, a, b, c)
    triples = zip(*(reference.rows(t) for t in (a, b, c)), strict=True)
    expected = [reference.composed(reference.composed(*pair[:2]), pair[2]) for pair in triples]
    worst = 0.0
    for found in (left, right):
        worst = max(worst, *(_apart(f, e, size) for f, e in zip(reference.rows(found), expected, strict=True)))
    return max(worst, *(_apart_affine(t.affine, np.eye(2, 3), size) for t in reference.rows(nothing)))


def _apart_affine(found: np.ndarray, expected: np.ndarray, size: int) -> float:
    corners = np.array([[0, 0], [0, size - 1], [size - 1, 0], [size - 1, size - 1]])
    return _worst(reference.move(found, corners) - reference.move(expected, corners)) / max(1, np.abs(expected).max())


def _apart(found: reference.Record, expected: reference.Record, size: int) -> float:
    corners = np.array([[0, 0, 0, 1], [255, 0, 0, 1], [0, 255, 0, 1], [0, 0, 255, 1], [255, 255, 255, 1]])
    scale = max(1, np.abs(expected.colour).max())
    return max(
        _apart_affine(found.affine, expected.affine, size),
        _worst(corners @ (found.colour - expected.colour).T) / scale,
        _worst(found.blur - expected.blur) / max(1, float(expected.blur)),
        _worst((found.covers - expected.covers) / np.maximum(1, np.abs(expected.covers))),
    )


def oracle(views: Transform, size: int, merge: Callable, invert: Callable = transform.invert) -> float:
    """A network that returns the true points of whatever it is shown, mirrored names and all, merged over the views."""
    points = np.random.RandomState(1).uniform(-0.2 * size, 1.2 * size, (71, 2)).astype(np.float32)
    mirror = cases.swaps(len(points))
    shown = np.stack([reference.move_points(t.affine, points, mirror) for t in reference.rows(views)])
    back = jax.vmap(lambda t, p: transform.apply_points(invert(t), p, mirror))(views, jnp.asarray(shown, jnp.float32))
    merged, _ = merge(back[:, None], jnp.ones(len(shown)), jnp.ones((len(shown), 1, len(points)), bool))
    return _worst(np.asarray(merged[0], np.float64) - points)
