"""The mirror permutation of a set of points, found from labels alone.

The idea: seen in a mirror, a face is another face. Where `mirror` is right, mirrored faces with their points renamed by
it are as well described by a small linear model of the faces as the faces themselves, whatever their pose. So: shapes
without place, size and turn; a model of their main modes; each mirrored face read by the model under the permutation so
far, which says where each point should lie; the assignment of points to places; again, with more modes. Turned heads
spoil the mean shape alone: the modes are what makes neighbours on a curve agree.

Two halves of the faces are fitted apart: each judges the pairs by the other's model, and they must agree.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

MIN_FACES, MAX_FACES = 40, 400  # fewer are refused; of more, as many are taken, evenly
WEAK = 0.1  # a margin below it decides nothing
_MISFIT = 2.0  # mirrored faces may fit this many times as badly as faces
_MODES = (0, 2, 4, 8, 12)
_ROUNDS = 8


class Findings(NamedTuple):
    """What the faces say. Lengths are in units of the mean shape's RMS radius."""

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


class _Model(NamedTuple):
    mean: np.ndarray  # c128[points], x + iy
    modes: np.ndarray  # f64[modes, 2 * points], orthonormal

    def read(self, shapes: np.ndarray, modes: int) -> np.ndarray:
        """The nearest shapes c128[faces, points] that so many modes allow."""
        kept = self.modes[:modes]
        return self.mean + _paired(_flat(shapes - self.mean) @ kept.T @ kept)


def _flat(shapes: np.ndarray) -> np.ndarray:
    return np.concatenate([shapes.real, shapes.imag], -1)


def _paired(flat: np.ndarray) -> np.ndarray:
    half = flat.shape[-1] // 2
    return flat[..., :half] + 1j * flat[..., half:]


def _moved(shapes: np.ndarray, onto: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) c128[faces, 1] of the similarities a z + b that bring shapes c128[faces, points] nearest to `onto`."""
    total = weight.sum(1, keepdims=True)
    centre, goal = (weight * shapes).sum(1, keepdims=True) / total, (weight * onto).sum(1, keepdims=True) / total
    loose = weight * (shapes - centre)
    a = (loose.conj() * (onto - goal)).sum(1, keepdims=True) / np.maximum(
        (np.abs(loose) ** 2).sum(1, keepdims=True), 1e-12
    )
    return a, goal - a * centre


def _middle(shapes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The median shape c128[points], centred, of RMS radius 1."""
    if seen.all():
        mean = np.median(shapes.real, 0) + 1j * np.median(shapes.imag, 0)
    else:
        mean = np.nanmedian(np.where(seen, shapes.real, np.nan), 0) + 1j * np.nanmedian(
            np.where(seen, shapes.imag, np.nan), 0
        )
    mean = mean - mean.mean()
    return mean / np.sqrt((np.abs(mean) ** 2).mean())


def _distances(shapes: np.ndarray, seen: np.ndarray, onto: np.ndarray) -> np.ndarray:
    return np.sqrt((seen * np.abs(shapes - onto) ** 2).sum(1) / seen.sum(1))


def _aligned(shapes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The shapes without place, size and turn (Procrustes about their median), from the most typical of a few."""
    starts = []
    for index in np.linspace(0, len(shapes) - 1, 9).astype(int):
        onto, weight = shapes[index] / np.abs(shapes[index] - shapes[index].mean()).mean(), seen & seen[index]
        a, b = _moved(shapes, onto, weight)
        starts.append((np.median(_distances(a * shapes + b, weight, onto)), index))
    middle = shapes[min(starts)[1]]
    for _ in range(_ROUNDS):
        a, b = _moved(shapes, middle, seen)
        middle = _middle(a * shapes + b, seen)
    a, b = _moved(shapes, middle, seen)
    return a * shapes + b


def _completed(shapes: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Typical shapes, what is not seen filled in by a model of the rest; what was seen and believed; which they were.

    Faces three times as far from the median as usual are dropped: their labels are wrong, or no use here. So are
    single points eight times as far from the model as usual.
    """
    far = _distances(shapes, seen, middle := _middle(shapes, seen))
    kept = far < 3 * np.median(far)
    shapes, seen = shapes[kept], seen[kept]
    filled = np.where(seen, shapes, middle)
    modes = _most_modes(filled)
    for _ in range(4):
        told = _model(filled).read(filled, modes)
        miss = np.abs(shapes - told)
        seen = seen & (miss < 8 * np.maximum(np.median(miss, 0), np.median(miss)))
        filled = np.where(seen, shapes, told)
    return filled, seen, kept


def _most_modes(shapes: np.ndarray) -> int:
    faces, points = shapes.shape
    return max(m for m in _MODES if m <= min(points // 3, faces // 4))


def _model(shapes: np.ndarray) -> _Model:
    mean = shapes.mean(0)
    flat = _flat(shapes - mean)
    powers, mixes = np.linalg.eigh(flat @ flat.T)  # faces are fewer than coordinates, or few enough
    strong = np.argsort(powers)[::-1][: _MODES[-1]]
    strong = strong[powers[strong] > 1e-12 * max(powers.max(), 1e-12)]
    return _Model(mean, (flat.T @ mixes[:, strong] / np.sqrt(powers[strong])).T)


def _upright(shapes: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The shapes turned so that the axis of their mean stands at x = 0, with as little turn of `before` as that allows."""
    mean = shapes.mean(0)
    some = mean[:: -(-len(mean) // 200)]
    turns = np.exp(2j * np.radians(np.arange(0, 180, 2)))
    misses = [np.abs((t * some.conj())[:, None] - mean).min(1).mean() for t in turns]
    best = sorted(range(len(turns)), key=misses.__getitem__)[0]
    turned = shapes * np.exp(1j * (np.pi / 2)) / np.sqrt(turns[best])
    a, _ = _moved(before, turned.mean(0), np.ones(before.shape))
    return turned * (1 if (a / np.abs(a)).real.mean() > 0 else -1)


def _costs(model: _Model, shapes: np.ndarray, seen: np.ndarray, mirror: np.ndarray, modes: int) -> np.ndarray:
    """f64[points, points]: mean squared distance from where the model wants i in mirrored faces to the mirrored j."""
    flipped = -shapes.conj()
    a, b = _moved(flipped[:, mirror], model.mean, seen[:, mirror])
    flipped = a * flipped + b
    wanted = model.read(flipped[:, mirror], modes)
    both = np.concatenate([wanted.real, wanted.imag]).T @ np.concatenate([seen * flipped.real, seen * flipped.imag])
    total = (np.abs(wanted) ** 2).T @ seen - 2 * both + (seen * np.abs(flipped) ** 2).sum(0)
    return np.maximum(total / seen.sum(0), 0)


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


def _settled(cost: np.ndarray, mirror: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """The cheapest permutation; what is next to a tie goes by the neighbours in the list, under `mirror`."""
    bonus = 0.05 * (nearest[:, None] + 1e-9) * _support(mirror)
    return linear_sum_assignment(cost + cost.T - bonus - bonus.T)[1]


def _apart(shapes: np.ndarray) -> np.ndarray:
    flat = np.concatenate([shapes.real, shapes.imag])
    square = (flat**2).sum(0)
    return np.maximum(square[:, None] + square - 2 * flat.T @ flat, 0) / len(shapes)


def _nearest(apart: np.ndarray) -> np.ndarray:
    return (apart + np.diag(np.full(len(apart), np.inf))).min(1)


def _fit(shapes: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, _Model]:
    """The permutation i64[points] that these faces ask for, and their model."""
    model = _model(shapes)
    mirror = linear_sum_assignment(np.abs(model.mean[:, None] + model.mean.conj()) ** 2)[1]
    cost = np.zeros((len(mirror),) * 2)
    for modes in (m for m in _MODES if m <= _most_modes(shapes)):
        for _ in range(_ROUNDS):
            before, cost = mirror, _costs(model, shapes, seen, mirror, modes)
            mirror = linear_sum_assignment(cost + cost.T)[1]
            if (mirror == before).all():
                break
    nearest = _nearest(_apart(shapes))
    for _ in range(2):
        mirror = _settled(cost, mirror, nearest)
    return mirror, model
