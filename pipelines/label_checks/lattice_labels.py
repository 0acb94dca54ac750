"""Labels on a lattice: points whose coordinates lie on the positions of a grid with a step of two pixels or more, as the
argmax of a network's heat map gives, or labelling on smaller copies of the images.

Step and offset may differ from image to image. For each image and each frequency f, of 2 pixels and 12 steps across the
object at least, the power of the coordinates is |sum exp(2 pi i f x)|^2, over the sum of the squared counts of equal
coordinates: without a lattice it is distributed as a unit exponential, and the sum over x and y as the sum of two. The
largest one decides, and chance allows for the number of frequencies. Contours of evenly spaced points have small lattices
of their own, so that the mean of exp(2 pi i f x) must be long, too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.example import Source, names_at
from pipelines.io import schema
from pipelines.sources.tables import labels_of

_MOST = 1000  # images whose labels are tested, evenly taken
_BINS = 4  # places in a pixel at which coordinates are counted
_HIGHEST = 0.5  # steps in a pixel: on one of less than two pixels all whole numbers lie about as well
_POINTS = 12  # of an image, at least, of which a lattice of its own is asked for
_CELLS = 12  # steps across the object: a wider lattice is as well the object's own structure
_FINER = 8  # frequencies for each that the object's extent tells apart
_CHANCE, _TOGETHER = 0.01, 1e-5  # at most, of an image, and of a set, without a lattice to be taken for one
_LONG = 0.3  # mean of exp(2 pi i f x) over the points, of 1; 0.25 in drawn faces of 971 points
_SHARE, _LEAST = 0.05, 5  # of the images tested, and images: as many must be on a lattice for a remark
_AS_GOOD = 0.9  # of the largest power
_WIDEST = 1 << 16  # pixels
_NEAR = 0.25  # of a step: what lies nearer to a position is on the lattice, by chance half of all

_COUNT = schema.Whole(0, 1 << 50)
FORM = {"tested": _COUNT, "images": [str], "together": bool, "step": [float], "on": [float]}


class Lattice(NamedTuple):
    """Images whose points lie on a lattice."""

    tested: int  # images
    images: list[str]  # of these
    together: bool  # all on one lattice, which no image tells alone
    step: list[float]  # least, median, largest, in pixels
    on: list[float]  # share of the coordinates on it, of x and of y


class _Fit(NamedTuple):
    step: float
    on: np.ndarray  # f64[2]: share of x and of y


def find(source: Source, indices: Sequence[int] | np.ndarray) -> Lattice | None:
    """The lattices in at most 1,000 of some records, evenly taken; None where there are too few, where nothing is labelled,
    and of drawn faces."""
    if not source.labelled or source.specification is not None:
        return None
    chosen = np.asarray(indices, int)[np.linspace(0, len(indices) - 1, min(_MOST, len(indices))).astype(int)]
    found = zip(names_at(source, chosen), labels_of(source, chosen), strict=True)
    points = {name: np.asarray(label[0])[label[1]] for name, label in found if label is not None}
    return of_points(points)


def of_source(source: Source) -> Lattice | None:
    """`find` in all records of a source."""
    return find(source, range(len(source)))


def of_points(points: dict[str, np.ndarray]) -> Lattice | None:
    """The lattices of images, or the one that all share, by name f[labelled, 2]."""
    points = {name: some for name, some in points.items() if len(some)}
    own = {name: _fit(some) for name, some in points.items() if len(some) >= _POINTS}
    fits = {name: fit for name, fit in own.items() if fit is not None}
    if len(fits) >= max(_LEAST, _SHARE * len(points)):
        return _lattice(len(points), list(fits), list(fits.values()), together=False)
    if len(points) < _LEAST or (whole := _fit(np.concatenate([*points.values()]), _TOGETHER)) is None:
        return None
    moved = np.std([some.mean(0) for some in points.values()], axis=0).min()  # points in one place have one by chance
    return _lattice(len(points), list(points), [whole], together=True) if moved > whole.step else None


def _lattice(tested: int, names: list[str], fits: list[_Fit], *, together: bool) -> Lattice:
    step = np.quantile([fit.step for fit in fits], (0, 0.5, 1)).round(3).tolist()
    return Lattice(tested, names, together, step, np.mean([fit.on for fit in fits], 0).round(4).tolist())


def _fit(points: np.ndarray, chance: float = _CHANCE) -> _Fit | None:
    """The lattice that f[n, 2] points lie on; None where chance may have placed them so, or the object is too small."""
    points = _central(points)
    extent = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    if not _CELLS / _HIGHEST < extent < _WIDEST:
        return None
    counts = [np.bincount(np.rint((x - x.min()) * _BINS).astype(int)) for x in points.T]
    size = 1 << int(np.ceil(np.log2(_FINER * _BINS * extent)))
    frequency = np.arange(size // 2 + 1) * _BINS / size
    asked = np.flatnonzero((frequency >= _CELLS / extent) & (frequency <= _HIGHEST))
    squares = np.array([np.abs(np.fft.rfft(c, size)[asked]) ** 2 for c in counts])
    power = np.sum([square / (c**2).sum() for square, c in zip(squares, counts, strict=True)], axis=0)
    best = int(np.argmax(power))
    long = np.sqrt(squares[:, best].max()) >= _LONG * len(points)
    if not long or _chance(float(power[best]), extent * _HIGHEST - _CELLS) >= chance:
        return None
    widest = int(np.argmax(power >= _AS_GOOD * power[best]))  # others may be its halves and thirds
    near = frequency[asked[widest]] + np.linspace(-2, 2, 17) * _BINS / size
    return _placed(points - points.min(0), near[near <= _HIGHEST])


def _placed(points: np.ndarray, frequency: np.ndarray) -> _Fit:
    """The lattice of the best of some frequencies, its offset that of the mean phase, its step by least squares."""
    sums = np.array([[np.exp(2j * np.pi * f * x).sum() for f in frequency] for x in points.T])
    best = int(np.argmax((np.abs(sums) ** 2).sum(0)))
    far = points * frequency[best] - np.angle(sums[:, best]) / (2 * np.pi)
    cells = np.rint(far)
    on = np.abs(far - cells) <= _NEAR + 1e-6
    k, x = (np.where(on, some - (on * some).sum(0) / np.maximum(on.sum(0), 1), 0) for some in (cells, points))
    return _Fit(float((k * x).sum() / (k * k).sum()), on.mean(0))


def _central(points: np.ndarray) -> np.ndarray:
    """The points without those far from the others, as placeholders are."""
    if not len(points):
        return points
    low, high = np.quantile(points, (0.1, 0.9), axis=0)
    return points[((points >= 3 * low - 2 * high) & (points <= 3 * high - 2 * low)).all(1)]


def _chance(power: float, tried: float) -> float:
    """Of so large a sum of two powers at one of `tried` frequencies, or at that of 2 pixels, where whole numbers give real
    sums and their powers are chi-squared."""
    return max(1, tried) * (1 + power) * np.exp(-power) + np.exp(-power / 2)


def describe(found: Lattice | None) -> list[str]:
    """A warning where there is a lattice."""
    if found is None:
        return []
    least, middle, largest = (words.number(step, 2) for step in found.step)
    steps = f"{least} px" if least == largest else f"{least} to {largest} px, half below {middle}"
    count, tested = len(found.images), words.counted(found.tested, "image")
    which = f"all {tested} share" if found.together else f"{count} of {tested} have points on"
    x, y = (f"{share:.0%}" for share in found.on)
    return [
        f"warning: labels: {which} a lattice of {steps} ({x} of x and {y} of y within a quarter of a step; half by chance):"
        " made by a network, or on smaller copies? Exact to half a step at best"
    ]
