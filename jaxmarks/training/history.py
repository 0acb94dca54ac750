"""Image history: what training did to each image, from the log (`log.read_examples`) and the order of draws. NumPy."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxmarks import keys


class Seen(NamedTuple):
    """Every draw of some steps, in order; arrays of one length."""

    step: np.ndarray  # i64
    place: np.ndarray  # i64  in the batch
    draw: np.ndarray  # i64[n, 2]  (epoch, position)
    index: np.ndarray  # i64  which image of the training split
    loss: np.ndarray  # f32
    kept: np.ndarray  # bool
    worst: (
        np.ndarray
    )  # bool  left out as one of the batch's largest losses; neither: as one of its smallest, or unlabelled


def seen(rows: np.ndarray, order: Callable[[int], np.ndarray], length: int, first: int = 0) -> Seen:
    """Return every draw of some steps, in order.

    Args:
        rows: of `log.read_examples`, those of the steps first, first + 1, ...
        order: `keys.ordering` of the run.
        length: of its training split.
        first: the first step.

    Returns:
        a row for each draw.
    """
    batch = rows["each"].shape[1]
    draws = keys.draws(first * batch, len(rows) * batch, length)
    index = np.empty(len(draws), np.int64)
    for epoch in np.unique(draws[:, 0]):
        there = draws[:, 0] == epoch
        index[there] = order(int(epoch))[draws[there, 1]]
    kept = rows["kept"].astype(bool)
    highest = np.where(kept, rows["each"], -np.inf).max(1, initial=-np.inf)
    worst = ~kept & (rows["each"] >= highest[:, None]) & kept.any(1, keepdims=True)
    steps = np.repeat(first + np.arange(len(rows)), batch)
    places = np.tile(np.arange(batch), len(rows))
    return Seen(steps, places, draws, index, rows["each"].ravel(), kept.ravel(), worst.ravel())


def per_image(found: Seen, length: int) -> dict[str, np.ndarray]:
    """Return what training did to each image.

    Args:
        found: of `seen`.
        length: of the training split.

    Returns:
        [length] each: how often an image was "seen", left out as too hard ("worst") and as too "easy", its "mean_loss",
        and the "last_loss", when it was last seen; NaN where it never was.
    """
    seen_times = np.bincount(found.index, minlength=length)
    total = np.bincount(found.index, found.loss.astype(np.float64), minlength=length)
    last = np.full(length, np.nan)
    last[found.index] = found.loss  # of several, NumPy keeps the last
    return {
        "seen": seen_times,
        "worst": np.bincount(found.index, found.worst, minlength=length).astype(int),
        "easy": np.bincount(found.index, ~found.kept & ~found.worst, minlength=length).astype(int),
        "mean_loss": np.where(seen_times > 0, total / np.maximum(seen_times, 1), np.nan),
        "last_loss": last,
    }


def hardest(found: Seen, count: int) -> np.ndarray:
    """Return the different images whose latest loss in these draws is largest.

    Args:
        found: of `seen`.
        count: at most so many.

    Returns:
        i[count], the largest first.
    """
    index, latest = np.unique(found.index[::-1], return_index=True)
    loss = found.loss[::-1][latest]
    return index[np.argsort(-loss, kind="stable")[:count]]
