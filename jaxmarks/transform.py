"""Transform: one record for every augmentation, with apply, compose, invert and restore.

A `Transform` is a plain pytree. What an augmenter drew, what a view of test-time augmentation fixes and what replay
re-creates are all this one record, so each has the same exact inverse. A leading axis on every leaf makes a set of
views or a batch; `jax.vmap` does the rest. What cannot be written in the record is not an augmenter here.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxmarks import affine, backend
from jaxmarks import image as ops


class Transform(NamedTuple):
    """Map of points and change of pixels. Neutral element: `identity()`."""

    affine: jax.Array  # f32[2, 3]  points before -> after; the image is sampled at its inverse
    colour: jax.Array  # f32[3, 4]  on RGB 0..255
    blur: jax.Array  # f32[]  variance of a Gaussian, output pixels squared
    covers: jax.Array  # f32[K, 9]  unit square -> output pixels (2x3), then RGB; unused ones have no area


def identity() -> Transform:
    """Return the transform that changes nothing, without covers."""
    return from_affine(jnp.asarray(affine.IDENTITY, jnp.float32))


def from_affine(matrix: jax.Array) -> Transform:
    """Return the transform that only moves points and pixels.

    Args:
        matrix: f32[2, 3], points before -> after.

    Returns:
        a Transform without colour, blur and covers.
    """
    return Transform(matrix, jnp.eye(3, 4), jnp.zeros(()), jnp.zeros((0, 9)))


def _move_covers(t: Transform, covers: jax.Array) -> jax.Array:
    moved = affine.compose(covers[:, :6].reshape(-1, 2, 3), t.affine).reshape(-1, 6)
    return jnp.concatenate([moved, ops.recolour(t.colour, covers[:, 6:])], 1)


def compose(first: Transform, second: Transform) -> Transform:
    """Return `first`, then `second`, as one record: one interpolation however many steps it holds.

    Matrices and colours multiply; a blur made before grows with the area, blur1 |det L2| + blur2; the first's covers
    are moved and recoloured by the second and lie under the second's. Associative up to rounding.

    Args:
        first: a Transform of one image.
        second: a Transform of the first's output.

    Returns:
        a Transform with the covers of both.
    """
    return Transform(
        affine.compose(first.affine, second.affine),
        _compose_colour(first.colour, second.colour),
        first.blur * jnp.abs(affine.determinant(second.affine)) + second.blur,
        jnp.concatenate([_move_covers(second, first.covers), second.covers]),
    )


def _compose_colour(first: jax.Array, second: jax.Array) -> jax.Array:
    columns = ops.recolour(second.at[:, 3].set(0), first.T).T
    return columns.at[:, 3].add(second[:, 3])


def _invertible(colour: jax.Array) -> jax.Array:
    scale = jnp.max(jnp.abs(colour[:, :3]))
    return jnp.abs(_determinant3(colour)) > 1e-4 * scale**3


def _cofactors(m: jax.Array) -> jax.Array:
    return jnp.stack([jnp.cross(m[1, :3], m[2, :3]), jnp.cross(m[2, :3], m[0, :3]), jnp.cross(m[0, :3], m[1, :3])])


def _determinant3(m: jax.Array) -> jax.Array:
    return jnp.sum(m[0, :3] * _cofactors(m)[0])


def _invert_colour(colour: jax.Array) -> jax.Array:
    usable = _invertible(colour)
    linear = _cofactors(colour).T / jnp.where(usable, _determinant3(colour), 1)
    offset = -jnp.sum(linear * colour[None, :, 3], 1)
    return jnp.where(usable, jnp.concatenate([linear, offset[:, None]], 1), jnp.eye(3, 4))


def invert(t: Transform) -> Transform:
    """Return the transform back, without blur and covers.

    Args:
        t: a Transform of one image.

    Returns:
        matrix and colour inverted; a colour that has no inverse is left alone.
    """
    return Transform(affine.invert(t.affine), _invert_colour(t.colour), jnp.zeros(()), jnp.zeros((0, 9)))


def apply_points(t: Transform, points: jax.Array, mirror: ArrayLike | None) -> jax.Array:
    """Return points moved by a transform; where it mirrors, left and right change names.

    Points outside the frame move like any other and are never clamped.

    Args:
        t: a Transform of one image.
        points: f32[points, 2], (x, y) in pixels of the frame before.
        mirror: i32[points], mirrored point i is the old point mirror[i]. None: no permutation is known, and then no
            mirroring transform may be applied.

    Returns:
        f32[points, 2] in pixels of the frame after.
    """
    moved = affine.apply(t.affine, jnp.asarray(points))
    return moved if mirror is None else jnp.where(affine.determinant(t.affine) < 0, moved[jnp.asarray(mirror)], moved)


def apply_image(t: Transform, image: jax.Array, size: int, extent: jax.Array | None = None) -> jax.Array:
    """Return the image under a transform, not quantised.

    One gather -> blur -> colour -> what was not seen becomes the border (128) -> covers -> clip to 0..255: this order
    defines the image.

    Args:
        t: a Transform of one image.
        image: u8 or f32 RGB [h, w, 3] in 0..255.
        size: side of the output in pixels.
        extent: f32[4], the true pixels of the image (x0, y0, x1, y1); None: all.

    Returns:
        f32[size, size, 3] in 0..255.
    """
    image = jnp.asarray(image)
    back = affine.invert(t.affine)
    seen = _seen(back, size, ops.full_extent(image) if extent is None else extent)
    pixels = ops.gaussian(ops.warp(image, back, size), t.blur, t.blur)
    pixels = jnp.where(seen[None], ops.recolour(t.colour, pixels, axis=0), ops.BORDER)
    return _channels_last(jnp.clip(ops.cover(t.covers, pixels), 0, 255))


def apply_images(t: Transform, images: jax.Array, which: jax.Array, size: int, extent: jax.Array) -> jax.Array:
    """Return `apply_image` of images[which[k]] under the k-th of n transforms, but for rounding.

    On a CPU what all need is done for all at once, and branches are loops: under `vmap` every branch would be computed
    for every image.

    Args:
        t: a Transform with a leading axis n.
        images: u8[m, h, w, 3], RGB.
        which: i32[n], the image of each output.
        size: side of the outputs in pixels.
        extent: f32[m, 4], the true pixels of each image (x0, y0, x1, y1).

    Returns:
        f32[n, size, size, 3] in 0..255.
    """
    if not backend.is_cpu():
        return jax.vmap(lambda one, k: apply_image(one, images[k], size, extent[k]))(t, which)
    images, extent = jnp.asarray(images), jnp.asarray(extent)
    packed = ops.pack(images)

    def render(some):
        t, which = some
        back = affine.invert(t.affine)
        pixels = ops.blurred(ops.warps(images, packed, which, back, size), t.blur)
        pixels = _finished(t, pixels, back, extent[which])
        covered = jnp.any(ops.has_area(t.covers), 1)
        painted = ops.where(covered, lambda p, covers: jnp.clip(ops.cover(covers, p), 0, 255), pixels, t.covers)
        return _channels_last(painted)

    return ops.in_chunks(render, (t, which))


@backend.apart
def _finished(t: Transform, pixels: jax.Array, back: jax.Array, extent: jax.Array) -> jax.Array:
    """Pixels f32[n, 3, size, size], warped and blurred, with their colours, what was not seen as the border, clipped.

    Stored on a CPU: written into the batch by the same operation, one core would do it alone.
    """
    seen = jax.vmap(_seen, (0, None, 0))(back, pixels.shape[-1], extent)
    recoloured = jax.vmap(partial(ops.recolour, axis=0))(t.colour, pixels)
    return jnp.clip(jnp.where(seen[:, None], recoloured, ops.BORDER), 0, 255)


@backend.apart
def _channels_last(planes: jax.Array) -> jax.Array:
    """f32[..., 3, h, w] -> f32[..., h, w, 3]. Pixels are computed plane by plane, which a CPU does eight at a time."""
    return jnp.moveaxis(planes, -3, -1)


def _seen(back: jax.Array, size: int, extent: jax.Array) -> jax.Array:
    return ops.inside(*ops.places(back, size), extent)


def restore(t: Transform, image: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Return the image before, as far as it can be known from an augmented one: the inverse for pixels.

    A blur is not undone.

    Args:
        t: the Transform that made the image.
        image: [n, n, 3], RGB in 0..255, as `apply_image` made it.
        size: side of the image before, in pixels.

    Returns:
        f32[size, size, 3], and the mask bool[size, size] of what is known; false outside the augmented frame, under a
        cover, where a colour change clipped to 0 or 255, or everywhere when the colour has no inverse (grey).
    """
    image = jnp.asarray(image, jnp.float32)
    side = image.shape[0]
    before = jnp.array([0, 0, size - 1, size - 1], jnp.float32)
    lost = ~_seen(affine.invert(t.affine), side, before)
    lost = lost | jnp.any(jax.vmap(lambda c: ops.covered(c, side))(t.covers), 0)
    recoloured = jnp.any(t.colour != jnp.eye(3, 4))
    lost = lost | (recoloured & jnp.any((image <= 0) | (image >= 255), -1))
    known = (
        ops.sample((~lost).astype(jnp.float32)[..., None], affine.apply(t.affine[None], ops.grid(size)))[..., 0] > 0.999
    )
    seen = _seen(t.affine, size, ops.full_extent(image))
    pixels = ops.recolour(_invert_colour(t.colour), ops.warp(image, t.affine, size), axis=0)
    mask = seen & known & _invertible(t.colour)
    return jnp.moveaxis(jnp.where(mask[None], pixels, ops.BORDER), 0, -1), mask
