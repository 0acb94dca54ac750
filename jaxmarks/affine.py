"""Affine maps of the plane as 2x3 matrices.

Plain arithmetic, no matrix product: full float32 on every backend (no TF32), and the same text works on
float64 NumPy arrays, which is what the frames of images are kept in. All functions broadcast over
leading axes; `matrix` is [..., 2, 3], `points` is [..., points, 2] as (x, y) pixels, y down.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def _space(*arrays) -> Any:
    return jnp if any(isinstance(a, jax.Array) for a in arrays) else np


def matrix(a, b, c, d, e, f):
    """[..., 2, 3] from its rows (a, b, c) and (d, e, f), scalars or equal-shaped arrays."""
    xp = _space(a, b, c, d, e, f)
    a, b, c, d, e, f = xp.broadcast_arrays(*(xp.asarray(v) for v in (a, b, c, d, e, f)))
    return xp.stack([xp.stack([a, b, c], -1), xp.stack([d, e, f], -1)], -2)


def apply(m, points):
    """Points [..., points, 2] moved by m [..., 2, 3]."""
    x, y = points[..., 0], points[..., 1]
    xp = _space(m, points)
    return xp.stack(
        [
            m[..., 0, 0, None] * x + m[..., 0, 1, None] * y + m[..., 0, 2, None],
            m[..., 1, 0, None] * x + m[..., 1, 1, None] * y + m[..., 1, 2, None],
        ],
        -1,
    )


def determinant(m):
    """Signed area factor [...]; negative where the map mirrors."""
    return m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0]


def scale(m):
    """[...]: how many times as long lengths become, in the mean of all directions: the root of the area factor."""
    return abs(determinant(m)) ** 0.5


def invert(m):
    """Return the analytic inverse. A singular m gives non-finite numbers; configurations that could draw one are
    rejected."""
    d = determinant(m)
    a, b, c = m[..., 1, 1] / d, -m[..., 0, 1] / d, m[..., 0, 2]
    e, f, g = -m[..., 1, 0] / d, m[..., 0, 0] / d, m[..., 1, 2]
    return matrix(a, b, -(a * c + b * g), e, f, -(e * c + f * g))


def compose(first, second):
    """The matrix that moves points by `first`, then by `second`."""
    a, b, c = second[..., 0, 0], second[..., 0, 1], second[..., 0, 2]
    d, e, f = second[..., 1, 0], second[..., 1, 1], second[..., 1, 2]
    p, q, r = first[..., 0, 0], first[..., 0, 1], first[..., 0, 2]
    s, t, u = first[..., 1, 0], first[..., 1, 1], first[..., 1, 2]
    return matrix(a * p + b * s, a * q + b * t, a * r + b * u + c, d * p + e * s, d * q + e * t, d * r + e * u + f)


def about(linear_rows, centre):
    """The map with linear part (a, b, d, e) that leaves the point (centre, centre) where it is."""
    a, b, d, e = linear_rows
    return matrix(a, b, centre - a * centre - b * centre, d, e, centre - d * centre - e * centre)


def translation(x, y):
    """Shift by (x, y) pixels."""
    return matrix(1.0, 0.0, x, 0.0, 1.0, y)


def resize(scale_x, scale_y):
    """x -> (x + 0.5) scale - 0.5 on each axis: a resize by pixel areas, centres at whole numbers."""
    return matrix(scale_x, 0.0, (scale_x - 1) / 2, 0.0, scale_y, (scale_y - 1) / 2)
