"""What a prediction is worth. Functions of arrays, on NumPy (float64 on the host) and JAX alike."""

import numpy as np

from jaxmarks.landmarks import Scheme


def distances(prediction, truth):
    """[..., points]: Euclidean distance of each point."""
    return ((prediction - truth) ** 2).sum(-1) ** 0.5


def extremes(truth, mask):
    """(least, greatest) coordinates [..., 2] of the labelled points [..., points, 2]."""
    big = 1e30
    low = truth + (1 - mask[..., None]) * big
    high = truth - (1 - mask[..., None]) * big
    return low.min(-2), high.max(-2)


def box_norm(truth, mask):
    """[...]: square root of the area of the box of the labelled points [..., points, 2]."""
    low, high = extremes(truth, mask)
    span = (high - low).clip(0)
    return (span[..., 0] * span[..., 1]) ** 0.5


def norm(truth, mask, scheme: Scheme):
    """[...]: the length NME divides by: between the scheme's two points, else `box_norm`.

    A face whose two points are not both labelled falls back to its box.
    """
    box = box_norm(truth, mask)
    if scheme.norm is None:
        return box
    a, b = scheme.norm
    eyes = distances(truth[..., a, :], truth[..., b, :])
    both = mask[..., a] & mask[..., b]
    return eyes * both + box * (1 - both)


def nme(prediction, truth, mask, scale):
    """[...]: mean over labelled points of the distance, divided by `scale` [...]; 0 where nothing is labelled."""
    total = (distances(prediction, truth) * mask).sum(-1)
    return total / mask.sum(-1).clip(1) / scale.clip(1e-9)


def diagonal_norm(truth, mask):
    """[...]: the diagonal of the box of the labelled points [..., points, 2]."""
    low, high = extremes(truth, mask)
    return ((high - low).clip(0) ** 2).sum(-1) ** 0.5


def by_limit(errors: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """f64[faces] twice, whose means are AUC and failure rate at `limit` of NMEs [faces]: the exact area under a face's own
    step of the cumulative curve, and whether it lies over the limit; NaN where the NME is."""
    errors = np.asarray(errors, np.float64)
    return np.clip(1 - errors / limit, 0, 1), np.where(np.isnan(errors), np.nan, errors > limit)
