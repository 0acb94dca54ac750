"""Slices of a data set: terciles of images by size, pose and brightness."""

from typing import NamedTuple

import numpy as np

from jaxmarks.evaluation import metrics

# What a slice can be made by, and the names of its lower, middle and upper third.
NAMES = {
    "size": ("small", "medium", "large"),
    "pose": ("straight", "between", "turned"),
    "brightness": ("dark", "medium", "bright"),
}


class Slice(NamedTuple):
    """One third of the images."""

    name: str
    low: float  # the smallest and the largest value in it
    high: float
    inside: np.ndarray  # bool[n]


def sizes(truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the square root of the area of the box of the labelled points.

    Args:
        truth: f64[n, points, 2] in pixels.
        mask: bool[n, points], the labelled points.

    Returns:
        f64[n] in pixels; NaN where none is labelled.
    """
    return np.where(mask.any(-1), metrics.box_norm(truth, mask), np.nan)


def asymmetry(truth: np.ndarray, mask: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Return how unlike their mirror image points are.

    That is what is left of it after the best shift, turn and scaling onto the points themselves, RMS, over the points'
    RMS radius. A head that turns aside is the less symmetric the further it turns; nodding does not show.

    Args:
        truth: f64[n, points, 2].
        mask: bool[n, points]; points count where both of a pair are labelled.
        mirror: i32[points], the mirror permutation.

    Returns:
        f64[n] in 0..1, 0 for a symmetric face, however the head is tilted in the image; NaN with fewer than three
        points.
    """
    both = mask & mask[:, mirror]
    z = np.where(both, truth[..., 0] + 1j * truth[..., 1], 0)
    z = np.where(both, z - (z.sum(1) / both.sum(1).clip(1))[:, None], 0)
    power = np.sum(np.abs(z) ** 2, 1)
    alike = np.abs(np.sum(z * z[:, mirror], 1)) ** 2  # the mirror image is -conj(z[mirror]), of the same power
    usable = (both.sum(1) >= 3) & (power > 0)
    left = 1 - alike / np.where(usable, power, 1) ** 2
    return np.where(usable, np.sqrt(np.clip(left, 0, 1)), np.nan)


def luminance(image: np.ndarray) -> np.ndarray:
    """Return the luminance of an image, Rec. 601's.

    Args:
        image: u8[h, w, 3], RGB.

    Returns:
        f64[h, w] in 0..255.
    """
    return image @ np.array([0.299, 0.587, 0.114])


def terciles(values: np.ndarray, names: tuple[str, str, str]) -> list[Slice]:
    """Return the thirds of the finite values; equal values stay together, and an empty third is left out.

    Args:
        values: f64[n].
        names: of the lower, the middle and the upper third.

    Returns:
        the thirds, the lowest first.
    """
    known = np.isfinite(values)
    if not known.any():
        return []
    edges = np.quantile(values[known], [1 / 3, 2 / 3])
    third = np.where(known, np.searchsorted(edges, np.where(known, values, 0.0)), -1)
    found = [(name, third == place) for place, name in enumerate(names) if (third == place).any()]
    return [Slice(n, float(values[i].min()), float(values[i].max()), i) for n, i in found]
