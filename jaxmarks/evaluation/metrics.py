"""Evaluation metrics, as functions of arrays of NumPy (float64 on the host) or JAX."""

import numpy as np

from jaxmarks.landmarks import Scheme

ZERO = 1e-5  # of the image's diagonal: a length of no more is zero but for the rounding of float32


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


def fallback(truth, mask, scheme: Scheme, diagonal):
    """i[...]: what stands in for the scheme's norm. 0: nothing; 1: the box of the labelled points, since one of the two
    points is not labelled or both are in one place; 2: the diagonal of the image, since that box has no area either.

    truth [..., points, 2] and diagonal [...] in one frame; a length below a 100,000th of the diagonal counts as zero.
    """
    low, high = extremes(truth, mask)
    least = ZERO * diagonal
    flat = (high - low).min(-1) <= least
    own = ~flat
    if scheme.norm is not None:
        a, b = scheme.norm
        own = mask[..., a] & mask[..., b] & (distances(truth[..., a, :], truth[..., b, :]) > least)
    return (1 - own) * (1 + flat)


def norm(truth, mask, scheme: Scheme, diagonal, instead=None):
    """Return [...]: the length that NME divides by, the distance between the scheme's two points (`box_norm` for a
    scheme without them), or its replacement, so that it is positive wherever the diagonal is.

    truth [..., points, 2] and diagonal [...], of the image, in one frame. instead: the result of `fallback`, if it
    cannot be determined from these points.
    """
    instead = fallback(truth, mask, scheme, diagonal) if instead is None else instead
    own = box = box_norm(truth, mask)
    if scheme.norm is not None:
        own = distances(truth[..., scheme.norm[0], :], truth[..., scheme.norm[1], :])
    return own * (instead == 0) + box * (instead == 1) + diagonal * (instead == 2)


def nme(prediction, truth, mask, scale):
    """[...]: mean over labelled points of the distance, divided by `scale` [...]; 0 where nothing is labelled."""
    total = (distances(prediction, truth) * mask).sum(-1)
    return total / mask.sum(-1).clip(1) / scale.clip(1e-9)


def diagonal_norm(truth, mask):
    """[...]: the diagonal of the box of the labelled points [..., points, 2]."""
    low, high = extremes(truth, mask)
    return ((high - low).clip(0) ** 2).sum(-1) ** 0.5


def by_limit(errors: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return f64[faces] twice, whose means are AUC and failure rate at `limit` of NMEs [faces]: the exact area under a
    face's own step of the cumulative curve, and whether the NME exceeds the limit; NaN where the NME is."""
    errors = np.asarray(errors, np.float64)
    return np.clip(1 - errors / limit, 0, 1), np.where(np.isnan(errors), np.nan, errors > limit)


def by_norm(prediction, truth, mask, scheme: Scheme, diagonal):
    """[...]: NME by the scheme's norm, or what stands in for it."""
    return nme(prediction, truth, mask, norm(truth, mask, scheme, diagonal))


def by_box(prediction, truth, mask, scheme: Scheme, diagonal):
    """[...]: NME by the box of the labelled points; by the diagonal of the image where that box has no area."""
    return nme(prediction, truth, mask, norm(truth, mask, scheme._replace(norm=None), diagonal))


def by_diagonal(prediction, truth, mask, scheme: Scheme, diagonal):
    """[...]: NME by the diagonal of that box; by the image's where it has no length."""
    across = diagonal_norm(truth, mask)
    return nme(prediction, truth, mask, np.where(across > ZERO * diagonal, across, diagonal))


# What is reported of each image: functions of prediction and truth [..., points, 2], mask [..., points], the scheme and the
# images' diagonals [...], whose means, intervals and comparisons the report has by these names.
METRICS = {"nme": by_norm, "nme_box": by_box, "nme_diagonal": by_diagonal}
