"""Shape model: alignment of shapes and their linear modes of variation. A point is a complex number, x + iy."""

from typing import NamedTuple

import numpy as np

MODES = (0, 2, 4, 8, 12)  # how many modes a model is read with, one after the other


class Model(NamedTuple):
    """A linear model of aligned shapes: their mean and main modes of variation."""

    mean: np.ndarray  # c128[points], x + iy
    modes: np.ndarray  # f64[modes, 2 * points], orthonormal

    def read(self, shapes: np.ndarray, modes: int, trust: np.ndarray | float = 1.0) -> np.ndarray:
        """The nearest shapes c128[faces, points] that so many modes and a small similarity allow, by trusted points."""
        one = np.ones_like(self.mean)
        similar = np.stack([one, 1j * one, self.mean, 1j * self.mean]) / np.sqrt(len(one))
        kept = np.concatenate([_flat(similar), self.modes[:modes]])
        weighted = kept * np.tile(trust * np.real(one), 2)
        parts = np.linalg.solve(weighted @ kept.T, weighted @ _flat(shapes - self.mean).T)
        return self.mean + _paired(parts.T @ kept)


def _flat(shapes: np.ndarray) -> np.ndarray:
    return np.concatenate([np.real(shapes), np.imag(shapes)], -1)


def _paired(flat: np.ndarray) -> np.ndarray:
    half = flat.shape[-1] // 2
    return flat[..., :half] + 1j * flat[..., half:]


def moved(shapes: np.ndarray, onto: np.ndarray, weight: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) c128[faces, 1] of the similarities a z + b that bring shapes c128[faces, points] nearest to `onto`."""
    weight = np.broadcast_to(weight, shapes.shape)
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
        mean = np.median(np.real(shapes), 0) + 1j * np.median(np.imag(shapes), 0)
    else:
        mean = np.nanmedian(np.where(seen, np.real(shapes), np.nan), 0) + 1j * np.nanmedian(
            np.where(seen, np.imag(shapes), np.nan), 0
        )
    mean = mean - mean.mean()
    return mean / np.sqrt((np.abs(mean) ** 2).mean())


def _distances(shapes: np.ndarray, seen: np.ndarray, onto: np.ndarray) -> np.ndarray:
    return np.sqrt((seen * np.abs(shapes - onto) ** 2).sum(1) / seen.sum(1))


def aligned(shapes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The shapes without place, size and turn (Procrustes about their median), from the most typical of a few."""
    starts = []
    for index in np.linspace(0, len(shapes) - 1, 9).astype(int):
        onto, weight = shapes[index] / np.abs(shapes[index] - shapes[index].mean()).mean(), seen & seen[index]
        a, b = moved(shapes, onto, weight)
        starts.append((np.median(_distances(a * shapes + b, weight, onto)), index))
    middle = shapes[min(starts)[1]]
    for _ in range(8):
        a, b = moved(shapes, middle, seen)
        middle = _middle(a * shapes + b, seen)
    a, b = moved(shapes, middle, seen)
    return a * shapes + b


def completed(shapes: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Typical shapes, what is not seen or not believed filled in by a model of the rest; which they were, bool[faces].

    Faces three times as far from the median as usual are dropped: their labels are wrong, or no use here. So are
    single points eight times as far from the model as usual.
    """
    far = _distances(shapes, seen, middle := _middle(shapes, seen))
    kept = far < 3 * np.median(far)
    shapes, seen = shapes[kept], seen[kept]
    filled = np.where(seen, shapes, middle)
    for modes in (m for m in MODES if 0 < m <= most_modes(filled)):  # few at first: many would follow a wrong point
        for _ in range(2):
            estimate = model(filled).read(filled, modes)
            miss = np.abs(shapes - estimate)
            seen = seen & (miss < 8 * np.maximum(np.median(miss, 0), np.median(miss)))
            filled = np.where(seen, shapes, estimate)
    return filled, kept


def most_modes(shapes: np.ndarray) -> int:
    """Return the number of modes that c128[faces, points] can support: at most a third of the points and a quarter of
    the faces."""
    faces, points = shapes.shape
    return max(m for m in MODES if m <= min(points // 3, faces // 4))


def model(shapes: np.ndarray) -> Model:
    """The model of aligned shapes c128[faces, points], by principal components."""
    mean = shapes.mean(0)
    flat = _flat(shapes - mean)
    powers, mixes = np.linalg.eigh(flat @ flat.T)  # faces are fewer than coordinates, or few enough
    strong = np.argsort(powers)[::-1][: MODES[-1]]
    strong = strong[powers[strong] > 1e-12 * max(powers.max(), 1e-12)]
    return Model(mean, (flat.T @ mixes[:, strong] / np.sqrt(powers[strong])).T)
