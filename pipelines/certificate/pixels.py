"""Probes of pixels. Each returns a worst case, 0 at best, in the unit of its docstring.

`render` is `transform.apply_image` unless a test puts a wrong one in its place.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import affine, transform
from jaxmarks.augment.samplers import Geometry, sample
from jaxmarks.transform import Transform
from pipelines.certificate import cases, reference
from pipelines.images import placement

_SIGMA = 3.0  # of a blob, input pixels
_EVERYWHERE = np.array([-1e6, -1e6, 1e6, 1e6], np.float32)  # an extent: black repeated outwards is no border


@functools.partial(jax.jit, static_argnums=(0, 3))
def _rendered(render: Callable, records: Transform, image: jax.Array, size: int, extent: jax.Array) -> jax.Array:
    """f32[records, size, size, 3]: one image under each record."""
    return jax.lax.map(lambda t: render(t, image, size, extent), records)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _blobs(render: Callable, records: Transform, centres: jax.Array, size: int) -> jax.Array:
    """f32[records, size, size]: a blob at each record's own centre f32[records, 2], under it."""

    def one(t: Transform, centre: jax.Array) -> jax.Array:
        axis = jnp.arange(size, dtype=jnp.float32)
        across, down = (jnp.exp(-jnp.square(axis - c) / (2 * _SIGMA**2)) for c in centre)
        grey = jnp.broadcast_to((250 * down[:, None] * across[None])[..., None], (size, size, 3))
        return render(t, grey, size, jnp.asarray(_EVERYWHERE))[..., 0]

    return jax.lax.map(lambda pair: one(*pair), (records, centres))


def _reach(t: reference.Record, sigma: float = _SIGMA) -> float:
    """Return how far from its centre a blob reaches after the record, in pixels: 4.5 deviations."""
    widest = np.linalg.norm(t.affine[:, :2], 2)
    return 4.5 * float(np.sqrt(sigma**2 * max(widest, 1) ** 2 + t.blur + 1))


def _place_for(t: reference.Record, size: int, random: np.random.RandomState) -> np.ndarray | None:
    """Return a centre whose blob is complete in the frame before and after the record, if one of 200 is."""
    tried = random.uniform(6 * _SIGMA, size - 1 - 6 * _SIGMA, (200, 2)).astype(np.float32)  # the repeated edge is black
    after = reference.move(t.affine, tried)
    good = ((after > _reach(t)) & (after < size - 1 - _reach(t))).all(1)
    return tried[np.argmax(good)] if good.any() else None


def blobs(records: Transform, size: int, render: Callable = transform.apply_image) -> float:
    """Return the worst distance in pixels between the centroids of blobs at sub-pixel places, under the geometry and
    blur of records, and the mapped places.

    Records under which no blob is complete in both frames are omitted; infinite if fewer than half remain.
    """
    geometry, random = cases.geometry_of(records), np.random.RandomState(0)
    rows = reference.rows(geometry)
    centres = [_place_for(t, size, random) for t in rows]
    used = [k for k, c in enumerate(centres) if c is not None]
    if 2 * len(used) < len(rows):
        return float("inf")
    filled = jnp.asarray(np.stack([np.zeros(2) if c is None else c for c in centres]), jnp.float32)
    images = np.asarray(_blobs(render, geometry, filled, size))
    errors = [reference.centroid(images[k]) - reference.move(rows[k].affine, np.asarray(filled[k])) for k in used]
    return float(np.max(np.abs(errors)))


def blob_in_image(
    records: Transform,
    size: int,
    image_size: tuple[int, int],
    place: Callable = placement.place,
    render: Callable = transform.apply_image,
) -> float:
    """A blob in an image (width, height) of bytes, reduced, cut and rendered in one go: its centroid, input px.

    Records under which it does not lie whole in the frame are left out; infinite where all are.
    """
    width, height = image_size
    short = min(image_size)
    sigma = max(_SIGMA * short / size, 2.5)  # px of the image: finer ones show the beat of bilinear enlargement
    centre = np.array([width, height]) / 2 + np.array([0.07, -0.05]) * short + (0.37, -0.21)
    grey = np.rint(cases.blob(width, height, centre, sigma)).astype(np.uint8)
    centre = reference.centroid(grey)  # of the bytes as they are: rounding them moved it
    canvas = place(np.repeat(grey[..., None], 3, 2), size, placement.canvas_side(size, 1.25))
    whole = _after_fit(cases.geometry_of(records), canvas)
    images = np.asarray(_rendered(render, whole, jnp.asarray(canvas.image), size, jnp.asarray(_EVERYWHERE)))
    at = reference.move(canvas.frame, centre)
    errors = []
    for t, image in zip(reference.rows(records), images, strict=True):
        expected = reference.move(t.affine, at)
        reach = _reach(t, sigma * size / short)
        if (expected > reach).all() and (expected < size - 1 - reach).all():
            errors.append(np.max(np.abs(reference.centroid(image[..., 0]) - expected)))
    return float(np.max(errors)) if errors else float("inf")


def _after_fit(records: Transform, canvas: placement.Canvas) -> Transform:
    """canvas -> augmented input, as the training step composes it."""
    fit = transform.from_affine(jnp.asarray(canvas.fit, jnp.float32))
    return jax.jit(jax.vmap(lambda t: transform.compose(fit, t)))(records)


def against_scipy(records: Transform, size: int, image: np.ndarray, render: Callable = transform.apply_image) -> float:
    """An image u8[h, w, 3] placed and rendered, against the float64 reference: largest difference, grey levels.

    Over contrast where a record raises it. Left out are pixels within 1e-3 px of an edge of what is seen or covered.
    """
    canvas = placement.place(image, size, placement.canvas_side(size, 1.25))
    whole = _after_fit(records, canvas)
    extent = jnp.asarray(canvas.extent, jnp.float32)
    found = np.asarray(_rendered(render, whole, jnp.asarray(canvas.image), size, extent))
    worst = 0.0
    for t, shown in zip(reference.rows(whole), found, strict=True):
        expected, certain = reference.apply_image(t, canvas.image, size, canvas.extent)
        worst = max(
            worst, float(np.max(np.abs(shown - expected)[certain])) / max(1, np.abs(t.colour[:, :3]).sum(1).max())
        )
    return worst


def exact(size: int, geometry: Geometry, expected: Callable, render: Callable = transform.apply_image) -> float:
    """A fixed geometry on bytes, against whole pixels: how many values of noise differ in any bit."""
    noise = np.random.RandomState(0).randint(0, 256, (size, size, 3), np.uint8)
    t = sample(jax.random.key(0), geometry, size)
    return float(np.sum(np.asarray(jax.jit(render, static_argnums=2)(t, noise, size)) != expected(noise)))


def mirrored(size: int, render: Callable = transform.apply_image) -> float:
    """Values that differ between mirroring and `image[:, ::-1]`."""
    return exact(size, Geometry(mirror=1.0), lambda image: image[:, ::-1], render)


def unchanged(size: int, render: Callable = transform.apply_image) -> float:
    """Values that differ between the identity and the image."""
    return exact(size, Geometry(), lambda image: image, render)


def zone_plate(size: int, shrink: int = 4, render: Callable = transform.apply_image) -> float:
    """A zone plate shrunk, against the triangle filter of an antialiased resize: root mean square, grey levels."""
    plate = cases.zone_plate(size * shrink)
    t = transform.from_affine(jnp.asarray(affine.resize(1 / shrink, 1 / shrink), jnp.float32))
    found = np.asarray(jax.jit(render, static_argnums=2)(t, plate, size))
    return float(np.sqrt(np.mean(np.square(found - reference.antialiased(plate, size)))))


def restored(
    records: Transform, size: int, restore: Callable = transform.restore, render: Callable = transform.apply_image
) -> tuple[float, float]:
    """A smooth image augmented without blur and restored: (error, disagreement).

    error: the largest difference within the mask, grey levels, over the gain of undoing the colour; two pixels along
    the rims of both frames are left out, where the outermost half pixel is a repeated edge. disagreement: pixels whose
    mask differs from the reference's, where the reference is certain.
    """
    image = cases.smooth(size, 32.0)
    sharp = records._replace(blur=jnp.zeros_like(records.blur))
    extent = jnp.array([0, 0, size - 1, size - 1], jnp.float32)
    augmented = _rendered(render, sharp, jnp.asarray(image), size, extent)
    found, masks = (np.asarray(a) for a in _restored(restore, sharp, augmented, size))
    error, disagreement = 0.0, 0
    for t, after, inverted, mask in zip(reference.rows(sharp), np.asarray(augmented), found, masks, strict=True):
        known, certain = reference.restorable(t, after.astype(np.float64), size)
        disagreement += int(np.sum((known != mask) & certain))
        if mask.any():
            gain = max(1, np.abs(reference.invert_colour(t.colour)[:, :3]).sum(1).max())
            deep = mask & _deep(t.affine, size)
            error = max(error, float(np.max(np.abs(inverted - image)[deep], initial=0)) / gain)
    return error, float(disagreement)


def _deep(matrix: np.ndarray, size: int) -> np.ndarray:
    """bool[size, size]: pixels more than two from the rim of the frame, before and after."""
    both = np.concatenate([reference.pixels(size), reference.move(matrix, reference.pixels(size))], -1)
    return np.all((both > 2) & (both < size - 3), axis=-1)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _restored(restore: Callable, records: Transform, images: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    return jax.lax.map(lambda pair: restore(pair[0], pair[1], size), (records, images))


def at_once(size: int, render: Callable = transform.apply_image) -> float:
    """Rotation, crop and resize in one interpolation, over the same one after another: quotient of their errors.

    The error is the root mean square against the image computed, not sampled; below 1, at once is nearer. Frames
    are of 96 px at least, so that enough lies away from their rims.
    """
    size = max(size, 96)
    steps = [Geometry(rotation=25.0), Geometry(crop=0.85, crop_x=0.3, crop_y=0.6), Geometry(scale=0.93, rotation=-7.0)]
    ts = [sample(jax.random.key(n), g, size) for n, g in enumerate(steps)]
    image = cases.smooth(size, 8.0)
    drawn = jax.jit(render, static_argnums=2)
    sequence = image
    for t in ts:
        sequence = drawn(t, sequence, size)
    whole = functools.reduce(transform.compose, ts)
    xy = reference.move(reference.back(np.asarray(whole.affine)), reference.pixels(size))
    deep = ((xy > 12) & (xy < size - 13)).all(-1)
    truth = cases.waves(xy, 8.0)
    errors = [np.sqrt(np.mean(np.square(np.asarray(p) - truth)[deep])) for p in (drawn(whole, image, size), sequence)]
    return float(errors[0] / errors[1])
