"""Analysis of a learning-rate sweep: smoothed loss, and the rates at which it falls.

In a sweep up, the loss falls, stops falling and blows up, so that what is too much is seen at the end (Smith 2017,
"Cyclical learning rates", section 3.3). In a sweep down it may blow up first and then falls as long as training goes on,
so that its level says little of a rate: what counts is where in the sweep the fall was made.
"""

import itertools
from typing import NamedTuple

import numpy as np

LEAST = 20  # steps of a sweep that says anything
_WIDTH = 20  # the smoothing's weights fall by e over one so-manieth of the sweep
_PART = 0.1  # of the whole fall: before it is made, and after all but it is made, a rate does not count
_FALL, _SURE = 0.02, 5.0  # the least fall, of log loss: at all, and in standard errors of the smoothed loss


class Suggestion(NamedTuple):
    """Learning rates: where to begin, and the range about it."""

    low: float
    high: float
    best: float


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Return the exponential average of log loss, taken forwards and backwards so that it does not lag.

    Its weights fall by e over a twentieth of the steps, and are divided by their sum, which corrects the ends. Averaged
    as logarithms, one wild batch counts little.

    Args:
        losses: [steps], 0 or more; a loss of 0 (a batch without labels) counts nothing.

    Returns:
        f64[steps], as losses, not as their logarithms.

    Raises:
        ValueError: where no loss is above 0, or one is below or not finite.
    """
    losses = _checked(losses)
    counts = losses > 0
    logs = np.log(losses, where=counts, out=np.zeros(len(losses)))
    return np.exp(_both_ways(logs) / _both_ways(counts.astype(np.float64)))


def _checked(losses: np.ndarray) -> np.ndarray:
    losses = np.asarray(losses, np.float64)
    if losses.ndim != 1 or not np.isfinite(losses).all() or (losses < 0).any() or not losses.any():
        raise ValueError("the losses of a sweep must be a list of finite numbers, not below 0 and not all 0")
    return losses


def _beta(steps: int) -> float:
    return float(np.exp(-_WIDTH / steps))


def _both_ways(values: np.ndarray) -> np.ndarray:
    """f64[n]: at i the sum over j of beta^|i - j| values[j]."""
    beta = _beta(len(values))

    def forwards(row):
        return np.array(list(itertools.accumulate(row, lambda total, value: beta * total + value)))

    return forwards(values) + forwards(values[::-1])[::-1] - values


def suggested(rates: np.ndarray, losses: np.ndarray) -> Suggestion | None:
    """Return the rates that a sweep speaks for.

    The fall is of the log of the smoothed loss, from what it was before training to its lowest. The range begins where
    a tenth of it is made; so a blow-up at the top of a sweep down, and the way back from it, do not count. Up, it ends
    at the lowest loss; down, where nine tenths are made, since small steps after large ones always gain a little. The
    best rate is two thirds of the way through the range, in steps, as in fastai's `valley`: past the fall that any rate
    would give.

    Args:
        rates: f64[steps], up or down, in the order of the steps.
        losses: f64[steps], likewise.

    Returns:
        the range and the best rate; None where the loss did not fall by more than its noise, or there are fewer than 20
        steps.

    Raises:
        ValueError: where the rates are not above 0 and strictly rising or falling, the two differ in length, or the
            losses are none that `smoothed` takes.
    """
    rates, losses = np.asarray(rates, np.float64), _checked(losses)
    ways = np.unique(np.sign(np.diff(rates)))
    if rates.shape != losses.shape or not (rates > 0).all() or len(ways) > 1 or 0 in ways:
        raise ValueError("the rates of a sweep must be above 0, strictly rising or falling, one for each loss")
    if len(rates) < LEAST:
        return None
    average = smoothed(losses)
    begin = min(average[0], losses[0]) if losses[0] > 0 else average[0]
    fallen = np.maximum.accumulate(np.log(begin / average))
    if fallen[-1] <= max(_FALL, _SURE * _error(losses, average)):
        return None

    def reached(part: float) -> int:
        return int(np.argmax(fallen >= part * fallen[-1]))

    first, last = reached(_PART), int(np.argmin(average)) if ways[0] > 0 else reached(1 - _PART)
    best = round(first + 2 / 3 * (last - first))
    low, high = sorted((rates[first], rates[last]))
    return Suggestion(float(low), float(high), float(rates[best]))


def _error(losses: np.ndarray, average: np.ndarray) -> float:
    """The standard error of the smoothed log loss: the noise of a step, robustly, over the root of how many it averages."""
    counts, beta = losses > 0, _beta(len(losses))
    noise = 1.4826 * np.median(np.abs(np.log(losses[counts] / average[counts])))
    return float(noise * np.sqrt((1 - beta) / (1 + beta)))


def short(rate: float) -> str:
    """Return a rate as a person writes it, of two digits, as 3e-3.

    Args:
        rate: above 0.

    Returns:
        the text.
    """
    digits, exponent = f"{rate:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"
