"""Replay: repeat training steps and compare them with the log. From states and iterators to values."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jaxmarks.training import log, step
from jaxmarks.types import Batch, State


class Replayed(NamedTuple):
    """One step taken again."""

    step: int
    found: np.ndarray  # a row of examples.bin
    logged: np.ndarray
    differ: list[str]  # fields that are not bit for bit what was logged


TOLERANCE = 1e-3  # of a step's numbers where the same bits are not to be had


def replayed(
    take_step: Callable,
    state: State,
    batches: Iterator[Batch],
    logged: np.ndarray,
    first: int,
    last: int,
    tolerance: float = 0.0,
) -> Iterator[Replayed]:
    """Take steps again and compare them with the log.

    Loss, NME, gradient norm, rate, checksum and every example's loss are compared bit for bit: promised for the same
    code, versions, devices, cores and flags.

    Args:
        take_step: step(state, batch) -> (state, record).
        state: where the steps begin.
        batches: from step state.step on, on the devices.
        logged: rows of the run, of `log.read_examples`.
        first: the first step that is compared.
        last: the last step.
        tolerance: a relative one, of all but the checksum, for devices that sum in any order; 0: bit for bit.

    Yields:
        each of the steps first .. last.
    """
    for number in range(int(state.step), last + 1):
        state, record = take_step(state, next(batches))
        if number >= first:
            row = log.rows(step.stack([record]), logged.dtype)[0]
            names = logged.dtype.names or ()
            differ = [name for name in names if not _equal(row[name], logged[number][name], tolerance)]
            yield Replayed(number, row, logged[number], differ)


def _equal(found: np.ndarray, logged: np.ndarray, tolerance: float) -> bool:
    if tolerance and found.dtype.kind == "f":
        return bool(
            np.allclose(found, logged, rtol=tolerance, atol=tolerance * float(np.max(np.abs(logged))), equal_nan=True)
        )
    return found.tobytes() == logged.tobytes()


def describe(r: Replayed, tolerance: float = 0.0) -> str:
    """Return a step in one line.

    Args:
        r: of `replayed`.
        tolerance: what it was compared with.

    Returns:
        the line.
    """
    found = f"loss {r.found['loss']:.6g}, gradient {r.found['grad_norm']:.6g}, {r.found['checksum']:08x}"
    logged = f"loss {r.logged['loss']:.6g}, gradient {r.logged['grad_norm']:.6g}, {r.logged['checksum']:08x}"
    same = f"equal within {tolerance:g}" if tolerance else "equal, bit for bit"
    said = f"DIFFERENT in {', '.join(r.differ)} (logged: {logged})" if r.differ else same
    return f"step {r.step}: {found}: {said}"
