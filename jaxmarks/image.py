"""Pixels: sampling, blur, colour and covers on f32 RGB pictures in 0..255.

Pixel centres lie at whole numbers. Nothing here reduces over a picture, so a picture comes out the same,
bit for bit, whatever else is in its batch.
"""

import jax
import jax.numpy as jnp

from jaxmarks import affine, backend

BORDER = 128.0  # grey, where nothing was seen
RADIUS = 12  # taps to each side of a blur: four deviations at the largest variance allowed
MAX_VARIANCE = 9.0  # of a blur, output pixels squared

# The variance that bilinear interpolation itself adds, the triangle's 1/6: a map that shrinks s times is
# filtered by what is missing to the triangle s times as wide.
_TRIANGLE = 1 / 6
_NO_BLUR = 0.04  # a Gaussian of less variance moves no pixel by 0.002 grey levels: it is left out
_RADII = ((2, _NO_BLUR), (5, 0.16), (RADIUS, 1.0))  # taps to each side, for variances above


def grid(size: int) -> jax.Array:
    """f32[size, size, 2]: the (x, y) of every pixel."""
    axis = jnp.arange(size, dtype=jnp.float32)
    return jnp.stack(jnp.meshgrid(axis, axis), -1)


def full_extent(image: jax.Array) -> jax.Array:
    """f32[4]: the box x0, y0, x1, y1 of pixel centres of a whole picture."""
    return jnp.array([0, 0, image.shape[1] - 1, image.shape[0] - 1], jnp.float32)


def inside(xy: jax.Array, extent: jax.Array) -> jax.Array:
    """bool[...]: whether xy f32[..., 2] lies on the area of the pixels of `extent` (half a pixel beyond centres)."""
    return jnp.all((xy >= extent[:2] - 0.5) & (xy <= extent[2:] + 0.5), -1)


def _between(corners: jax.Array, u: jax.Array, v: jax.Array) -> jax.Array:
    """Bilinear between corners [4, ...]: upper left, upper right, lower left, lower right. Exact at u = v = 0."""
    a, b, c, d = corners
    upper, lower = a + u * (b - a), c + u * (d - c)
    return upper + v * (lower - upper)


def _gather(flat: jax.Array, index: jax.Array) -> jax.Array:
    """flat[index] for index i32[4, ...]. On CPU a corner at a time in a loop, whose result is stored: fused onto what
    follows, XLA would gather anew for every channel."""
    if backend.is_cpu():
        return jax.lax.map(lambda corner: flat[corner], index)
    return flat[index]


def sample(image: jax.Array, xy: jax.Array) -> jax.Array:
    """Bilinear values f32[..., channels] of image [h, w, channels] at xy f32[..., 2]; the edge is repeated outwards.

    Bytes (RGB) travel packed, one gather a neighbour instead of three.
    """
    height, width = image.shape[:2]
    x, y = jnp.clip(xy[..., 0], 0, width - 1), jnp.clip(xy[..., 1], 0, height - 1)
    left, top = jnp.floor(x), jnp.floor(y)
    u, v = x - left, y - top
    i, j = top.astype(jnp.int32), left.astype(jnp.int32)
    below, right = jnp.minimum(i + 1, height - 1), jnp.minimum(j + 1, width - 1)
    index = jnp.stack([i * width + j, i * width + right, below * width + j, below * width + right])
    if image.dtype != jnp.uint8:
        return _between(_gather(image.reshape(-1, image.shape[2]), index), u[..., None], v[..., None])
    wide = image.astype(jnp.uint32)
    packed = (wide[..., 0] | (wide[..., 1] << 8) | (wide[..., 2] << 16)).reshape(-1)
    found = _gather(packed, index)
    planes = [((found >> shift) & 255).astype(jnp.float32) for shift in (0, 8, 16)]
    return jnp.stack([_between(plane, u, v) for plane in planes], -1)


def _smooth(image: jax.Array, variance: jax.Array, axis: int, radius: int) -> jax.Array:
    taps = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
    weights = jnp.exp(-jnp.square(taps) / (2 * jnp.maximum(variance, _NO_BLUR / 4)))
    weights = weights / jnp.sum(weights)
    pad = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
    padded = jnp.pad(image, pad, mode="edge")
    length = image.shape[axis]
    pieces = (w * jax.lax.slice_in_dim(padded, k, k + length, axis=axis) for k, w in enumerate(weights))
    return sum(pieces, jnp.zeros_like(image))


def gaussian(image: jax.Array, variance_x: jax.Array, variance_y: jax.Array) -> jax.Array:
    """Gaussian blur of f32[h, w, channels] by variances in pixels squared; edges repeated. Variance 0: the identity.

    The sampled Gaussian, `scipy.ndimage.gaussian_filter(mode="nearest")`, cut where five deviations or RADIUS taps end.
    """
    most = jnp.maximum(variance_x, variance_y)
    radius = [r for r, _ in _RADII]
    blurs = [lambda i, r=r: _smooth(_smooth(i, variance_y, 0, r), variance_x, 1, r) for r in radius]
    return jax.lax.switch(jnp.sum(most > jnp.array([limit for _, limit in _RADII])), [lambda i: i, *blurs], image)


def warp(image: jax.Array, back: jax.Array, size: int) -> jax.Array:
    """f32[size, size, 3]: the picture pulled through `back` f32[2, 3], output pixel -> picture pixel.

    One bilinear gather. Where the map shrinks the picture, it is filtered first by the Gaussian whose variance on
    each axis makes the whole as wide as the triangle filter of an antialiased resize.
    """
    xy = affine.apply(back, grid(size))
    shrink = jnp.sum(jnp.square(back[:, :2]), 1)  # squared source pixels an output pixel, on x and on y
    variance = _TRIANGLE * jnp.maximum(shrink - 1, 0)
    return jax.lax.cond(
        jnp.max(variance) > _NO_BLUR,
        lambda: sample(gaussian(image.astype(jnp.float32), variance[0], variance[1]), xy),
        lambda: sample(image, xy),
    )


def recolour(colour: jax.Array, rgb: jax.Array) -> jax.Array:
    """f32[..., 3] under colour f32[3, 4]: a 3x3 matrix, then an offset in grey levels."""
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return jnp.stack([c[0] * r + c[1] * g + c[2] * b + c[3] for c in (colour[0], colour[1], colour[2])], -1)


def covered(cover: jax.Array, size: int) -> jax.Array:
    """bool[size, size]: the pixels whose centre lies in the parallelogram of a cover f32[9]; none if it has no area."""
    x, y = grid(size)[..., 0], grid(size)[..., 1]
    a, b, c, d, e, f = (cover[n] for n in range(6))
    area = a * e - b * d
    u, v = e * (x - c) - b * (y - f), a * (y - f) - d * (x - c)  # the unit square's coordinates times area
    u, v, full = u * jnp.sign(area), v * jnp.sign(area), jnp.abs(area)
    return (u >= 0) & (u < full) & (v >= 0) & (v < full)


def cover(covers: jax.Array, image: jax.Array) -> jax.Array:
    """The picture f32[size, size, 3] with covers f32[K, 9] painted over it, the last one on top."""

    def paint(picture, one):
        there = one[0] * one[4] != one[1] * one[3]
        painted = lambda p: jnp.where(covered(one, image.shape[0])[..., None], one[6:], p)  # noqa: E731
        return jax.lax.cond(there, painted, lambda p: p, picture), None

    return jax.lax.scan(paint, image, covers)[0]
