"""Labels that fit the mean shape of their set clearly better once they are changed: left and right exchanged, as in images
that were mirrored without renaming the points; y counted from the lower edge; points in another order.

Each label is moved, turned and scaled onto the mean shape, but never reflected: an upside-down face is turned, and a
reflected one stays far. The mirror permutation undoes exchanged points. Changing the sign of y undoes a count from below,
if the object then stands as the others do; without that, an object seen from its other side is as likely. The best
assignment of a label's points to those of the mean shape undoes another order. Nothing is said where the points cannot
tell, as two points or points on a line.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from jaxmarks import words
from jaxmarks.landmarks import Scheme
from pipelines.example import Source, names_at
from pipelines.shapes import outliers, shape_model
from pipelines.sources.tables import Label, labels_of

_MOST = 2000  # records that are compared before a training, evenly taken
_FITTED = 200  # that the mean shape is taken from, evenly taken
_CHUNK = 256
_POINTS = 4  # that an image must have labelled both ways: three, as the eyes and the nose, may fit either way
_NEARER = 0.6  # of the distance before: the change must bring a label as near to the mean shape
_ORDERED = 0.45  # likewise of the best order, which brings profiles nearer as well: to 0.55 of the distance or more
_SEEN = 8  # points of an image whose order is tried: fewer fit in some order by chance
_TRIED = 120  # points, evenly taken, that are tried in another order: of a thousand each would take a second
_WRONG = 0.2  # of the RMS radius: several points in wrong places, where the others of the set hardly differ
_FAR, _NEAR = 3.0, 4.0  # times the median distance of a set: a reflected label is farther before, and nearer after
_UPRIGHT = 0.8  # length of the mean direction, of 1: objects stand alike in the images
_ALIKE = 0.7  # cosine of the turn to the usual direction, at least, once y is counted from above
_ROUNDS = 4  # of assignment and fit in turn
_ASSIGNED = 100  # labels of a chunk that are tried in another order, the farthest first
_UNLIKE = 0.8  # of its radius between the mean shape and its mirror image: 0.59 for profiles, 0.97 for points in another order
_NAMED = 3


class Faults(NamedTuple):
    """Names of the records of which a change brings the labels to the mean shape."""

    exchanged: list[str]  # left and right
    from_below: list[str]  # y counted from the lower edge
    reordered: list[str]  # points in another order, and none of the above


class _Usual(NamedTuple):
    """What labels are compared with."""

    onto: np.ndarray  # c128[points], the mean shape of RMS radius 1; NaN: a point that is not used
    mirror: np.ndarray | None  # i32[points]
    distance: float  # median of the labels as they are
    direction: complex | None  # of the turn onto the mean shape, of length 1; None: objects do not stand alike


def find(source: Source, indices: Sequence[int] | np.ndarray, scheme: Scheme) -> Faults:
    """The records of which a change brings the labels to the mean shape. None of a set with fewer than 10 labels, and of
    drawn faces; exchanged points only with a known mirror permutation.

    indices: the records of the source.
    """
    found, usual = Faults([], [], []), _usual_of(source, indices, scheme)
    if usual is None:
        return found
    for start in range(0, len(indices), _CHUNK):
        chunk = np.asarray(indices[start : start + _CHUNK], int).tolist()
        read = dict(zip(chunk, labels_of(source, chunk), strict=True))
        known = [index for index, label in read.items() if label is not None]
        which = _faults(*_stacked(read.values(), source.num_points), usual)
        for names, chosen in zip(found, which, strict=True):
            names += names_at(source, [known[int(at)] for at in np.flatnonzero(chosen)])
    return found


def of_source(source: Source, scheme: Scheme) -> Faults:
    """`find` in at most 2,000 records of a source, evenly taken."""
    return find(source, _evenly(len(source), _MOST), scheme)


def _usual_of(source: Source, indices: Sequence[int] | np.ndarray, scheme: Scheme) -> _Usual | None:
    """`_usual` of at most 200 records, evenly taken; None of drawn faces and without labels, too."""
    if not source.labelled or source.specification is not None:
        return None
    taken = np.asarray(indices, int)[_evenly(len(indices), _FITTED)]
    return _usual(*_stacked(labels_of(source, taken), source.num_points), scheme.mirror)


def _usual(points: np.ndarray, mask: np.ndarray, mirror: np.ndarray | None) -> _Usual | None:
    """What is usual of f[n, points, 2] and bool[n, points]; None where they are too few to say."""
    if len(points) < outliers.MIN_FACES:
        return None
    try:
        mean = outliers.spread(points, mask)[0]
    except ValueError:  # too few points
        return None
    onto = mean[:, 0] + 1j * mean[:, 1]
    far, turn, enough = _fit(_complex(points), mask, onto)
    if not enough.any():
        return None
    distance = float(np.median(far[enough]))
    direction = complex(turn[enough & (far <= 2 * distance)].mean())
    upright = direction / abs(direction) if abs(direction) >= _UPRIGHT else None
    return _Usual(onto, mirror, distance, upright)


def _faults(points: np.ndarray, mask: np.ndarray, usual: _Usual) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """bool[n] three times: left and right exchanged, y counted from below, points in another order."""
    shapes, exchanged, below = _complex(points), np.zeros(len(points), bool), np.zeros(len(points), bool)
    if usual.direction is not None:
        before, _, _ = _fit(shapes, mask, usual.onto)
        after, turn, enough = _fit(shapes.conj(), mask, usual.onto)
        alike = (turn * np.conj(usual.direction)).real >= _ALIKE
        below = enough & alike & _nearer(before, after, usual.distance)
    if usual.mirror is not None:
        seen = mask & mask[:, usual.mirror] & np.isfinite(usual.onto[usual.mirror])
        before, _, enough = _fit(shapes, seen, usual.onto)
        after, _, _ = _fit(shapes[:, usual.mirror], seen, usual.onto)
        exchanged = enough & ~below & _nearer(before, after, usual.distance)
    return exchanged, below, _reordered(shapes, mask, usual, exchanged | below)


def _reordered(shapes: np.ndarray, mask: np.ndarray, usual: _Usual, known: np.ndarray) -> np.ndarray:
    """bool[n]: which labels, without those whose fault is known, fit in another order of their points."""
    before, _, enough = _fit(shapes, mask, usual.onto)
    found = np.zeros(len(shapes), bool)
    far = np.flatnonzero(enough & ~known & (before > max(_FAR * usual.distance, _WRONG)))
    for at in far[np.argsort(-before[far])][:_ASSIGNED]:
        seen = np.flatnonzero(mask[at] & np.isfinite(usual.onto))
        if len(seen) < _SEEN:
            continue
        seen = seen[:: -(-len(seen) // _TRIED)]
        own, onto, all_seen = shapes[at, seen], usual.onto[seen], np.ones((1, len(seen)), bool)
        a, b = shape_model.moved(own[None], onto)
        for _ in range(_ROUNDS):  # the first fit is of points in a wrong order
            _, order = linear_sum_assignment(np.abs((a * own + b).T - onto) ** 2)
            a, b = shape_model.moved(own[None], onto[order])
        after, _, _ = _fit(own[None], all_seen, onto[order])
        found[at] = _nearer(before[[at]], after, usual.distance, _ORDERED)[0]
    return found


def _nearer(before: np.ndarray, after: np.ndarray, usual: float, share: float = _NEARER) -> np.ndarray:
    """bool[n]: which labels a change brings to the mean shape, by their distances f64[n] and the median of the set."""
    return (after < share * before) & (after < _NEAR * usual) & (before > _FAR * usual)


def _fit(shapes: np.ndarray, seen: np.ndarray, onto: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(RMS distance from the mean shape f64[n] in units of its RMS radius, direction of the turn onto it c128[n] of length
    1, whether four points are seen bool[n]) of c128[n, points] over the points seen, bool[n, points]."""
    known = np.isfinite(onto)
    weight, onto = (seen & known).astype(np.float64), np.where(known, onto, 0)
    count = weight.sum(1)
    enough = count >= _POINTS
    a, b = shape_model.moved(shapes, onto, np.where(enough[:, None], weight, 1))
    far = np.sqrt((weight * np.abs(a * shapes + b - onto) ** 2).sum(1) / np.maximum(count, 1))
    turn = a[:, 0] / np.maximum(np.abs(a[:, 0]), 1e-300)
    return far, turn, enough


def mirror_misfit(source: Source, scheme: Scheme) -> float:
    """The RMS distance of the mean shape of a source from its own mirror image, with points renamed by the mirror
    permutation; in units of its RMS radius. Small for faces from the front, 0.6 for heads all turned to one side, and about 1
    where the points are in another order than the permutation is for. Zero where it cannot be told.
    """
    if scheme.mirror is None or (usual := _usual_of(source, range(len(source)), scheme)) is None:
        return 0.0
    reflected = -usual.onto.conj()[scheme.mirror]
    seen = np.isfinite(usual.onto) & np.isfinite(reflected)
    misfit, _, enough = _fit(np.where(seen, reflected, 0)[None], seen[None], usual.onto)
    return float(misfit[0]) if enough[0] else 0.0


def describe_mirror(misfit: float, num_points: int) -> list[str]:
    """A warning where the points are in another order than the mirror permutation is for."""
    if misfit <= _UNLIKE:
        return []
    return [
        f"warning: labels: the {num_points} points are not in the order of the list that mirrors them: mirrored images would"
        " be trained on with wrong points. Were columns sorted as text (x_1, x_10, x_11, x_2)? scripts/symmetry.py --check"
        " known shows which; it also finds the list of your order, for `scheme`"
    ]


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0] + 1j * points[..., 1]


def _stacked(labels: Iterable[Label | None], num_points: int) -> tuple[np.ndarray, np.ndarray]:
    """f64[n, points, 2], zero where not labelled, and bool[n, points] of those that could be read."""
    known = [label for label in labels if label is not None]
    mask = np.array([mask for _, mask in known], bool).reshape(-1, num_points)
    points = np.array([points for points, _ in known], np.float64).reshape(-1, num_points, 2)
    return np.where(mask[..., None], points, 0), mask


def _evenly(count: int, most: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, most)).astype(int)


def describe(found: Faults) -> list[str]:
    """A warning for each kind that was found."""
    exchanged, below, reordered = (words.counted(len(names), "label") for names in found)
    fit = "fits" if len(found.reordered) == 1 else "fit"
    own = "its" if len(found.exchanged) == 1 else "their"
    have = "has" if len(found.exchanged) == 1 else "have"
    lines = [
        f"warning: labels: {exchanged} {have} {own} left and right exchanged: {_listed(found.exchanged)}; an image mirrored"
        " without its points renamed?",
        f"warning: labels: {below} upside down and reflected: {_listed(found.from_below)}; is y counted from the lower"
        " edge? It is counted from the upper one here",
        f"warning: labels: {reordered} {fit} the others only with the points in another order: {_listed(found.reordered)}; was"
        " a part of them labelled from its other end?",
    ]
    return [line for line, names in zip(lines, found, strict=True) if names]


def _listed(names: Sequence[str]) -> str:
    return words.listed(names, _NAMED)
