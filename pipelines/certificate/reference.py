"""Reference images and points: NumPy and SciPy in float64, independent of the probed code.

Written from the rules (pixel centres at whole numbers, the record's canonical order), not from the code: matrices are
3x3 products, pixels come from `scipy.ndimage`, covers from solving for the unit square's coordinates.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from jaxmarks.transform import Transform

BORDER = 128.0
RADIUS = 12  # taps of a blur to each side
EDGE = 1e-3  # pixels: nearer to an edge than this, float32 may fall on either side of it


class Record(NamedTuple):
    """A Transform's numbers as float64 arrays; with or without a leading axis."""

    affine: np.ndarray
    colour: np.ndarray
    blur: np.ndarray
    covers: np.ndarray


def record(t: Transform) -> Record:
    """The record's numbers."""
    return Record(*(np.asarray(leaf, np.float64) for leaf in t))


def rows(t: Transform) -> list[Record]:
    """The records of a set, one by one."""
    whole = record(t)
    return [Record(*(leaf[k] for leaf in whole)) for k in range(len(whole.affine))]


def square(matrix: np.ndarray) -> np.ndarray:
    """f64[3, 3] of f64[2, 3]."""
    return np.vstack([matrix, [0.0, 0.0, 1.0]])


def move(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points f64[..., 2] under f64[2, 3]."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def back(matrix: np.ndarray) -> np.ndarray:
    """The inverse f64[2, 3], by elimination."""
    return np.linalg.inv(square(np.asarray(matrix, np.float64)))[:2]


def move_points(matrix: np.ndarray, points: np.ndarray, mirror: np.ndarray | None) -> np.ndarray:
    """Points under a record's matrix; under one that mirrors, in the mirrored order."""
    moved = move(matrix, points)
    return moved if mirror is None or np.linalg.det(matrix[:, :2]) > 0 else moved[mirror]


def pixels(size: int) -> np.ndarray:
    """f64[size, size, 2]: (x, y) of each pixel."""
    return np.indices((size, size)).transpose(1, 2, 0)[..., ::-1].astype(np.float64)


def blurred(image: np.ndarray, variance_x: float, variance_y: float) -> np.ndarray:
    """SciPy's Gaussian, edges repeated."""
    for axis, variance in ((0, variance_y), (1, variance_x)):
        if variance > 0:
            image = ndimage.gaussian_filter1d(image, np.sqrt(variance), axis=axis, mode="nearest", radius=RADIUS)
    return image


def warped(image: np.ndarray, to_image: np.ndarray, size: int) -> np.ndarray:
    """f64[size, size, 3]: the documented prefilter (a variance of (s^2 - 1) / 6 where s > 1), then SciPy's bilinear."""
    image = np.asarray(image, np.float64)
    shrink = np.square(to_image[:, :2]).sum(1)
    variance = np.maximum(shrink - 1, 0) / 6
    if variance.max() > 0.01:
        image = blurred(image, variance[0], variance[1])
    x, y = np.moveaxis(move(to_image, pixels(size)), -1, 0)
    channels = (ndimage.map_coordinates(image[..., c], [y, x], order=1, mode="nearest") for c in range(3))
    return np.stack(list(channels), -1)


def _within(xy: np.ndarray, extent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(inside, certain): on the area of the pixels of `extent`, and not within EDGE of its rim."""
    distance = np.min(np.concatenate([xy - (extent[:2] - 0.5), (extent[2:] + 0.5) - xy], -1), -1)
    return distance >= 0, np.abs(distance) > EDGE


def covers(t: Record, size: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each cover with an area: (inside, certain, RGB)."""
    found = []
    for cover in t.covers:
        matrix = cover[:6].reshape(2, 3)
        area = abs(np.linalg.det(matrix[:, :2]))
        if area > 0:
            unit = move(back(matrix), pixels(size))
            lengths = area / np.linalg.norm(matrix[:, [1, 0]], axis=0)  # of the square's sides, across, in pixels
            distance = np.min(np.concatenate([unit, 1 - unit], -1) * np.tile(lengths, 2), -1)
            found.append((distance >= 0, np.abs(distance) > EDGE, cover[6:]))
    return found


def apply_image(
    t: Record, image: np.ndarray, size: int, extent: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(f64[size, size, 3], certain bool[size, size]): the image under a float64 record, in the canonical order."""
    whole = np.array([0, 0, image.shape[1] - 1, image.shape[0] - 1]) if extent is None else np.asarray(extent)
    to_image = back(t.affine)
    seen, certain = _within(move(to_image, pixels(size)), whole)
    image = warped(image, to_image, size)
    if t.blur > 0.01:
        image = blurred(image, float(t.blur), float(t.blur))
    image = np.einsum("ij,yxj->yxi", t.colour[:, :3], image) + t.colour[:, 3]
    image[~seen] = BORDER
    for inside, sure, rgb in covers(t, size):
        image[inside], certain = rgb, certain & sure
    return np.clip(image, 0, 255), certain


def restorable(t: Record, augmented: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (known, certain) bool[size, size]: whether the original image can be determined from the augmented one at
    each pixel.

    Known where all neighbours that bilinear interpolation would mix were visible, uncovered and not clipped.
    """
    side = augmented.shape[0]
    kept, sure = _within(move(back(t.affine), pixels(side)), np.array([0, 0, size - 1, size - 1]))
    for inside, clear, _ in covers(t, side):
        kept, sure = kept & ~inside, sure & clear
    if not np.array_equal(t.colour, np.eye(3, 4)):
        kept = kept & ((augmented > 0) & (augmented < 255)).all(-1)
    x, y = np.moveaxis(move(t.affine, pixels(size)), -1, 0)
    share, doubt = (
        ndimage.map_coordinates(a.astype(np.float64), [y, x], order=1, mode="nearest") for a in (kept, ~sure)
    )
    seen, clear = _within(np.stack([x, y], -1), np.array([0, 0, side - 1, side - 1]))
    solvable = abs(np.linalg.det(t.colour[:, :3])) > 1e-4 * np.abs(t.colour[:, :3]).max() ** 3
    certain = clear & (doubt == 0) & ((share < 0.998) | (share > 1 - 1e-9))
    return seen & (share > 0.999) & solvable, certain


def invert_colour(colour: np.ndarray) -> np.ndarray:
    """f64[3, 4]: the colour change undone; raises where it cannot be."""
    return np.linalg.inv(np.vstack([colour, [0, 0, 0, 1]]))[:3]


def composed(first: Record, second: Record) -> Record:
    """Two float64 records as one, by 3x3 and 4x4 products."""
    colour = (np.vstack([second.colour, [0, 0, 0, 1]]) @ np.vstack([first.colour, [0, 0, 0, 1]]))[:3]
    moved = [
        np.concatenate([
            (square(second.affine) @ square(c[:6].reshape(2, 3)))[:2].ravel(),
            second.colour[:, :3] @ c[6:] + second.colour[:, 3],
        ])
        for c in first.covers
    ]  # fmt: skip
    blur = first.blur * abs(np.linalg.det(second.affine[:, :2])) + second.blur
    matrix = (square(second.affine) @ square(first.affine))[:2]
    return Record(matrix, colour, blur, np.array([*moved, *second.covers]).reshape(-1, 9))


def antialiased(image: np.ndarray, size: int) -> np.ndarray:
    """f64[size, size, 3]: a square image shrunk under the triangle filter, as Pillow's BILINEAR does."""
    old = image.shape[0]
    scale = old / size
    centres = (np.arange(size) + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(old) - centres[:, None]) / max(scale, 1))
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("ik,jl,klc->ijc", weights, weights, np.asarray(image, np.float64), optimize=True)


def centroid(image: Any) -> np.ndarray:
    """f64[2]: the (x, y) mean of an image [h, w] by brightness."""
    weights = np.asarray(image, np.float64)
    total = weights.sum()
    rows_, columns = weights.sum(1), weights.sum(0)
    return np.array([columns @ np.arange(len(columns)), rows_ @ np.arange(len(rows_))]) / total
