"""Shape model: alignment of shapes and their linear modes of variation. A point is a complex number, x + iy."""

from typing import NamedTuple

import numpy as np

MODES = (0, 2, 4, 8, 12)  # how many modes a model is read with, one after the other


class Model(NamedTuple):
    """A linear model of aligned shapes: their mean and main modes of variation."""

    mean: np.ndarray  # c128[points], x + iy
    modes: np.ndarray  # f64[modes, 2 * points], orthonormal

    def read(self, shapes: np.ndarray, modes: int, trust: np.ndarray | float = 1.0) -> np.ndarray:
        """Return the nearest shapes that some modes and a small similarity allow.

        Args:
            shapes: c128[faces, points], aligned.
            modes: how many modes are used, the strongest first.
            trust: 0..1, how far each point is believed, f64[points] or one number.

        Returns:
            c128[faces, points].
        """
        one = np.ones_like(self.mean)
        similar = np.stack([one, 1j * one, self.mean, 1j * self.mean]) / np.sqrt(len(one))
        kept = np.concatenate([flat(similar), self.modes[:modes]])
        weighted = kept * np.tile(trust * np.real(one), 2)
        parts = np.linalg.solve(weighted @ kept.T, weighted @ flat(shapes - self.mean).T)
        return self.mean + paired(parts.T @ kept)


def flat(shapes: np.ndarray) -> np.ndarray:
    """Return shapes with their coordinates apart: all x, then all y.

    Args:
        shapes: c[..., points], x + iy.

    Returns:
        f[..., 2 * points].
    """
    return np.concatenate([np.real(shapes), np.imag(shapes)], -1)


def paired(values: np.ndarray) -> np.ndarray:
    """Return the shapes that `flat` took apart.

    Args:
        values: f[..., 2 * points].

    Returns:
        c[..., points].
    """
    x, y = np.split(values, 2, -1)
    return x + 1j * y


def moved(shapes: np.ndarray, onto: np.ndarray, weight: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the similarities a z + b that bring shapes nearest to another.

    Args:
        shapes: c128[faces, points].
        onto: c128[points] or c128[faces, points].
        weight: 0 or more, of each point; broadcasts to `shapes`.

    Returns:
        a and b, each c128[faces, 1].
    """
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
    """Return shapes without place, size and turn (Procrustes about their median), from the most typical of a few.

    Args:
        shapes: c128[faces, points].
        seen: bool[faces, points], the points that are known.

    Returns:
        c128[faces, points].
    """
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
    """Return typical shapes, with what is not seen or not believed filled in by a model of the rest.

    Faces three times as far from the median as usual are dropped: their labels are wrong, or no use here. Single points
    eight times as far from the model as usual are filled in.

    Args:
        shapes: c128[faces, points], aligned.
        seen: bool[faces, points], the points that are known.

    Returns:
        c128[kept, points], and which faces were kept, bool[faces].
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
    """Return the number of modes that shapes can support: at most a third of the points and a quarter of the faces.

    Args:
        shapes: c128[faces, points].

    Returns:
        one of MODES.
    """
    faces, points = shapes.shape
    return max(m for m in MODES if m <= min(points // 3, faces // 4))


def model(shapes: np.ndarray) -> Model:
    """Return the model of aligned shapes, by principal components.

    Args:
        shapes: c128[faces, points].

    Returns:
        their mean and at most MODES[-1] modes.
    """
    mean = shapes.mean(0)
    rows = flat(shapes - mean)
    powers, mixes = np.linalg.eigh(rows @ rows.T)  # faces are fewer than coordinates, or few enough
    strong = np.argsort(powers)[::-1][: MODES[-1]]
    strong = strong[powers[strong] > 1e-12 * max(powers.max(), 1e-12)]
    return Model(mean, (rows.T @ mixes[:, strong] / np.sqrt(powers[strong])).T)
