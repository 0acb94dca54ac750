"""Training loop: batches in, blocks of finished steps out, without files."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax

from jaxmarks import backend
from jaxmarks.training import step as steps
from jaxmarks.types import Batch, Record, State


class Block(NamedTuple):
    """The steps first .. first + len(record.loss) - 1, done, and the state after them."""

    state: State
    first: int
    record: Record  # on the host, a leading axis of steps
    seconds: float
    waited: float  # seconds of these spent waiting for data


def due(step: int, ends: tuple[int, ...], until: int) -> int:
    """Return the next step at which something is due: a multiple of one of `ends`, or the end.

    Args:
        step: steps taken.
        ends: intervals in steps.
        until: where training ends.

    Returns:
        a number of steps, more than `step` and at most `until`.
    """
    return min([until, *((step // every + 1) * every for every in ends)])


def blocks(
    take_step: Callable,
    state: State,
    batches: Iterator[Batch],
    ends: tuple[int, ...],
    until: int,
    stop: Callable[[], bool],
) -> Iterator[Block]:
    """Train from state.step on, yielding at every multiple of one of `ends` and at the end.

    Nothing is fetched from the device in between. Steps are dispatched as they are taken, not far ahead: when `stop` turns
    true the current step is the last on a CPU; an accelerator has the next one waiting, and takes that too.

    Args:
        take_step: step(state, batch) -> (state, record).
        state: where training begins.
        batches: from step state.step on, on the devices.
        ends: intervals in steps.
        until: where training ends.
        stop: asked before each step; when it turns true the block ends early and is the last.

    Yields:
        the steps done since the last block, and the state after them.

    Raises:
        ValueError: where no batch can be had, once the steps before it were yielded.
        OSError: likewise.
    """
    at, failed, dispatched = int(state.step), None, 1 if backend.is_cpu() else 2
    while at < until and failed is None and not stop():
        first, end = at, due(at, ends, until)
        records, waited, began = [], 0.0, time.perf_counter()
        while at < end and not stop():
            asked = time.perf_counter()
            try:
                batch = next(batches)
            except (ValueError, OSError) as error:
                failed = error
                break
            waited += time.perf_counter() - asked
            state, record = take_step(state, batch)
            records.append(record)
            at += 1
            jax.block_until_ready(records[-dispatched:][0])
        if records:
            stacked = steps.stack(records)
            yield Block(state, first, stacked, time.perf_counter() - began, waited)
    if failed is not None:
        raise failed
