"""Shape outliers: distance of a label from the shapes of the other labels of its set.

The idea: a linear model of aligned shapes, fitted on typical ones only, reads each label, believing its far points
less. Odd is what the model misses, what it can only say in unusual coordinates, and a face that stands unlike the
others. The image is not read: a good shape in the wrong place, as another person's label, is not odd.
"""

from typing import NamedTuple

import numpy as np

from pipelines.shapes import shape_model

MIN_FACES = 10  # of fewer, nothing can be said
_FACES = 1000  # that the model is fitted on at most, evenly taken; all 3,032 of faces68 find no more
_KEPT = 0.9  # of the faces are believed; the rest may be wrong, and would bend the model to themselves
_CHUNK = 1 << 19  # points read at a time: some 80 MB
_ROUNDS = 3
_FAR = 4.0  # times the usual miss, from which a point is believed less than half
_TURN = 0.1  # radians that faces are turned anyway
_LEAST = 1e-6  # of a miss: below, a shape fits exactly


class _Reader(NamedTuple):
    """A model, and what is usual in it."""

    columns: np.ndarray  # i64[known]: the points it knows
    mean: np.ndarray  # c128[known], x + iy, RMS radius near 1
    modes: np.ndarray  # f64[modes, 2 * known], orthonormal
    powers: np.ndarray  # f64[modes]: the usual square of each coordinate
    usual: np.ndarray  # f64[known]: the usual miss of each point


def scores(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return how odd each label of a set is.

    A label that is not odd has 0, else by how many robust standard deviations the largest of three numbers lies above
    its median in the set: the RMS miss of its points (each over the point's usual miss; its logarithm), its coordinates
    in the model (RMS over the usual; its logarithm), and how far the face is turned.

    Found among the k oddest, of k labels made wrong on purpose (2 % of the set, mean of three draws; in brackets among
    the 2k oddest). faces68: 3,032 faces of the training split; five: its eye corners, tip of the nose and corners of
    the mouth; drawn: the right labels of drawn:1000:68.

        made wrong by                                   faces68      five         drawn
        mirror permutation, points not mirrored       1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
        points mirrored, their order kept             1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
        6 % of the points moved by 15 % of the face   0.98 (1.00)  0.26 (0.37)  0.95 (1.00)
        a third of the points shifted by 15 %         1.00 (1.00)  0.12 (0.19)  1.00 (1.00)
        1.3 times as wide, 0.8 times as high          0.67 (0.99)  0.20 (0.39)  0.07 (0.13)
        another face's label, scaled into place       0.03 (0.07)  0.03 (0.07)  0.02 (0.03)

    So: what breaks a shape is found; what is a shape of another face, or of drawn:1000:68 its own seven wrong labels
    (shifted whole, or another's), is not. 20,000 faces of 971 points take 9 s on two cores, and 0.8 GB.

    Args:
        points: f[n, points, 2] in pixels.
        mask: bool[n, points], the labelled points.

    Returns:
        f64[n], 0 or more; zero for a label with fewer than three points, and for all where the model can be fitted on
        fewer than MIN_FACES.
    """
    every, seen = _complex(points, mask)
    result = np.zeros(len(every))
    reader = _fitted(every, seen)
    if reader is None:
        return result
    able = np.flatnonzero(seen[:, reader.columns].sum(1) >= 3)
    rows = max(1, _CHUNK // len(reader.columns))
    parts = (np.ix_(able[at : at + rows], reader.columns) for at in range(0, len(able), rows))
    chunks = [_read(reader, _doubled(every[part]), seen[part]) for part in parts]
    miss, unusual, turn = np.concatenate(chunks, 1)
    steady = np.exp(1j * turn).sum()
    turned = np.abs(np.angle(np.exp(1j * turn) * np.conj(steady)))
    miss, unusual = np.maximum(miss, _LEAST), np.maximum(unusual, _LEAST)  # a shape that fits exactly has no logarithm
    far = np.stack([_above(np.log(miss)), _above(np.log(unusual)), turned / (1.4826 * np.median(turned) + _TURN)])
    result[able] = np.maximum(far.max(0), 0)
    return result


def spread(points: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean shape of labels, and how each point varies about it.

    The shape is upright as the faces are, x right, y down, its RMS radius 1. Wrong labels are not believed.

    Args:
        points: f[n, points, 2] in pixels.
        mask: bool[n, points], the labelled points.

    Returns:
        f64[points, 2], and the covariances f64[points, 2, 2]. NaN: a point that too few faces have.

    Raises:
        ValueError: where no face has three points and more than half of those that any has.
    """
    every, seen = _complex(points, mask)
    taken, columns = _typical(every, seen)
    if not len(taken):
        raise ValueError("no object has enough labelled points for a mean shape")
    before, seen = _doubled(every[np.ix_(taken, columns)]), seen[np.ix_(taken, columns)]
    filled, kept = shape_model.completed(shape_model.aligned(before, seen), seen)
    average = filled.mean(0)
    turns = shape_model.moved(before[kept], average, seen[kept])[0]
    upright = (turns / np.abs(turns)).sum()
    size = np.sqrt((np.abs(average - average.mean()) ** 2).mean())
    filled = (filled - average.mean()) / size * (np.conj(upright) / max(np.abs(upright), 1e-12))
    mean, covariance = np.full((points.shape[1], 2), np.nan), np.full((points.shape[1], 2, 2), np.nan)
    flat = np.stack([np.real(filled), np.imag(filled)], -1)
    loose = flat - flat.mean(0)
    mean[columns], covariance[columns] = flat.mean(0), np.einsum("npi,npj->pij", loose, loose) / len(flat)
    return mean, covariance


def _complex(points: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(c64[n, points], bool[n, points]), zero where not seen: single precision, since all labels are held at once."""
    seen = np.asarray(mask, bool) & np.isfinite(points).all(-1)
    every = np.zeros(seen.shape, np.complex64)
    every.real[seen], every.imag[seen] = points[seen].T
    return every, seen


def _doubled(some: np.ndarray) -> np.ndarray:
    return some.astype(np.complex128)


def _typical(every: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the faces i64[m] to fit a model on, and the points i64[known] that at least a tenth of the faces have."""
    labelled = np.flatnonzero(seen.any(1))
    columns = np.flatnonzero(seen[labelled].mean(0) >= 0.1) if len(labelled) else np.arange(0)
    asked = labelled[_evenly(len(labelled), 4 * _FACES)]  # some of them will not do
    known, these = seen[np.ix_(asked, columns)], every[np.ix_(asked, columns)]
    count = known.sum(1)
    centre = these.sum(1) / np.maximum(count, 1)
    size = (known * np.abs(these - centre[:, None])).sum(1)
    whole = np.flatnonzero((count >= 3) & (count > len(columns) / 2) & (size > 1e-6))
    taken = asked[whole[_evenly(len(whole), _FACES)]]
    return taken, columns[seen[np.ix_(taken, columns)].any(0)] if len(taken) else columns


def _evenly(count: int, most: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, most)).astype(int)


def _fitted(every: np.ndarray, seen: np.ndarray) -> _Reader | None:
    """The model of the typical faces; None where there are too few.

    With few modes at first, and after each fit the worst faces left out: a model of many modes, fitted on all, spends
    some on the wrong labels and calls them usual.
    """
    taken, columns = _typical(every, seen)
    if len(taken) < MIN_FACES:
        return None
    every, seen = _doubled(every[np.ix_(taken, columns)]), seen[np.ix_(taken, columns)]
    faces = shape_model.completed(shape_model.aligned(every, seen), seen)[0]
    most = min(shape_model.MODES[-1], 2 * len(columns) - 5, len(faces) // 5)
    believed = faces
    for modes in (m for m in shape_model.MODES if m < most):
        miss = np.abs(faces - shape_model.model(believed).read(faces, modes))
        far = np.sqrt((miss**2).mean(1))
        believed = faces[far <= np.quantile(far, _KEPT)]
    model = shape_model.model(believed)
    modes = model.modes[:most]
    loose = shape_model.flat(believed - model.mean)
    parts = loose @ modes.T
    miss = np.abs(shape_model.paired(loose - parts @ modes))
    usual = np.sqrt(np.median(miss, 0) ** 2 + np.median(miss) ** 2) / np.sqrt(2)
    size = np.sqrt((np.abs(model.mean) ** 2).mean())
    return _Reader(columns, model.mean, modes, (parts**2).mean(0) + 1e-9 * size**2, np.maximum(usual, 1e-4 * size))


def _read(reader: _Reader, faces: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """f64[3, n]: the miss, how unusual the coordinates are (1: as usual), and the turn in radians, of each face."""
    estimate, trust = np.broadcast_to(reader.mean, faces.shape), seen.astype(np.float64)
    products = (reader.modes[:, None] * reader.modes).reshape(-1, reader.modes.shape[1])
    for _ in range(_ROUNDS):
        placed, turn = _placed(faces, estimate, trust)
        loose = shape_model.flat(placed - reader.mean)
        weight = np.tile(trust / reader.usual**2, 2)
        gram = (weight @ products.T).reshape(len(faces), *(len(reader.modes),) * 2) + np.diag(1 / reader.powers)
        parts = np.linalg.solve(gram, ((weight * loose) @ reader.modes.T)[..., None])[..., 0]
        estimate = reader.mean + shape_model.paired(parts @ reader.modes)
        far = np.where(seen, np.abs(placed - estimate), 0) / reader.usual
        trust = seen / (1 + (far / _FAR) ** 2)
    miss = np.sqrt((far**2).sum(1) / seen.sum(1))
    unusual = np.sqrt((parts**2 / reader.powers).sum(1) / max(len(reader.modes), 1))
    return np.stack([miss, unusual, turn])


def _placed(faces: np.ndarray, onto: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The faces moved and turned onto shapes of their own, and made as large as these; their turns f64[n] in radians.

    As large, not as near: a mirrored face comes nearest as a dot, and then the model, to follow it, shrinks.
    """
    total = trust.sum(1, keepdims=True)
    loose = faces - (trust * faces).sum(1, keepdims=True) / total
    centre = (trust * onto).sum(1, keepdims=True) / total
    goal = onto - centre
    turn = np.angle((trust * loose.conj() * goal).sum(1, keepdims=True))
    sizes = [np.sqrt((trust * np.abs(z) ** 2).sum(1, keepdims=True)) for z in (loose, goal)]
    return loose * np.exp(1j * turn) * sizes[1] / np.maximum(sizes[0], 1e-9) + centre, turn[:, 0]


def _above(values: np.ndarray) -> np.ndarray:
    """Return how many robust standard deviations each lies above the median."""
    above = values - np.median(values)
    return above / (1.4826 * np.median(np.abs(above)) + 0.05)
