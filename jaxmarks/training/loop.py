"""Training loop: batches in, blocks of finished steps out, without files."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax

from jaxmarks import backend, processes
from jaxmarks.training import step as steps
from jaxmarks.types import Batch, Record, State

_GO, _STOP, _FAILED = range(3)  # what a process says before a step; the largest counts


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
    at, failed, verdict, dispatched = int(state.step), None, _GO, 1 if backend.is_cpu() else 2
    while at < until and verdict == _GO:
        first, end = at, due(at, ends, until)
        records, waited, began, batch = [], 0.0, time.perf_counter(), None
        while at < end:
            asked = time.perf_counter()
            try:
                own, batch = (_STOP, None) if stop() else (_GO, next(batches))
            except (ValueError, OSError) as error:
                own, failed = _FAILED, error
            waited += time.perf_counter() - asked
            if (verdict := processes.agree(own)) != _GO:  # in several processes all end at the same step
                break
            state, record = take_step(state, batch)
            records.append(record)
            at += 1
            jax.block_until_ready(records[-dispatched:][0])
        if records:
            stacked = steps.stack(records)
            yield Block(state, first, stacked, time.perf_counter() - began, waited)
    if verdict == _FAILED:
        raise failed or ValueError("another process of this run has no batch for its next step, and says why")
