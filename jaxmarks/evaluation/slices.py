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
    """f64[n]: the square root of the area of the box of the labelled points, in pixels; NaN where none is labelled."""
    return np.where(mask.any(-1), metrics.box_norm(truth, mask), np.nan)


def asymmetry(truth: np.ndarray, mask: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """f64[n] in 0..1: how unlike their mirror image the points f64[n, points, 2] are: what is left of it after the best
    shift, turn and scaling onto the points themselves, RMS, over the points' RMS radius.

    0: symmetric, however the head is tilted in the image. A head that turns aside is the less so the further it turns;
    nodding does not show. mirror: i32[points]; points count where both of a pair are labelled. NaN with fewer than three.
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
    """f64[h, w] in 0..255 of u8[h, w, 3] RGB: Rec. 601's."""
    return image @ np.array([0.299, 0.587, 0.114])


def terciles(values: np.ndarray, names: tuple[str, str, str]) -> list[Slice]:
    """The thirds of the finite values f64[n], lowest first; equal values stay together, and an empty third is left out."""
    known = np.isfinite(values)
    if not known.any():
        return []
    edges = np.quantile(values[known], [1 / 3, 2 / 3])
    third = np.where(known, np.searchsorted(edges, np.where(known, values, 0.0)), -1)
    found = [(name, third == place) for place, name in enumerate(names) if (third == place).any()]
    return [Slice(n, float(values[i].min()), float(values[i].max()), i) for n, i in found]
