"""Reliability of expected errors: rank correlation with the true errors, coverage and reliability curve.

expected and error f64[n, points] in one unit (pixels of the image), mask bool[n, points] of what is labelled. A point
counts where it is labelled and its expected error is finite.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmarks.evaluation import bootstrap

BINS = 10
SHARE = 0.1  # of the points that are left out, those with the largest expected error
_WORK, _LEAST = 50_000_000, 200  # points times resamples, beyond which there are fewer resamples, but not so few


class Curve(NamedTuple):
    """Points in bins of equal number by their expected error, the smallest first."""

    expected: np.ndarray  # f64[bins]  mean
    error: np.ndarray  # f64[bins]  mean true error
    count: np.ndarray  # i64[bins]


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean of the finite values; NaN without any."""
    known = np.isfinite(values)
    total = weights[known].sum()
    return float(values[known] @ weights[known] / total) if total > 0 else np.nan


def _ranks(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """ranks(weights f64[n]) -> f64[n]: of values f64[n] each there `weights` times; equal ones share their mean rank."""
    distinct, place = np.unique(values, return_inverse=True)

    def ranks(weights: np.ndarray) -> np.ndarray:
        each = np.bincount(place, weights, len(distinct))
        return (np.cumsum(each) - each / 2)[place]

    return ranks


def _spearman(a: np.ndarray, b: np.ndarray) -> Callable[[np.ndarray], float]:
    """rho(weights f64[n]): Spearman's correlation of a and b, each pair there `weights` times; NaN where one is constant."""
    first, second = _ranks(a), _ranks(b)

    def rho(weights: np.ndarray) -> float:
        if not weights.any():
            return np.nan
        centred = [r - np.average(r, weights=weights) for r in (first(weights), second(weights))]
        x, y = (np.sum(weights * c**2) for c in centred)
        return float(np.sum(weights * centred[0] * centred[1]) / np.sqrt(x * y)) if x * y > 0 else np.nan

    return rho


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation of the pairs that are both finite.

    Args:
        a: f64[n].
        b: f64[n].

    Returns:
        -1..1; NaN where one is constant, or no pair is finite.
    """
    both = np.isfinite(a) & np.isfinite(b)
    return _spearman(a[both], b[both])(np.ones(both.sum())) if both.any() else np.nan


def within_images(expected: np.ndarray, error: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation over the points of each image.

    Args:
        expected: f64[n, points], expected errors.
        error: f64[n, points], true errors.
        mask: bool[n, points], the labelled points.

    Returns:
        f64[n]; NaN where an image has fewer than three points that count.
    """
    used = mask & np.isfinite(expected)
    rows = zip(expected, error, used, strict=True)
    return np.array([spearman(e[u], t[u]) if u.sum() >= 3 else np.nan for e, t, u in rows])


def confidence(expected: np.ndarray, mask: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the NME that each image is expected to have.

    Args:
        expected: f64[n, points], expected errors.
        mask: bool[n, points], the points that may count.
        scale: f64[n], the face's norm, in the same unit.

    Returns:
        f64[n], the mean expected error over the norm; NaN where no point counts.
    """
    used = mask & np.isfinite(expected)
    count = used.sum(1)
    return np.where(count > 0, np.where(used, expected, 0).sum(1) / count.clip(1) / scale, np.nan)


def curve(expected: np.ndarray, error: np.ndarray, mask: np.ndarray, bins: int = BINS) -> Curve:
    """Return the reliability curve: mean expected against mean true error, in bins of equal number by expected error.

    Args:
        expected: f64[n, points], expected errors.
        error: f64[n, points], true errors.
        mask: bool[n, points], the labelled points.
        bins: at most so many; fewer where there are fewer points.

    Returns:
        the curve, the smallest expected errors first.
    """
    used = mask & np.isfinite(expected)
    order = np.argsort(expected[used], kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    e, t = expected[used], error[used]
    return Curve(
        *(np.array(a) for a in ([e[p].mean() for p in parts], [t[p].mean() for p in parts], [len(p) for p in parts]))
    )


def _kept(key: np.ndarray, share: float) -> Callable[[np.ndarray], np.ndarray]:
    """kept(weights f64[n]) -> bool[n]: all but the `share` with the largest key f64[n], each there `weights` times."""
    order = np.argsort(key, kind="stable")

    def kept(weights: np.ndarray) -> np.ndarray:
        below, result = np.cumsum(weights[order]), np.empty(len(order), bool)
        result[order] = below <= below[-1] - np.floor(share * below[-1])
        return result

    return kept


def _fall(
    expected: np.ndarray, error: np.ndarray, mask: np.ndarray, scale: np.ndarray, share: float
) -> Callable[[np.ndarray], tuple[float, float]]:
    """(NME over the points that count, and over what is left of them without the `share` whose expected error is the
    largest for the size of their face), of all images' points together, by weights f64[n]: each image there so many times.

    scale f64[n]: the face's norm, above 0. An image that keeps no point counts no more. NaN where no point counts.
    """
    used = mask & np.isfinite(expected)
    of, _ = np.nonzero(used)
    relative, kept = (error / scale[:, None])[used], _kept((expected / scale[:, None])[used], share)

    def nme(weights: np.ndarray, chosen: np.ndarray) -> float:
        count = np.bincount(of, chosen, len(mask))
        each = np.bincount(of, relative * chosen, len(mask)) / count.clip(1)
        return _mean(np.where(count > 0, each, np.nan), weights)

    return lambda weights: (nme(weights, np.ones(len(of))), nme(weights, kept(weights[of]).astype(np.float64)))


def covered(error: np.ndarray, mask: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many points of each image lie within their radius, and how many count.

    Args:
        error: f64[n, points], true errors.
        mask: bool[n, points], the labelled points.
        radius: f64[n, points], in the same unit; not finite: the point does not count.

    Returns:
        i64[n] twice.
    """
    used = mask & np.isfinite(radius)
    return np.sum(used & (error <= radius), 1), used.sum(1)


def report(
    expected: np.ndarray,
    error: np.ndarray,
    mask: np.ndarray,
    scale: np.ndarray,
    groups: np.ndarray,
    radii: Mapping[float, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Return the section "expected" of a report, as plain data.

    Args:
        expected: f64[n, points], expected errors.
        error: f64[n, points], true errors.
        mask: bool[n, points], the labelled points.
        scale: f64[n], the face's norm; an image where it is 0 does not count.
        groups: [n], of each image, for the 95 % bootstrap "intervals" of the numbers.
        radii: for levels in 0..1, f64[n, points] within which so large a share of the errors should lie; each gives a
            coverage.

    Returns:
        empty where no point has a finite expected error. "fall": by how many percent NME falls without the worst
        points; "fall_at_most": without those truly the worst.
    """
    used = mask & np.isfinite(expected) & (scale > 0)[:, None]
    if not (count := int(used.sum())):
        return {}
    numbers = _numbers(expected, error, used, scale.clip(1e-9), radii or {})
    once = numbers(np.ones(len(mask)))
    many = int(np.clip(_WORK // count, _LEAST, bootstrap.RESAMPLES))
    samples = bootstrap.repeated(lambda w: list(numbers(w).values()), groups, many)
    return {
        "points": count,
        **{name: value if np.isfinite(value) else None for name, value in once.items()},
        "curve": {name: values.tolist() for name, values in curve(expected, error, mask)._asdict().items()},
        "intervals": {name: bootstrap.interval(column) for name, column in zip(once, samples.T, strict=True)},
    }


def _numbers(
    expected: np.ndarray, error: np.ndarray, used: np.ndarray, scale: np.ndarray, radii: Mapping[float, np.ndarray]
) -> Callable[[np.ndarray], dict[str, float]]:
    """numbers(weights f64[n]) -> name -> number, with each image there `weights` times."""
    of, faces = np.nonzero(used)[0], used.any(1)
    fall, best = (_fall(key, error, used, scale, SHARE) for key in (expected, np.where(used, error, np.nan)))
    nme = np.where(used, error, 0).sum(1) / used.sum(1).clip(1) / scale
    points, within = _spearman(expected[used], error[used]), within_images(expected, error, used)
    whole = _spearman(confidence(expected, used, scale)[faces], nme[faces])
    counts = {f"coverage_{level:g}": covered(error, used, radius) for level, radius in radii.items()}

    def numbers(weights: np.ndarray) -> dict[str, float]:
        (before, after), (_, least) = fall(weights), best(weights)
        return {
            "spearman_points": points(weights[of]),
            "spearman_within": _mean(within, weights),
            "spearman_photographs": whole(weights[faces]),
            "nme_without": after,
            "fall": 100 * (1 - after / before) if before else np.nan,
            "fall_at_most": 100 * (1 - least / before) if before else np.nan,
            **{name: _mean(i / n.clip(1), weights * n) for name, (i, n) in counts.items()},
        }

    return numbers
