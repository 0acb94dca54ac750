"""Steps taken again, and held against what the run wrote down. Takes states and iterators, gives values."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jaxmarks import runlog, step
from jaxmarks.types import Batch, State


class Replayed(NamedTuple):
    """One step taken again."""

    step: int
    found: np.ndarray  # a row of examples.bin
    logged: np.ndarray
    differ: list[str]  # fields that are not bit for bit what was logged


def replayed(
    take_step: Callable, state: State, batches: Iterator[Batch], logged: np.ndarray, first: int, last: int
) -> Iterator[Replayed]:
    """Takes the steps state.step .. last again and compares those from `first` on with the rows `logged` of the run.

    batches: from step state.step on, on the devices. Loss, NME, gradient norm, rate, checksum and every example's loss
    are compared bit for bit: promised for the same code, versions, devices, cores and flags.
    """
    for number in range(int(state.step), last + 1):
        state, record = take_step(state, next(batches))
        if number >= first:
            row = runlog.rows(step.stack([record]), logged.dtype)[0]
            differ = [
                name for name in logged.dtype.names or () if row[name].tobytes() != logged[number][name].tobytes()
            ]
            yield Replayed(number, row, logged[number], differ)


def told(r: Replayed) -> str:
    """A step in one line."""
    found = f"loss {r.found['loss']:.6g}, gradient {r.found['grad_norm']:.6g}, {r.found['checksum']:08x}"
    logged = f"loss {r.logged['loss']:.6g}, gradient {r.logged['grad_norm']:.6g}, {r.logged['checksum']:08x}"
    said = f"DIFFERENT in {', '.join(r.differ)} (logged: {logged})" if r.differ else "equal, bit for bit"
    return f"step {r.step}: {found}: {said}"
