"""Percentile bootstrap intervals over groups of images.

A group is drawn with all of its images, so that twenty frames of one person are not taken for twenty people. The
draws follow from a fixed seed and the number of groups alone: numbers of the same images are drawn together, which
is what makes their differences paired.
"""

from collections.abc import Callable, Iterator

import numpy as np

RESAMPLES = 2000
_CHUNK = 1 << 22  # counts that are drawn at a time: some 64 MB


def _counts(groups: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """f64[some, groups]: how often each group is drawn, a row a resample."""
    random, rows = np.random.RandomState(seed), max(1, _CHUNK // groups)
    for first in range(0, resamples, rows):
        picks = random.randint(0, groups, (min(rows, resamples - first), groups))
        places = picks + groups * np.arange(len(picks))[:, None]
        counts = np.bincount(places.ravel(), minlength=places.size)
        yield counts.reshape(places.shape).astype(np.float64)


def means(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the mean of each column in each resample of the groups.

    What is not finite counts nowhere.

    Args:
        values: f64[n, columns], a row for each image.
        groups: [n], the group of each row, of any kind that can be sorted.
        seed: of the draws.

    Returns:
        f64[RESAMPLES, columns]; NaN where a resample has nothing of a column, and throughout where all that is known of
        a column is of one group.
    """
    known = np.isfinite(values)
    names, of = np.unique(groups, return_inverse=True)
    totals = np.zeros((len(names), 2 * values.shape[1]))
    np.add.at(totals, of, np.concatenate([np.where(known, values, 0.0), known], 1))
    drawn = np.concatenate([counts @ totals for counts in _counts(len(names), RESAMPLES, seed)])
    total, size = np.split(drawn, 2, 1)
    size[:, np.count_nonzero(np.split(totals, 2, 1)[1], 0) < 2] = 0
    return np.divide(total, size, out=np.full_like(total, np.nan), where=size > 0)


def repeated(
    statistics: Callable[[np.ndarray], list[float]], groups: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Return the numbers of a statistic in each resample of the groups.

    Args:
        statistics: statistics(weights f64[n]) -> k numbers, where weights say how often each image is drawn.
        groups: [n], the group of each image, of any kind that can be sorted.
        resamples: how many.
        seed: of the draws.

    Returns:
        f64[resamples, k]; NaN, all of them, for a single group.
    """
    names, of = np.unique(groups, return_inverse=True)
    found = [statistics(row[of]) for counts in _counts(len(names), resamples, seed) for row in counts]
    return np.array(found) if len(names) > 1 else np.full_like(np.array(found), np.nan)


def interval(samples: np.ndarray) -> list[float] | None:
    """Return the ends between which the middle 95 % of the finite samples lie.

    Args:
        samples: f64[resamples].

    Returns:
        [low, high]; None where no sample is finite.
    """
    known = samples[np.isfinite(samples)]
    return [float(v) for v in np.percentile(known, [2.5, 97.5])] if len(known) else None
