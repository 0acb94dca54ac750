"""Pixels: sampling, blur, colour and covers on f32 RGB pictures in 0..255.

Pixel centres lie at whole numbers. Nothing here reduces over a picture, so a picture comes out the same,
bit for bit, whatever else is in its batch.
"""

import jax
import jax.numpy as jnp

from jaxmarks import affine

BORDER = 128.0  # grey, where nothing was seen
RADIUS = 12  # taps to each side of a blur: four deviations at the largest variance allowed
MAX_VARIANCE = 9.0  # of a blur, output pixels squared

# The variance that bilinear interpolation itself adds, the triangle's 1/6: a map that shrinks s times is
# filtered by what is missing to the triangle s times as wide.
_TRIANGLE = 1 / 6
_NO_BLUR = 0.01  # a Gaussian of less variance is the identity in float32


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


def _corners(image: jax.Array, rows: list[jax.Array], columns: list[jax.Array]) -> list[jax.Array]:
    """The four neighbours f32[..., 3]. Bytes travel packed, one gather a neighbour instead of three."""
    if image.dtype != jnp.uint8:
        return [image[r, c].astype(jnp.float32) for r in rows for c in columns]
    wide = image.astype(jnp.uint32)
    packed = (wide[..., 0] | (wide[..., 1] << 8) | (wide[..., 2] << 16)).reshape(-1)
    found = [packed[r * image.shape[1] + c] for r in rows for c in columns]
    return [jnp.stack([(p >> s) & 255 for s in (0, 8, 16)], -1).astype(jnp.float32) for p in found]


def sample(image: jax.Array, xy: jax.Array) -> jax.Array:
    """Bilinear values f32[..., channels] of image [h, w, channels] at xy f32[..., 2]; the edge is repeated outwards."""
    height, width = image.shape[:2]
    x, y = jnp.clip(xy[..., 0], 0, width - 1), jnp.clip(xy[..., 1], 0, height - 1)
    left, top = jnp.floor(x), jnp.floor(y)
    u, v = (x - left)[..., None], (y - top)[..., None]
    i, j = top.astype(jnp.int32), left.astype(jnp.int32)
    rows, columns = [i, jnp.minimum(i + 1, height - 1)], [j, jnp.minimum(j + 1, width - 1)]
    a, b, c, d = _corners(image, rows, columns)
    upper, lower = a + u * (b - a), c + u * (d - c)
    return upper + v * (lower - upper)


def _smooth(image: jax.Array, variance: jax.Array, axis: int) -> jax.Array:
    taps = jnp.arange(-RADIUS, RADIUS + 1, dtype=jnp.float32)
    weights = jnp.exp(-jnp.square(taps) / (2 * jnp.maximum(variance, _NO_BLUR / 4)))
    weights = weights / jnp.sum(weights)
    pad = [(RADIUS, RADIUS) if a == axis else (0, 0) for a in range(image.ndim)]
    padded = jnp.pad(image, pad, mode="edge")
    length = image.shape[axis]
    pieces = (w * jax.lax.slice_in_dim(padded, k, k + length, axis=axis) for k, w in enumerate(weights))
    return sum(pieces, jnp.zeros_like(image))


def gaussian(image: jax.Array, variance_x: jax.Array, variance_y: jax.Array) -> jax.Array:
    """Gaussian blur of f32[h, w, channels] by variances in pixels squared; edges repeated. Variance 0: the identity.

    The sampled Gaussian, cut at RADIUS taps: `scipy.ndimage.gaussian_filter(mode="nearest")`.
    """
    return jax.lax.cond(
        jnp.maximum(variance_x, variance_y) > _NO_BLUR,
        lambda i: _smooth(_smooth(i, variance_y, 0), variance_x, 1),
        lambda i: i,
        image,
    )


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


def covered(covers: jax.Array, size: int) -> list[jax.Array]:
    """For each cover f32[9] a bool[size, size]: the pixels whose centre lies in its parallelogram."""
    x, y = grid(size)[..., 0], grid(size)[..., 1]
    masks = []
    for k in range(covers.shape[0]):
        a, b, c, d, e, f = (covers[k, n] for n in range(6))
        area = a * e - b * d
        u, v = e * (x - c) - b * (y - f), a * (y - f) - d * (x - c)  # the unit square's coordinates times area
        u, v, full = u * jnp.sign(area), v * jnp.sign(area), jnp.abs(area)
        masks.append((u >= 0) & (u < full) & (v >= 0) & (v < full))
    return masks


def cover(covers: jax.Array, image: jax.Array) -> jax.Array:
    """The picture f32[size, size, 3] with covers f32[K, 9] painted over it, the last one on top."""
    for k, mask in enumerate(covered(covers, image.shape[0])):
        image = jnp.where(mask[..., None], covers[k, 6:], image)
    return image
