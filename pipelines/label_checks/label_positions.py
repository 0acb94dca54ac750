"""Remarks on where the labels of all images together lie: points that never move, labels in another unit than pixels, and
coordinates that were filled in or rounded."""

import posixpath
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.sources import label_repeats

_STILL = 5  # images with a point, of which one in the same place in all is reported
_SEVERAL = 8  # images whose centres of labels are compared with the middle of the image
_NEAR_CORNER, _EACH = (
    0.42,
    0.47,
)  # of width and height: the mean centre of both, and that of each, is nearer to the corner
_QUARTER = 0.5  # of width and height: images of one size have no label beyond it
_VARY, _FOLLOWS = 0.03, 0.5  # of the logarithms: a spread of sizes, and the slope of centres against sizes
_UNITS = {100: "per cent of width and height", 1000: "thousandths of width and height"}
_KEPT = 2_000_000  # points whose places are kept and compared


class Seen(NamedTuple):
    """The labels of some images."""

    names: list[str]
    points: np.ndarray  # f64[images, points, 2], NaN where not labelled
    sizes: np.ndarray  # f64[images, 2]: width, height


class Positions:
    """Collects the labels of a set, image by image, in its order."""

    def __init__(self, num_points: int):
        self._low, self._high = np.full((num_points, 2), np.inf), np.full((num_points, 2), -np.inf)
        self._count = np.zeros(num_points, int)
        self._names: list[str] = []
        self._points: list[np.ndarray] = []
        self._sizes: list[Sequence[int]] = []

    def add(self, name: str, points: np.ndarray, mask: np.ndarray, size: Sequence[int]) -> None:
        """Take in the labels of an image. size: its width and height."""
        self._low[mask] = np.minimum(self._low, points)[mask]
        self._high[mask] = np.maximum(self._high, points)[mask]
        self._count += mask
        if mask.any() and len(self._names) * len(mask) < _KEPT:
            self._names.append(name)
            self._points.append(np.where(mask[:, None], points, np.nan))
            self._sizes.append(size)

    def describe(self) -> list[str]:
        """A line for each kind that was found."""
        if not self._names:
            return []
        seen = Seen(self._names, np.array(self._points), np.array(self._sizes, float))
        still = (self._count >= _STILL) & (self._low == self._high).all(1)
        moving = seen.points[:, ~still]
        return [
            *self._still(np.flatnonzero(still)),
            *_unit(seen),
            *label_repeats.describe(seen.names, moving, np.flatnonzero(~still)),
        ]

    def _still(self, found: np.ndarray) -> list[str]:
        if not len(found):
            return []
        first = f"point {found[0]} at ({', '.join(f'{v:g}' for v in self._low[found[0]])})"
        return [
            f"warning: labels: {words.counted(len(found), 'point')} in one place in all images, the first {first}: columns"
            " that are no coordinates?"
        ]


def _unit(seen: Seen) -> list[str]:
    """A warning for the whole set, else for each folder of it, whose labels lie towards the upper left corner."""
    if (line := _towards_corner(seen.points, seen.sizes, "")) is not None:
        return [line]
    folders = np.array([posixpath.dirname(name) for name in seen.names])
    several = sorted(set(folders)) if len(set(folders)) > 1 else []
    lines = (_towards_corner(seen.points[folders == f], seen.sizes[folders == f], f"in {f or '.'}/ ") for f in several)
    return [line for line in lines if line is not None][:3]


def _towards_corner(points: np.ndarray, sizes: np.ndarray, where: str) -> str | None:
    """A warning if labels lie nearer to the upper left corner than objects about the middle would, on average, and either
    do not follow the sizes of the images or, where these are equal, all lie in the upper left quarter."""
    high = np.nanmax(points)
    if len(points) < _SEVERAL or high <= 1:  # shares of 0..1 are told apart in each image
        return None
    centres = np.nanmean(points, 1)
    mean = (centres / sizes).mean(0)
    if mean.mean() > _NEAR_CORNER or mean.max() > _EACH or (centres <= 0).any():
        return None
    x, y = np.log(sizes), np.log(centres)
    spread = x.std(0)
    if (spread > _VARY).all():
        slope = ((x - x.mean(0)) * (y - y.mean(0))).mean(0) / spread**2
        if slope.mean() > _FOLLOWS:
            return None
    elif (np.nanmax(points, (0, 1)) > _QUARTER * sizes.min(0)).any():
        return None
    unit = next((text for end, text in _UNITS.items() if end / 2 < high <= end < sizes.max()), None)
    guess = f"{unit}?" if unit else "pixels of smaller copies of the images?"
    return (
        f"warning: labels: {where}on average they lie at {mean[0]:.0%} of the width and {mean[1]:.0%} of the height, towards"
        f" the upper left corner, the largest coordinate being {words.number(float(high))}: {guess} Coordinates are pixels of"
        " the image"
    )
