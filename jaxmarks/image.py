"""Pixel operations: sampling, blur, colour and covers on f32 RGB images in 0..255.

Pixel centres lie at whole numbers. Nothing here reduces over an image, so an image comes out the same,
bit for bit, whatever else is in its batch.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmarks import backend

BORDER = 128.0  # grey, where nothing was seen
RADIUS = 12  # taps to each side of a blur: four deviations at the largest variance allowed
MAX_VARIANCE = 9.0  # of a blur, output pixels squared

# The variance that bilinear interpolation itself adds, the triangle's 1/6: a map that shrinks s times is
# filtered by what is missing to the triangle s times as wide.
_TRIANGLE = 1 / 6
_CHUNK = 4  # images of which a CPU's core holds coordinates and neighbours in its cache
_NO_BLUR = 0.04  # a Gaussian of less variance moves no pixel by 0.002 grey levels: it is left out
# (taps to each side, for variances above): beyond the last tap lie at most 4e-5 of a Gaussian, 0.01 grey levels.
_RADII = ((2, _NO_BLUR), (5, 0.36), (RADIUS, 1.74))


def grid(size: int) -> jax.Array:
    """Return the (x, y) of every pixel.

    Args:
        size: side of the image in pixels.

    Returns:
        f32[size, size, 2].
    """
    axis = jnp.arange(size, dtype=jnp.float32)
    return jnp.stack(jnp.meshgrid(axis, axis), -1)


def full_extent(image: jax.Array) -> jax.Array:
    """Return the box of the pixel centres of a whole image.

    Args:
        image: [h, w, ...].

    Returns:
        f32[4], x0, y0, x1, y1.
    """
    return jnp.array([0, 0, image.shape[1] - 1, image.shape[0] - 1], jnp.float32)


def places(matrix: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Return where a matrix takes every pixel: the numbers of `affine.apply` to `grid`.

    Args:
        matrix: f32[2, 3].
        size: side of the image in pixels.

    Returns:
        x and y, each f32[size, size].
    """
    x, y = jnp.arange(size, dtype=jnp.float32)[None], jnp.arange(size, dtype=jnp.float32)[:, None]
    (a, b, c), (d, e, f) = matrix
    return a * x + b * y + c, d * x + e * y + f


def inside(x: jax.Array, y: jax.Array, extent: jax.Array) -> jax.Array:
    """Return the mask of the places that lie on the area of the pixels of an extent, half a pixel beyond their centres.

    Args:
        x: f32[...] in pixels.
        y: f32[...] in pixels.
        extent: f32[4], the box x0, y0, x1, y1 of the pixel centres.

    Returns:
        bool[...].
    """
    left, top, right, bottom = extent
    return (x >= left - 0.5) & (x <= right + 0.5) & (y >= top - 0.5) & (y <= bottom + 0.5)


def _between(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array, u: jax.Array, v: jax.Array) -> jax.Array:
    """Bilinear between corners: upper left, upper right, lower left, lower right. Exact at u = v = 0."""
    upper, lower = a + u * (b - a), c + u * (d - c)
    return upper + v * (lower - upper)


@functools.partial(backend.apart, static_argnames=("height", "width"))
def _corners(flat: jax.Array, first: jax.Array, height: int, width: int) -> tuple[jax.Array, ...]:
    """flat [n], images of height and width, at first i32[...] and at its right, lower and lower right neighbours.

    Stored on a CPU: fused onto what follows, XLA would gather anew for every channel.
    """
    right, below = min(1, width - 1), width * min(1, height - 1)
    return tuple(flat.at[first + step].get(mode="promise_in_bounds") for step in (0, right, below, below + right))


def pack(image: jax.Array) -> jax.Array:
    """Return three bytes of each pixel in one number.

    Args:
        image: u8[..., 3], n pixels.

    Returns:
        i32[n].
    """
    wide = image.astype(jnp.int32)
    return (wide[..., 0] | (wide[..., 1] << 8) | (wide[..., 2] << 16)).reshape(-1)


def _unpacked(pixels: jax.Array) -> jax.Array:
    """f32[3, ...]: the channels of packed pixels i32[...]."""
    shifts = jnp.arange(0, 24, 8, dtype=jnp.int32).reshape(3, *[1] * pixels.ndim)
    return ((pixels[None] >> shifts) & 255).astype(jnp.float32)


def sample(image: jax.Array, xy: jax.Array) -> jax.Array:
    """Return the bilinear values of an image; its edge is repeated outwards.

    Args:
        image: u8[h, w, 3] or f32[h, w, channels].
        xy: f32[..., 2], places in pixels.

    Returns:
        f32[..., channels].
    """
    return jnp.moveaxis(_planes(image, xy[..., 0], xy[..., 1]), 0, -1)


def _planes(image: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """`sample` with the channels first. Bytes (RGB) travel packed, one gather a neighbour instead of three."""
    height, width = image.shape[:2]
    first, u, v = _neighbours(x, y, height, width)
    if image.dtype == jnp.uint8:
        a, b, c, d = (_unpacked(corner) for corner in _corners(pack(image), first, height, width))
    else:
        each = [_corners(image[..., c].reshape(-1), first, height, width) for c in range(image.shape[2])]
        a, b, c, d = (jnp.stack(corner) for corner in zip(*each, strict=True))
    return _between(a, b, c, d, u[None], v[None])


@functools.partial(backend.apart, static_argnames=("height", "width"))
def _neighbours(x: jax.Array, y: jax.Array, height: int, width: int) -> tuple[jax.Array, ...]:
    """Return (index i32 of the pixel above and left of (x, y); the distances f32 u and v in 0..1 of (x, y) to its right
    and below).

    On the last column and row u and v are 1, so that a right and a lower neighbour always exist.
    """
    x, y = jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1)
    left, top = jnp.minimum(jnp.floor(x), max(width - 2, 0)), jnp.minimum(jnp.floor(y), max(height - 2, 0))
    return top.astype(jnp.int32) * width + left.astype(jnp.int32), x - left, y - top


def _smooth(image: jax.Array, variance: jax.Array, axis: int, radius: int) -> jax.Array:
    taps = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
    weights = jnp.exp(-jnp.square(taps) / (2 * jnp.maximum(variance, _NO_BLUR / 4)))
    weights = weights / jnp.sum(weights)
    pad = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
    padded = jnp.pad(image, pad, mode="edge")
    length = image.shape[axis]
    pieces = (w * jax.lax.slice_in_dim(padded, k, k + length, axis=axis) for k, w in enumerate(weights))
    return sum(pieces, jnp.zeros_like(image))


def gaussian(planes: jax.Array, variance_x: jax.Array, variance_y: jax.Array) -> jax.Array:
    """Return planes blurred by a Gaussian; edges are repeated, and variance 0 is the identity.

    The sampled Gaussian, `scipy.ndimage.gaussian_filter(mode="nearest")`, cut where 4e-5 of it or less are left.

    Args:
        planes: f32[channels, h, w].
        variance_x: f32[], pixels squared, 0 or more.
        variance_y: f32[], likewise.

    Returns:
        f32[channels, h, w].
    """
    most = jnp.maximum(variance_x, variance_y)
    which = jnp.sum(most > jnp.array([limit for _, limit in _RADII]))
    return jax.lax.switch(which, _BLURS, planes, variance_x, variance_y)


# Branches and bodies of loops are functions of the module, what they read among their arguments: a function that is made at
# each call is one that JAX has not seen, and called without jit it would be compiled each time.
def _unblurred(planes: jax.Array, variance_x: jax.Array, variance_y: jax.Array) -> jax.Array:
    return planes


def _blurred(radius: int, planes: jax.Array, variance_x: jax.Array, variance_y: jax.Array) -> jax.Array:
    return _smooth(_smooth(planes, variance_y, 1, radius), variance_x, 2, radius)


_BLURS = (_unblurred, *(functools.partial(_blurred, radius) for radius, _ in _RADII))


def warp(image: jax.Array, back: jax.Array, size: int) -> jax.Array:
    """Return the image pulled through a map.

    One bilinear gather. Where the map shrinks the image, it is filtered first by the Gaussian whose variance on each
    axis makes the whole as wide as the triangle filter of an antialiased resize.

    Args:
        image: u8 or f32 [h, w, 3].
        back: f32[2, 3], output pixel -> image pixel.
        size: side of the output in pixels.

    Returns:
        f32[3, size, size].
    """
    x, y = places(back, size)
    variance = _missing(back)
    return jax.lax.cond(jnp.max(variance) > _NO_BLUR, _planes_filtered, _planes_as_is, image, variance, x, y)


def _planes_filtered(image: jax.Array, variance: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return _planes(_filtered(image, variance), x, y)


def _planes_as_is(image: jax.Array, variance: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return _planes(image, x, y)


def warps(images: jax.Array, packed: jax.Array, which: jax.Array, back: jax.Array, size: int) -> jax.Array:
    """Return `warp` of images[which[k]] through back[k] for every k.

    One gather for all, which a CPU's cores share, then the few that are filtered first, one by one.

    Args:
        images: u8[m, h, w, 3].
        packed: i32[m * h * w], `pack` of the images.
        which: i32[n], the image of each output.
        back: f32[n, 2, 3], output pixel -> image pixel.
        size: side of the outputs in pixels.

    Returns:
        f32[n, 3, size, size].
    """
    _, height, width, _ = images.shape
    x, y = jax.vmap(places, (0, None))(back, size)
    first, u, v = _neighbours(x, y, height, width)
    corners = _corners(packed, first + (height * width * which)[:, None, None], height, width)
    a, b, c, d = map(jax.vmap(_unpacked), corners)
    plain = _between(a, b, c, d, u[:, None], v[:, None])
    shrunk = jnp.max(jax.vmap(_missing)(back), 1) > _NO_BLUR
    return where(shrunk, lambda _, k, back: warp(images[k], back, size), plain, which, back)


def in_chunks(function: Callable, arrays) -> jax.Array:
    """Return function(arrays), computed for so few at a time that a core's cache holds what is in between.

    Args:
        function: maps a pytree as `arrays`, of any n, to an array with a leading axis n.
        arrays: a pytree of arrays with a leading axis n.

    Returns:
        the array with a leading axis n.
    """
    count = jax.tree.leaves(arrays)[0].shape[0]
    if count % _CHUNK or count == _CHUNK:
        return function(arrays)
    cut = jax.tree.map(lambda a: a.reshape(count // _CHUNK, _CHUNK, *a.shape[1:]), arrays)
    found = jax.lax.map(function, cut)
    return found.reshape(count, *found.shape[2:])


def where(chosen: jax.Array, change: Callable, images: jax.Array, *others: jax.Array) -> jax.Array:
    """Return change(images[k], *others[k]) where chosen[k], else images[k]: a loop over the chosen alone.

    Args:
        chosen: bool[n].
        change: maps an image and its part of `others` to an image of the same shape.
        images: [n, ...].
        others: arrays with a leading axis n.

    Returns:
        [n, ...].
    """
    order = jnp.argsort(~chosen, stable=True)

    def one(n, images):
        k = order[n]
        return images.at[k].set(change(images[k], *(other[k] for other in others)))

    return jax.lax.fori_loop(0, jnp.sum(chosen), one, images)


def blurred(planes: jax.Array, variance: jax.Array) -> jax.Array:
    """Return `gaussian` of each of n images, by a loop as in `where`.

    Args:
        planes: f32[n, 3, h, w].
        variance: f32[n], pixels squared.

    Returns:
        f32[n, 3, h, w].
    """
    return where(variance > _NO_BLUR, lambda p, v: gaussian(p, v, v), planes, variance)


def _missing(back: jax.Array) -> jax.Array:
    """f32[2]: the variance on x and y, in squared pixels of the image, that a map which shrinks must be filtered by."""
    shrink = jnp.sum(jnp.square(back[:, :2]), 1)  # squared source pixels an output pixel, on x and on y
    return _TRIANGLE * jnp.maximum(shrink - 1, 0)


def _filtered(image: jax.Array, variance: jax.Array) -> jax.Array:
    planes = jnp.moveaxis(image.astype(jnp.float32), -1, 0)
    return jnp.moveaxis(gaussian(planes, variance[0], variance[1]), 0, -1)


def recolour(colour: jax.Array, rgb: jax.Array, *, axis: int = -1) -> jax.Array:
    """Return RGB under a colour map: a 3x3 matrix, then an offset in grey levels; nothing is clipped.

    Args:
        colour: f32[3, 4].
        rgb: f32 in 0..255, with an axis of 3 channels.
        axis: the axis of the channels.

    Returns:
        f32, shaped as `rgb`.
    """
    planes = jnp.moveaxis(rgb, axis, 0)
    weights = colour.reshape(3, 4, *[1] * (rgb.ndim - 1))
    r, g, b, offset = weights[:, 0], weights[:, 1], weights[:, 2], weights[:, 3]
    return jnp.moveaxis(r * planes[:1] + g * planes[1:2] + b * planes[2:] + offset, 0, axis)


def covered(cover: jax.Array, size: int) -> jax.Array:
    """Return the mask of the pixels whose centre lies in a cover's parallelogram; all False where it has no area.

    Args:
        cover: f32[9], the map of the unit square to pixels (2x3), then RGB.
        size: side of the image in pixels.

    Returns:
        bool[size, size].
    """
    x, y = jnp.arange(size, dtype=jnp.float32)[None], jnp.arange(size, dtype=jnp.float32)[:, None]
    a, b, c, d, e, f = (cover[n] for n in range(6))
    area = a * e - b * d
    u, v = e * (x - c) - b * (y - f), a * (y - f) - d * (x - c)  # the unit square's coordinates times area
    u, v, full = u * jnp.sign(area), v * jnp.sign(area), jnp.abs(area)
    return (u >= 0) & (u < full) & (v >= 0) & (v < full)


def has_area(covers: jax.Array) -> jax.Array:
    """Return which covers cover anything.

    Args:
        covers: f32[..., 9].

    Returns:
        bool[...].
    """
    return covers[..., 0] * covers[..., 4] != covers[..., 1] * covers[..., 3]


def cover(covers: jax.Array, image: jax.Array) -> jax.Array:
    """Return the image with covers painted over it, the last one on top.

    Args:
        covers: f32[K, 9].
        image: f32[3, size, size].

    Returns:
        f32[3, size, size].
    """
    return jax.lax.scan(_paint, image, covers)[0]


def _paint(image: jax.Array, one: jax.Array) -> tuple[jax.Array, None]:
    return jax.lax.cond(has_area(one), _painted, _bare, image, one), None


def _painted(image: jax.Array, one: jax.Array) -> jax.Array:
    return jnp.where(covered(one, image.shape[-1])[None], one[6:, None, None], image)


def _bare(image: jax.Array, one: jax.Array) -> jax.Array:
    return image
