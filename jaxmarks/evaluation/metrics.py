"""Evaluation metrics, as functions of arrays of NumPy (float64 on the host) or JAX."""

import numpy as np

from jaxmarks.landmarks import Scheme

ZERO = 1e-5  # of the image's diagonal: a length of no more is zero but for the rounding of float32


def distances(prediction, truth):
    """Return the Euclidean distance of each point.

    Args:
        prediction: [..., points, 2].
        truth: [..., points, 2], in the same frame.

    Returns:
        [..., points], in the unit of the points.
    """
    return ((prediction - truth) ** 2).sum(-1) ** 0.5


def extremes(truth, mask):
    """Return the least and the greatest coordinates of the labelled points.

    Args:
        truth: [..., points, 2].
        mask: [..., points], the labelled points.

    Returns:
        low and high, each [..., 2]; 1e30 and -1e30 where nothing is labelled.
    """
    big = 1e30
    low = truth + (1 - mask[..., None]) * big
    high = truth - (1 - mask[..., None]) * big
    return low.min(-2), high.max(-2)


def box_norm(truth, mask):
    """Return the square root of the area of the box of the labelled points.

    Args:
        truth: [..., points, 2].
        mask: [..., points], the labelled points.

    Returns:
        [...], in the unit of the points; 0 where the box has no area.
    """
    low, high = extremes(truth, mask)
    span = (high - low).clip(0)
    return (span[..., 0] * span[..., 1]) ** 0.5


def fallback(truth, mask, scheme: Scheme, diagonal):
    """Return what stands in for the scheme's norm.

    A length below a 100,000th of the diagonal counts as zero.

    Args:
        truth: [..., points, 2].
        mask: [..., points], the labelled points.
        scheme: says which two points are the norm.
        diagonal: [...], of the images, in the same frame.

    Returns:
        i[...]. 0: nothing; 1: the box of the labelled points, since one of the two points is not labelled or both are
        in one place; 2: the diagonal of the image, since that box has no area either.
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
    """Return the length that NME divides by, positive wherever the diagonal is.

    The distance between the scheme's two points (`box_norm` for a scheme without them), or its replacement.

    Args:
        truth: [..., points, 2].
        mask: [..., points], the labelled points.
        scheme: says which two points are the norm.
        diagonal: [...], of the images, in the same frame.
        instead: the result of `fallback`, if it cannot be determined from these points; None: it can.

    Returns:
        [...], in the unit of the points.
    """
    instead = fallback(truth, mask, scheme, diagonal) if instead is None else instead
    own = box = box_norm(truth, mask)
    if scheme.norm is not None:
        own = distances(truth[..., scheme.norm[0], :], truth[..., scheme.norm[1], :])
    return own * (instead == 0) + box * (instead == 1) + diagonal * (instead == 2)


def nme(prediction, truth, mask, scale):
    """Return the mean distance over the labelled points, divided by a length.

    Args:
        prediction: [..., points, 2].
        truth: [..., points, 2], in the same frame.
        mask: [..., points], the labelled points.
        scale: [...], the length, in the unit of the points.

    Returns:
        [...], a fraction; 0 where nothing is labelled.
    """
    total = (distances(prediction, truth) * mask).sum(-1)
    return total / mask.sum(-1).clip(1) / scale.clip(1e-9)


def diagonal_norm(truth, mask):
    """Return the diagonal of the box of the labelled points.

    Args:
        truth: [..., points, 2].
        mask: [..., points], the labelled points.

    Returns:
        [...], in the unit of the points.
    """
    low, high = extremes(truth, mask)
    return ((high - low).clip(0) ** 2).sum(-1) ** 0.5


def by_limit(errors: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return two numbers of each face, whose means are AUC and failure rate at a limit.

    Args:
        errors: [faces], NMEs; NaN: not known.
        limit: the NME beyond which a prediction is a failure, above 0.

    Returns:
        f64[faces] twice, in 0..1: the exact area under a face's own step of the cumulative curve, and whether the NME
        exceeds the limit; NaN where the NME is.
    """
    errors = np.asarray(errors, np.float64)
    return np.clip(1 - errors / limit, 0, 1), np.where(np.isnan(errors), np.nan, errors > limit)


def by_norm(prediction, truth, mask, scheme: Scheme, diagonal):
    """Return the NME by the scheme's norm, or what stands in for it.

    Args:
        prediction: [..., points, 2], in the frame of the truth.
        truth: [..., points, 2], the label.
        mask: bool[..., points], the labelled points.
        scheme: says which two points are the norm.
        diagonal: [...], of the images, in the same frame.

    Returns:
        [...], a fraction.
    """
    return nme(prediction, truth, mask, norm(truth, mask, scheme, diagonal))


def by_box(prediction, truth, mask, scheme: Scheme, diagonal):
    """Return the NME by the box of the labelled points; by the diagonal of the image where that box has no area.

    Args:
        prediction: [..., points, 2], in the frame of the truth.
        truth: [..., points, 2], the label.
        mask: bool[..., points], the labelled points.
        scheme: says which two points are the norm.
        diagonal: [...], of the images, in the same frame.

    Returns:
        [...], a fraction.
    """
    return nme(prediction, truth, mask, norm(truth, mask, scheme._replace(norm=None), diagonal))


def by_diagonal(prediction, truth, mask, scheme: Scheme, diagonal):
    """Return the NME by the diagonal of the box of the labelled points; by the image's where that has no length.

    Args:
        prediction: [..., points, 2], in the frame of the truth.
        truth: [..., points, 2], the label.
        mask: bool[..., points], the labelled points.
        scheme: says which two points are the norm.
        diagonal: [...], of the images, in the same frame.

    Returns:
        [...], a fraction.
    """
    across = diagonal_norm(truth, mask)
    return nme(prediction, truth, mask, np.where(across > ZERO * diagonal, across, diagonal))


# What is reported of each image: functions of prediction and truth [..., points, 2], mask [..., points], the scheme and the
# images' diagonals [...], whose means, intervals and comparisons the report has by these names.
METRICS = {"nme": by_norm, "nme_box": by_box, "nme_diagonal": by_diagonal}
