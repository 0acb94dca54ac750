"""Reduction by area, as OpenCV's INTER_AREA does it bit for bit, in less than half its time.

A side of n pixels becomes m of n / m pixels each. The weights of one axis are a sparse matrix with two or three entries
a row more than n / m, and an image is reduced by two products: along x, then along y, each in float32 and in the order
in which OpenCV adds. OpenCV goes through the x axis pixel by pixel; a product goes through whole rows.
"""

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

_LEAST = 1e-3  # of a pixel: what covers less is left out, as OpenCV does
_MOST = (
    1 << 18
)  # pixels: a larger image does not stay in a core's cache between the two products, and OpenCV is as fast


@lru_cache(1024)
def weights(n: int, m: int) -> Any:
    """Return the matrix that reduces an axis of n pixels to m by area.

    OpenCV's `computeResizeAreaTab`, in float64 and rounded once.

    Args:
        n: pixels before.
        m: pixels after, 1..n.

    Returns:
        f32[m, n], a csr_array; rows add up to 1.
    """
    from scipy.sparse import csr_array  # an eighth of a second: for the commands that reduce images

    scale = 1.0 / (m / n)
    columns, values, ends = [], [], [0]
    for at in range(m):
        start = at * scale
        end, cell = start + scale, min(scale, n - start)
        last = min(math.floor(end), n - 1)
        first = min(math.ceil(start), last)
        if first - start > _LEAST:
            columns.append(first - 1)
            values.append((first - start) / cell)
        columns.extend(range(first, last))
        values.extend([1.0 / cell] * (last - first))
        if end - last > _LEAST:
            columns.append(last)
            values.append(min(end - last, 1.0, cell) / cell)
        ends.append(len(columns))
    return csr_array((np.array(values, np.float32), np.array(columns, np.int32), np.array(ends, np.int32)), (m, n))


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return an image reduced by area.

    Args:
        image: u8[h, w, 3].
        width: of the result in pixels, 1..w.
        height: of the result in pixels, 1..h.

    Returns:
        u8[height, width, 3], the bits of cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).
    """
    rows, columns = image.shape[:2]
    whole = rows % height == 0 and columns % width == 0  # OpenCV adds integers, and has vector code for it
    if whole or rows * columns > _MOST:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    across = cv2.transpose(image).reshape(columns, rows * 3).astype(np.float32)
    narrow = (weights(columns, width) @ across).reshape(width, rows, 3)
    along = cv2.transpose(narrow).reshape(rows, width * 3)
    return cv2.convertScaleAbs((weights(rows, height) @ along).reshape(height, width, 3))
