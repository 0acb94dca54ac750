"""Coordinates that come again where chance would hardly repeat them: filled in with a mean, filled down, rounded."""

import math
from collections.abc import Sequence

import numpy as np

from jaxmarks import words

_STEPS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001)  # pixels, that coordinates may be multiples of
_AHEAD = 3  # times as often as the next place of the point
_CHANCE = 1e-3  # of as many equal places in the whole set
_TWICE = 4  # points in the place that they have in the image before, of which fewer are not reported
_TENS = 20  # coordinates of 100 and more, all of them multiples of ten


def describe(names: Sequence[str], points: np.ndarray, which: np.ndarray) -> list[str]:
    """A line for each kind. points: f[images, points, 2], NaN where not labelled, in the set's order; which: i[points], the
    number of each."""
    if not points.size or not np.isfinite(points).any():
        return []
    step = _step(points)
    same = np.zeros(points.shape[:2], bool)
    same[1:] = (points[1:] == points[:-1]).all(-1) & (points[1:, :, 0] != points[1:, :, 1])
    filled = _filled(np.where(same[..., None], np.nan, points), step)
    return [*_filled_lines(points, filled, which), *_down(names, points, same, step), *_tens(points)]


def _step(points: np.ndarray) -> float:
    """The largest step that nearly all coordinates are multiples of; 0 where there is none."""
    values = points[np.isfinite(points)][:20_000]
    return next((step for step in _STEPS if (np.abs(values / step - np.rint(values / step)) < 1e-3).mean() > 0.99), 0.0)


def _filled(points: np.ndarray, step: float) -> dict[int, tuple[np.ndarray, int]]:
    """{point: (its most frequent place, in how many images)} where chance does not give so many. Places such as (0, 0) and
    (-1, -1), which are told of elsewhere, do not count."""
    count = len(points)
    found = {}
    for at in range(points.shape[1]):
        places = points[np.isfinite(points[:, at, 0]), at]
        if len(places) < 3:
            continue
        values, times = np.unique(places, axis=0, return_counts=True)
        best, ranked = int(times.argmax()), np.sort(times)
        often, place = int(times[best]), values[best]
        if len(ranked) > 1 and often < _AHEAD * ranked[-2]:  # on a lattice all come again
            continue
        cells = np.prod(np.maximum(3.5 * places.std(0) / max(step, 1e-3), 1.0))
        log_chance = math.lgamma(count + 1) - math.lgamma(often + 1) - math.lgamma(count - often + 1)
        log_chance += math.log(points.shape[1]) - (often - 1) * math.log(cells)
        if often >= 3 and log_chance < math.log(_CHANCE) and place[0] != place[1]:
            found[at] = place, often
    return found


def _filled_lines(points: np.ndarray, filled: dict[int, tuple[np.ndarray, int]], which: np.ndarray) -> list[str]:
    if not filled:
        return []
    first = sorted(filled, key=lambda at: -filled[at][1])[:3]
    named = "; ".join(
        f"point {which[at]} at ({', '.join(f'{v:.6g}' for v in filled[at][0])}) in {filled[at][1]}" for at in first
    )
    return [
        f"labels: {words.counted(len(filled), 'point')} in exactly the same place in several of {len(points)} images:"
        f" {named}{'; ...' * (len(filled) > 3)}: filled in, as with the mean of a column? Leave such fields empty"
    ]


def _down(names: Sequence[str], points: np.ndarray, same: np.ndarray, step: float) -> list[str]:
    """A line on points of parts of a pixel that lie where the image before has them; images that have half of their points
    or more so are told of as copies."""
    same = same & (2 * same.sum(1) < np.isfinite(points[..., 0]).sum(1))[:, None]
    if step >= _STEPS[1]:  # whole pixels of what stands still come again
        return []
    images = np.flatnonzero(same.any(1)).tolist()
    if (total := int(same.sum())) < _TWICE:
        return []
    named = ", ".join(names[i] for i in images[:3]) + ", ..." * (len(images) > 3)
    return [
        f"warning: labels: {words.counted(total, 'point')} in {len(images)} of {len(points)} images exactly where the image"
        f" before has them: {named}; filled down? Leave such fields empty"
    ]


def _tens(points: np.ndarray) -> list[str]:
    """A line where coordinates from 100 on have two digits, and smaller ones have them too."""
    values = np.abs(points[np.isfinite(points)])
    large, small = values[values >= 100], values[(values < 100) & (values >= 10)]
    if len(large) < _TENS or (large % 10).any() or not (small % 10).any():
        return []
    return [
        f"warning: labels: all {len(large)} coordinates of 100 and more are multiples of ten, smaller ones are not: written"
        " with two digits?"
    ]
