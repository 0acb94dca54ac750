"""Mirror permutation of a set of points, found from labels alone.

The idea: seen in a mirror, a face is another face. Where `mirror` is right, mirrored faces with their points renamed by
it are as well described by a small linear model of the faces as the faces themselves, whatever their pose. So: shapes
without place, size and turn; a model of their main modes; each mirrored face read by the model under the permutation so
far, which says where each point should lie; the assignment of points to places; again, with more modes. Turned heads
spoil the mean shape alone: the modes are what makes neighbours on a curve agree.

Two halves of the faces are fitted apart: each judges the pairs by the other's model, and they must agree.
"""

from typing import NamedTuple

import numpy as np

from pipelines.shapes import shape_model
from pipelines.shapes.shape_model import MODES, Model

MIN_FACES, MAX_FACES = 40, 400  # fewer are rejected; of more, as many are taken, evenly
WEAK = 0.1  # a margin below it decides nothing
_MISFIT = 2.0  # mirrored faces may fit this many times as badly as faces
_ROUNDS = 8
_TINY = 1e-5  # squared distance, below which two points are one place


class Findings(NamedTuple):
    """Result of `examine`. Lengths are in units of the mean shape's RMS radius."""

    mirror: np.ndarray  # i32[points]: mirrored point i is the old point mirror[i]
    shape: np.ndarray  # f64[points, 2]: the mean shape as it is, x right, y down, its axis at x = 0
    margin: np.ndarray  # f64[points]: 1 the pair is sure, 0 its closest rival is as good, below: better
    rival: np.ndarray  # i32[points]: the point whose partner would be the next best
    by_order: np.ndarray  # bool[points]: a tie, decided by the neighbours in the list of points
    misfit: np.ndarray  # f64[points]: how much worse the model meets the point in mirrored faces (1: no worse)
    cost: np.ndarray  # f64[points, points]: mean squared distance of mirrored i from j, both ways
    apart: np.ndarray  # f64[points, points]: mean squared distance of i from j
    faces: int  # how many were used
    objections: list[str]  # why the permutation is not to be trusted; empty where it is


class Contradiction(NamedTuple):
    """A point that a table pairs otherwise than the faces do."""

    point: int
    table: int
    found: int
    margin: float  # above WEAK: the faces are against the table; else they cannot tell


def _upright(faces: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The faces turned so that the axis of their mean stands at x = 0, and `before` turned as little as that allows."""
    mean = faces.mean(0)
    some = mean[:: -(-len(mean) // 200)]
    turns = np.exp(2j * np.radians(np.arange(0, 180, 2)))
    misses = [np.abs((t * some.conj())[:, None] - mean).min(1).mean() for t in turns]
    turned = faces * 1j / np.sqrt(turns[np.argmin(misses)])
    a, _ = shape_model.moved(before, turned.mean(0))
    return turned * (1 if np.real(a / np.abs(a)).mean() > 0 else -1)


def _costs(
    model: Model, faces: np.ndarray, mirror: np.ndarray, modes: int, trust: np.ndarray | float = 1.0
) -> np.ndarray:
    """f64[points, points]: mean squared distance between where the model wants i in mirrored faces and the mirrored j,
    and the same of j and i."""
    flipped = -faces.conj()
    a, b = shape_model.moved(flipped[:, mirror], model.mean)
    flipped = a * flipped + b
    wanted = model.read(flipped[:, mirror], modes, trust)
    both = np.concatenate([np.real(wanted), np.imag(wanted)]).T @ np.concatenate([np.real(flipped), np.imag(flipped)])
    total = (np.abs(wanted) ** 2).sum(0)[:, None] + (np.abs(flipped) ** 2).sum(0) - 2 * both
    cost = np.maximum(total / len(faces), 0)
    return (cost + cost.T) / 2


def _own(model: Model, faces: np.ndarray, modes: int) -> np.ndarray:
    """f64[points]: mean squared distance of the faces from the model."""
    return (np.abs(faces - model.read(faces, modes)) ** 2).mean(0)


def _support(mirror: np.ndarray) -> np.ndarray:
    """f64[points, points]: how many of i's neighbours in the list have a partner next to j."""
    count = np.zeros((len(mirror),) * 2)
    at = np.arange(len(mirror))
    for step in (-1, 1):
        for i in at[(at + step >= 0) & (at + step < len(mirror))]:
            for j in (mirror[i + step] - 1, mirror[i + step] + 1):
                if 0 <= j < len(mirror):
                    count[i, j] += 1
    return count


def _cheapest(cost: np.ndarray) -> np.ndarray:
    """The permutation with the least sum of costs."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(cost)[1]


def _settled(cost: np.ndarray, mirror: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """The cheapest permutation; what is next to a tie goes by the neighbours in the list, under `mirror`."""
    nearest = _nearest(apart) + _TINY
    return _cheapest(cost - 0.05 * (nearest[:, None] + nearest) / 2 * _support(mirror))


def _apart(faces: np.ndarray) -> np.ndarray:
    """f64[points, points]: the mean squared distance between two points."""
    flat = np.concatenate([np.real(faces), np.imag(faces)])
    square = (flat**2).sum(0)
    return np.maximum(square[:, None] + square - 2 * flat.T @ flat, 0) / len(faces)


def _nearest(apart: np.ndarray) -> np.ndarray:
    return (apart + np.diag(np.full(len(apart), np.inf))).min(1)


def _fit(faces: np.ndarray) -> tuple[np.ndarray, Model]:
    """The permutation i64[points] that these faces ask for, and their model.

    Points that fit worse than in the faces themselves are trusted less in the next reading: else a curve that is one
    point off along its length turns and bends the readings until they agree with it.
    """
    model, at = shape_model.model(faces), np.arange(faces.shape[1])
    cost = np.abs(model.mean[:, None] + model.mean.conj()) ** 2
    mirror, trust = _cheapest(cost), np.ones(len(at))
    for modes in (m for m in MODES if m <= shape_model.most_modes(faces)):
        own = _own(model, faces, modes)
        for _ in range(_ROUNDS):
            before, cost = mirror, _costs(model, faces, mirror, modes, trust)
            mirror = _cheapest(cost)
            trust = np.clip(own / np.maximum(cost[at, mirror], 1e-12), 0.02, 1)
            if (mirror == before).all():
                break
    for _ in range(2):
        mirror = _settled(cost, mirror, _apart(faces))
    return mirror, model


def _margins(cost: np.ndarray, apart: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(margin, rival) f64, i64[points]: what exchanging partners with another point costs, over what it should."""
    swapped, paired = cost[:, mirror], cost[np.arange(len(mirror)), mirror]
    change = swapped + swapped.T - paired[:, None] - paired
    share = change / (apart + apart[np.ix_(mirror, mirror)] + _TINY)
    share[np.arange(len(mirror)), np.arange(len(mirror))] = np.inf
    rival = share.argmin(1)
    return share[np.arange(len(mirror)), rival], rival


def examine(points: np.ndarray, mask: np.ndarray | None = None) -> Findings:
    """Return the mirror permutation that labels speak for, and how surely.

    Args:
        points: f64[faces, points, 2] in pixels.
        mask: bool[faces, points], the labelled points; None: all.

    Returns:
        what was found, with its `objections`.

    Raises:
        ValueError: where there is too little data.
    """
    points = np.asarray(points, np.float64)
    seen = np.asarray(np.isfinite(points).all(-1))
    seen = seen if mask is None else seen & mask
    whole = np.flatnonzero(seen.mean(1) > 0.5)
    if len(whole) < MIN_FACES:
        raise ValueError(
            f"a mirror is found from {MIN_FACES} objects or more with most points labelled, got {len(whole)}"
        )
    if points.shape[1] < 3:
        raise ValueError(f"a mirror is found for 3 points or more, got {points.shape[1]}")
    whole = whole[np.linspace(0, len(whole) - 1, min(len(whole), MAX_FACES)).astype(int)]
    seen = seen[whole]
    if len(rare := np.flatnonzero(seen.sum(0) < MIN_FACES / 2)):
        raise ValueError(f"points {named(rare)} are labelled in fewer than {MIN_FACES // 2} objects")
    before = np.where(seen, points[whole, :, 0] + 1j * points[whole, :, 1], 0)
    found, kept = shape_model.completed(shape_model.aligned(before, seen), seen)
    return _findings(_upright(found, before[kept]))


def _level(mean: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mean shape f64[points, 2] with the axis of its pairs exactly at x = 0."""
    a, b = shape_model.moved(-mean.conj()[None, mirror], mean)
    turned = (mean - b[0] / 2) / np.sqrt(a[0] / np.abs(a[0]))
    return np.stack([np.real(turned), np.imag(turned)], 1)


def _findings(faces: np.ndarray) -> Findings:
    mirror, model = _fit(faces)
    apart, half = _apart(faces), len(faces) // 2
    halves, cost, own = [], np.zeros_like(apart), np.zeros(len(mirror))
    for mine, others in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        found, fitted = _fit(faces[mine])
        modes = shape_model.most_modes(faces[mine])
        halves.append(found)
        cost += _costs(fitted, faces[others], mirror, modes) / 2
        own += _own(fitted, faces[others], modes) / 2
    margin, rival = _margins(cost, apart, mirror)
    near, paired = _support(mirror), cost[np.arange(len(mirror)), mirror]
    at = np.arange(len(mirror))
    ours, theirs = near[at, mirror], near[at, mirror[rival]]
    by_order = (margin < WEAK) & (ours + ours[rival] > theirs + near[rival, mirror])
    misfit = np.sqrt(paired / np.maximum(own + _nearest(apart) / 16, 1e-12))
    split = (halves[0] != mirror) | (halves[1] != mirror)
    shape = _level(model.mean, mirror)
    found = Findings(mirror.astype(np.int32), shape, margin, rival, by_order, misfit, cost, apart, len(faces), [])
    return found._replace(objections=_objections(found, split & ~by_order))


def _objections(found: Findings, split: np.ndarray) -> list[str]:
    points = len(found.mirror)
    reasons = []
    if len(lost := np.flatnonzero(found.misfit > _MISFIT)):
        worst = lost[found.misfit[lost].argmax()]
        reasons.append(
            f"the objects are not symmetric at points {named(lost)}: mirrored ones fit {found.misfit[worst]:.1f} times"
            f" as badly at point {worst} (at most {_MISFIT:g})"
        )
    if split.any():
        reasons.append(
            f"two halves of the {found.faces} objects disagree on {split.sum()} of {points} points: {named(split)}"
        )
    if len(weak := np.flatnonzero((found.margin < WEAK) & ~found.by_order)):
        pairs = [f"{i} and {found.rival[i]}" for i in weak[:4]]
        reasons.append(f"the labels do not distinguish the partners of {len(weak)} points: {', '.join(pairs)}")
    if len(loose := np.flatnonzero(found.mirror[found.mirror] != np.arange(points))):
        reasons.append(f"what was found is not an involution at points {named(loose)}")
    return reasons


def insist(found: Findings) -> None:
    """Raise ValueError, in one line, where there are objections.

    Args:
        found: of `examine`.

    Raises:
        ValueError: with all objections.
    """
    if found.objections:
        raise ValueError(f"the labels do not support a mirror permutation: {'; '.join(found.objections)}")


def contradictions(found: Findings, table: np.ndarray) -> list[Contradiction]:
    """Return where a table differs from what was found, and how strongly the faces contradict it.

    Args:
        found: of `examine`.
        table: i32[points], a mirror permutation.

    Returns:
        a row for each point that differs.

    Raises:
        ValueError: for a table of another number of points.
    """
    if len(table) != len(found.mirror):
        raise ValueError(f"the table has {len(table)} points, the labels have {len(found.mirror)}")
    rows = []
    for i in np.flatnonzero(table != found.mirror):
        given, own = int(table[i]), int(found.mirror[i])
        more = found.cost[i, given] - found.cost[i, own]
        rows.append(Contradiction(int(i), given, own, float(more / (found.apart[given, own] + _TINY))))
    return rows


def named(points: np.ndarray, limit: int = 8) -> str:
    """Return the first of some points for a message.

    Args:
        points: i[n], or bool[points].
        limit: how many are named.

    Returns:
        the numbers, separated by commas, and how many more there are.
    """
    points = np.flatnonzero(points) if points.dtype == bool else points
    return ", ".join(map(str, points[:limit])) + (f" and {len(points) - limit} more" if len(points) > limit else "")
