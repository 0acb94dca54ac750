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
    """Return the matrix with the rows (a, b, c) and (d, e, f), scalars or arrays [...] that broadcast.

    Args:
        a: factor of x in the new x.
        b: factor of y in the new x.
        c: shift of x in pixels.
        d: factor of x in the new y.
        e: factor of y in the new y.
        f: shift of y in pixels.

    Returns:
        [..., 2, 3].
    """
    xp = _space(a, b, c, d, e, f)
    a, b, c, d, e, f = xp.broadcast_arrays(*(xp.asarray(v) for v in (a, b, c, d, e, f)))
    return xp.stack([xp.stack([a, b, c], -1), xp.stack([d, e, f], -1)], -2)


def apply(m, points):
    """Return points moved by a matrix.

    Args:
        m: [..., 2, 3].
        points: [..., points, 2], (x, y) in pixels.

    Returns:
        [..., points, 2].
    """
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
    """Return the signed area factor, negative where the map mirrors.

    Args:
        m: [..., 2, 3].

    Returns:
        [...].
    """
    return m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0]


def scale(m):
    """Return by how much lengths grow in the mean of all directions: the root of the area factor.

    Args:
        m: [..., 2, 3].

    Returns:
        [...], 0 or more.
    """
    return abs(determinant(m)) ** 0.5


def invert(m):
    """Return the analytic inverse.

    Args:
        m: [..., 2, 3]. A singular one gives numbers that are not finite; configurations that could draw one are
            rejected.

    Returns:
        [..., 2, 3].
    """
    d = determinant(m)
    a, b, c = m[..., 1, 1] / d, -m[..., 0, 1] / d, m[..., 0, 2]
    e, f, g = -m[..., 1, 0] / d, m[..., 0, 0] / d, m[..., 1, 2]
    return matrix(a, b, -(a * c + b * g), e, f, -(e * c + f * g))


def compose(first, second):
    """Return the matrix that moves points by `first`, then by `second`.

    Args:
        first: [..., 2, 3].
        second: [..., 2, 3].

    Returns:
        [..., 2, 3].
    """
    a, b, c = second[..., 0, 0], second[..., 0, 1], second[..., 0, 2]
    d, e, f = second[..., 1, 0], second[..., 1, 1], second[..., 1, 2]
    p, q, r = first[..., 0, 0], first[..., 0, 1], first[..., 0, 2]
    s, t, u = first[..., 1, 0], first[..., 1, 1], first[..., 1, 2]
    return matrix(a * p + b * s, a * q + b * t, a * r + b * u + c, d * p + e * s, d * q + e * t, d * r + e * u + f)


def about(linear_rows, centre):
    """Return the map with the given linear part that leaves one point where it is.

    Args:
        linear_rows: (a, b, d, e), the linear part by rows; scalars or arrays [...].
        centre: both coordinates of the fixed point (centre, centre), in pixels.

    Returns:
        [..., 2, 3].
    """
    a, b, d, e = linear_rows
    return matrix(a, b, centre - a * centre - b * centre, d, e, centre - d * centre - e * centre)


def translation(x, y):
    """Return a shift.

    Args:
        x: pixels to the right.
        y: pixels down.

    Returns:
        [..., 2, 3].
    """
    return matrix(1.0, 0.0, x, 0.0, 1.0, y)


def resize(scale_x, scale_y):
    """Return the map of a resize by pixel areas with centres at whole numbers, x -> (x + 0.5) scale - 0.5 on each axis.

    Args:
        scale_x: the new width over the old.
        scale_y: the new height over the old.

    Returns:
        [..., 2, 3].
    """
    return matrix(scale_x, 0.0, (scale_x - 1) / 2, 0.0, scale_y, (scale_y - 1) / 2)
