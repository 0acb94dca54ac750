"""Calibration: expected errors of predictions without ground truth, and their confidence.

The expected error of point p of an image is a_p * size + b * spread, both terms 0 or more: a_p what the point is
usually missed by, as a share of the predicted face's size; spread how far the views disagree on it. Quantiles are by split
conformal prediction over groups: each group's ratios of true and expected error are taken under a fit to the others.
Sources: Vovk, Gammerman, Shafer 2005; Barber et al. 2021 (cross-conformal, jackknife+).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmarks import landmarks, words
from jaxmarks.evaluation import metrics

LEAST = 20  # images to calibrate on
LEVELS = (0.5, 0.8, 0.9, 0.95)
_FOLDS = 5
_SHRUNK = 20.0  # images for which all points together count in what one point is usually missed by


class Calibration(NamedTuple):
    """Parameters of the expected errors."""

    usual: np.ndarray  # f64[points]  a, as a share of the face's size
    spread: float  # b
    ratios: np.ndarray  # f64[levels]  of true over expected error, at LEVELS, for a point
    images: np.ndarray  # f64[n], sorted: true NME over the expected, of each image calibrated on


def size_of(points: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """Return the size of faces from their points alone: the root of the area of their box.

    Args:
        points: f[n, points, 2].
        diagonal: f64[n], of the images in the same unit; it stands in where a box has no area, as of a single point.

    Returns:
        f64[n], in the unit of the points.
    """
    every = np.ones(points.shape[:-1], bool)
    return metrics.norm(points, every, landmarks.scheme(points.shape[-2])._replace(norm=None), diagonal)


def expected(c: Calibration, points: np.ndarray, spread: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """Return the expected error of predictions.

    Args:
        c: the calibration.
        points: f[n, points, 2], the predictions.
        spread: f[n, points], of the views, in the same unit.
        diagonal: f64[n], of the images, in the same unit.

    Returns:
        f64[n, points], in that unit; NaN where there is no prediction, or no view was valid.
    """
    return _expected(c.usual, c.spread, size_of(points, diagonal), spread)


def _expected(usual: np.ndarray, slope: float, size: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return usual * size[:, None] + slope * spread


def confidence(c: Calibration, expected_nme: np.ndarray, limit: float) -> np.ndarray:
    """Return how likely each image's NME is at most a limit.

    The share of the calibrating images, and one that is not known, whose NME would be, had it been expected as this
    one's is (split conformal: a new image keeps to it at least as often).

    Args:
        c: the calibration.
        expected_nme: f64[n].
        limit: an NME.

    Returns:
        f64[n] in 0..1, never 1; 0 where nothing is expected (NaN).
    """
    ratio = np.where(np.isfinite(expected_nme), limit / np.maximum(expected_nme, 1e-12), -1.0)
    return np.searchsorted(c.images, ratio, side="right") / (len(c.images) + 1)


def fit(
    points: np.ndarray,
    spread: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    norm: np.ndarray,
    diagonal: np.ndarray,
    groups: Sequence[str],
) -> Calibration:
    """Return the calibration of predictions with known truth.

    Points that were not predicted are left out. All lengths in one frame.

    Args:
        points: f[n, points, 2], the predictions.
        spread: f[n, points], of the views.
        truth: f[n, points, 2].
        mask: bool[n, points], the labelled points.
        norm: f[n], above 0, what each NME divides by.
        diagonal: f[n], of the images.
        groups: one for each image; images that may be alike share it.

    Returns:
        the calibration.

    Raises:
        ValueError: where fewer than LEAST images are labelled, or all are of one group.
    """
    error, size = metrics.distances(points, truth), size_of(points, diagonal)
    seen = mask & np.isfinite(error) & np.isfinite(spread) & np.isfinite(size)[:, None]
    labelled = seen.any(1)
    names = sorted({g for g, known in zip(groups, labelled, strict=True) if known})
    if labelled.sum() < LEAST or len(names) < 2:
        raise ValueError(
            f"{words.counted(labelled.sum(), 'labelled image')} of {words.counted(len(names), 'group')} are too"
            " few to calibrate expected errors on:"
            f" {LEAST} of 2 groups are needed; validate on more (`val_fraction`)"
        )
    fold_of = {name: n % min(_FOLDS, len(names)) for n, name in enumerate(names)}
    folds = np.array([fold_of.get(g, -1) for g in groups])
    apart = np.full(error.shape, np.nan)  # expected by a fit to the other groups
    for fold in sorted(set(fold_of.values())):
        inside, outside = folds == fold, (folds != fold) & labelled
        usual, slope = _fit(error[outside], size[outside], spread[outside], seen[outside])
        apart[inside] = _expected(usual, slope, size[inside], spread[inside])
    usual, slope = _fit(error[labelled], size[labelled], spread[labelled], seen[labelled])
    nme = np.where(seen, error, 0).sum(1)[labelled] / seen.sum(1)[labelled] / norm[labelled]
    expected_nme = np.where(seen, apart, 0).sum(1)[labelled] / seen.sum(1)[labelled] / norm[labelled]
    return Calibration(
        usual, slope, _quantiles(error / np.maximum(apart, 1e-12), seen), np.sort(nme / np.maximum(expected_nme, 1e-12))
    )


def _fit(error: np.ndarray, size: np.ndarray, spread: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, float]:
    """(a f64[points], b) by least squares on errors over the face's size, both 0 or more; a is drawn to its mean over the
    points where few images have the point."""
    share, apart = (np.where(seen, v / size[:, None], 0) for v in (error, spread))
    count = np.maximum(seen.sum(0), 1)
    mean_share, mean_apart = share.sum(0) / count, apart.sum(0) / count
    loose = np.where(seen, apart - mean_apart, 0)
    slope = max(float((loose * share).sum() / max((loose**2).sum(), 1e-30)), 0.0)
    rest, total = mean_share - slope * mean_apart, np.maximum(seen.sum(), 1)
    pooled = (share.sum() - slope * apart.sum()) / total
    return np.maximum((count * rest + _SHRUNK * pooled) / (count + _SHRUNK), 0), slope


def _quantiles(ratio: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """f64[levels]: the ratio below which a share LEVELS of points lies, each image with the same weight; one more
    image, infinitely bad, is counted among them (split conformal's finite-sample correction)."""
    weight = (seen / np.maximum(seen.sum(1, keepdims=True), 1))[seen]
    order = np.argsort(ratio[seen])
    reached = np.cumsum(weight[order]) / (seen.any(1).sum() + 1)
    places = np.minimum(np.searchsorted(reached, LEVELS), len(order) - 1)
    return ratio[seen][order][places]


def to_data(c: Calibration) -> dict[str, Any]:
    """Return the calibration as plain data.

    Args:
        c: the calibration.

    Returns:
        its fields, arrays as lists, ratios by their level.
    """
    levels = {f"{level:g}": float(v) for level, v in zip(LEVELS, c.ratios, strict=True)}
    return {"usual": c.usual.tolist(), "spread": c.spread, "ratios": levels, "photographs": c.images.tolist()}


def from_data(data: dict[str, Any]) -> Calibration:
    """Return the calibration that `to_data` wrote.

    Args:
        data: of `to_data`.

    Returns:
        the calibration.
    """
    ratios = np.array([data["ratios"][f"{level:g}"] for level in LEVELS])
    return Calibration(np.array(data["usual"]), data["spread"], ratios, np.array(data["photographs"]))
