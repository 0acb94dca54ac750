"""Labels whose left and right are exchanged: points that fit the mean shape of their set clearly better after the mirror
permutation than before, as those of images that were mirrored without renaming the points.

Each label is compared with the mean shape without place, size and turn, but never reflected: an upside-down face is
turned, and an exchanged one stays far. Nothing is said where the points cannot tell, as two points or points on a line.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from jaxmarks import words
from jaxmarks.landmarks import Scheme
from pipelines.example import Source, names_at
from pipelines.shapes import outliers, shape_model
from pipelines.sources.tables import Label, labels_of

_MOST = 2000  # records that are compared before a training, evenly taken
_FITTED = 200  # that the mean shape is taken from, evenly taken
_CHUNK = 256
_POINTS = 4  # that an image must have labelled both ways: three, as the eyes and the nose, may fit either way
_NEARER = 0.6  # of the distance before: the permutation must bring a label as near to the mean shape
_FAR, _NEAR = 3.0, 4.0  # times the median distance of a set: an exchanged label is farther before, and nearer after
_NAMED = 3


def find(source: Source, indices: Sequence[int] | np.ndarray, scheme: Scheme) -> list[str]:
    """The names of the records whose left and right are exchanged. None of a set without a known mirror permutation, of one
    with fewer than 10 labels, and of drawn faces.

    indices: the records of the source.
    """
    if not source.labelled or source.specification is not None or scheme.mirror is None:
        return []
    taken = np.asarray(indices, int)[_evenly(len(indices), _FITTED)]
    points, mask = _stacked(labels_of(source, taken), source.num_points)
    if len(points) < outliers.MIN_FACES or (mean := _mean(points, mask)) is None:
        return []
    before, after = distances(points, mask, mean, scheme.mirror)
    usual = float(np.median(before[np.isfinite(after)])) if np.isfinite(after).any() else np.inf
    found: list[str] = []
    for start in range(0, len(indices), _CHUNK):
        chunk = np.asarray(indices[start : start + _CHUNK], int).tolist()
        read = dict(zip(chunk, labels_of(source, chunk), strict=True))
        known = [index for index, label in read.items() if label is not None]
        before, after = distances(*_stacked(read.values(), source.num_points), mean, scheme.mirror)
        which = np.flatnonzero(exchanged(before, after, usual))
        found += names_at(source, [known[int(at)] for at in which])
    return found


def of_source(source: Source, scheme: Scheme) -> list[str]:
    """`find` in at most 2,000 records of a source, evenly taken."""
    return find(source, _evenly(len(source), _MOST), scheme)


def exchanged(before: np.ndarray, after: np.ndarray, usual: float) -> np.ndarray:
    """bool[n]: which labels are exchanged, by their distances f64[n] from the mean shape and the median of the set."""
    return (after < _NEARER * before) & (after < _NEAR * usual) & (before > _FAR * usual)


def distances(
    points: np.ndarray, mask: np.ndarray, mean: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """RMS distances from the mean shape of labels as they are, and after the mirror permutation, over the points that are
    labelled both ways; in units of the mean shape's RMS radius. Zero and infinity where there are fewer than four.

    Args:
        points: f[n, points, 2] in pixels.
        mask: bool[n, points], the labelled points.
        mean: f64[points, 2], of RMS radius 1; NaN: a point that is not used.
        mirror: i32[points], the permutation.

    Returns:
        f64[n], f64[n].
    """
    known = np.isfinite(mean[:, 0]) & np.isfinite(mean[:, 1])
    seen = (mask & mask[:, mirror] & known & known[mirror]).astype(np.float64)
    onto, shapes = np.where(known, mean[:, 0] + 1j * mean[:, 1], 0), points[..., 0] + 1j * points[..., 1]
    count = seen.sum(1)
    enough = count >= _POINTS
    weight = np.where(enough[:, None], seen, 1)
    before, after = (
        np.sqrt((seen * np.abs(a * some + b - onto) ** 2).sum(1) / np.maximum(count, 1))
        for some in (shapes, shapes[:, mirror])
        for a, b in [shape_model.moved(some, onto, weight)]
    )
    return np.where(enough, before, 0), np.where(enough, after, np.inf)


def _mean(points: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    try:
        return outliers.spread(points, mask)[0]
    except ValueError:  # too few points
        return None


def _stacked(labels: Iterable[Label | None], num_points: int) -> tuple[np.ndarray, np.ndarray]:
    """f64[n, points, 2], zero where not labelled, and bool[n, points] of those that could be read."""
    known = [label for label in labels if label is not None]
    mask = np.array([mask for _, mask in known], bool).reshape(-1, num_points)
    points = np.array([points for points, _ in known], np.float64).reshape(-1, num_points, 2)
    return np.where(mask[..., None], points, 0), mask


def _evenly(count: int, most: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, most)).astype(int)


def describe(found: Sequence[str]) -> list[str]:
    """A warning where labels were found."""
    if not found:
        return []
    named = ", ".join(found[:_NAMED]) + ", ..." * (len(found) > _NAMED)
    have = "has its" if len(found) == 1 else "have their"
    return [
        f"warning: labels: {words.counted(len(found), 'label')} {have} left and right exchanged: {named}; an image mirrored"
        " without its points renamed?"
    ]
