"""One sitting of a run: blocks of steps, the log, validations and checkpoints, in the one order that loses nothing.

A line is written before the checkpoint that counts it; what is written after the newest checkpoint is cut off by the
next sitting and written again, the same.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import checkpoint, runlog, train
from jaxmarks.assemble import Assembly
from jaxmarks.types import Batch, State

_ANCHORS, _APART = 10, 100  # about so many checkpoints stay for replays, so many steps apart or more


class Event(NamedTuple):
    """What a person may want to know after a block."""

    state: State
    step: int
    train: dict[str, float]  # of the steps since the last line of the log
    val: dict[str, float]  # empty where none was due
    images_per_second: float
    waiting: float  # share of the time spent waiting for data
    saved: bool


class NotFiniteError(ValueError):
    """A step's loss or gradient was not a finite number."""


def _summary(rows: np.ndarray) -> dict[str, float]:
    """One line of the log from the rows of its steps: means, and the last step's rate."""
    means = {name: float(np.mean(rows[name], dtype=np.float64)) for name in ("loss", "nme", "grad_norm")}
    kept = float(np.mean(rows["kept"], dtype=np.float64))
    return {**means, "kept": kept, "lr": float(rows["lr"][-1])}


def sit(
    root: Path,
    a: Assembly,
    state: State,
    offsets: dict[str, int] | None,
    take_step: Callable,
    batches: Iterator[Batch],
    validate: Callable[[State], dict[str, float]],
    stop: Callable[[], bool],
) -> Iterator[Event]:
    """Trains from state.step to the end or until `stop()`, yielding after each block; a checkpoint is the last thing done.

    `offsets` are those of the checkpoint that `state` is from, None for a new run. `validate` gives metrics with "nme";
    an empty dict where there is nothing to validate on. Raises NotFiniteError at the log step after a step that was not,
    and what `batches` or `validate` raises (ValueError, OSError) once all steps before it are saved.
    """
    with contextlib.closing(runlog.RunLog(root, a.config.batch, int(state.step), offsets)) as log:
        yield from _sit(root, a, state, offsets is None, take_step, batches, validate, stop, log)


def _sit(root, a, state, new, take_step, batches, validate, stop, log) -> Iterator[Event]:
    every, val_every = a.config.log_every, a.config.val_every or a.steps_per_epoch
    anchors = max(a.steps // _ANCHORS, _APART)
    lowest = min((c.nme for c in checkpoint.commits(root) if c.nme is not None), default=np.inf)
    if new:
        checkpoint.save(root, state, None, log.commit())
    saved_at, saved_step, failed = time.monotonic(), int(state.step), None
    blocks = train.blocks(take_step, state, batches, (every, val_every, anchors), a.steps, stop)
    while True:
        try:
            block = next(blocks, None)
        except (ValueError, OSError) as error:  # no batch can be had: what was trained is not lost
            block, failed = None, error
        if block is None:
            break
        state, step = block.state, block.first + len(block.record.loss)
        log.steps(block.record)
        rows = log.window((step - 1) // every * every, step)
        summary, val = _summary(rows), {}
        images = len(block.record.loss) * a.config.batch / block.seconds
        if step % every == 0 or step == a.steps:
            log.metrics(step, "train", summary)
            log.timing(step, {"images_per_second": images, "waiting": block.waited / block.seconds})
        if (bad := int(state.bad_step)) >= 0:
            raise NotFiniteError(
                f"step {bad} gave a loss that is not finite; scripts/replay.py --run {root} --step {bad} shows its batch"
            )
        if step % val_every == 0 or step == a.steps:
            try:
                val = validate(state)
            except (ValueError, OSError):  # no photograph to validate on can be had
                checkpoint.save(root, state, None, log.commit())
                raise
            if val:
                log.metrics(step, "val", val)
        better = val.get("nme", np.inf) < lowest
        anchor = step % anchors == 0
        done = better or anchor or step == a.steps or time.monotonic() - saved_at > 60 * a.config.save_minutes
        if done:
            checkpoint.save(root, state, val.get("nme"), log.commit(), anchor=anchor)
            lowest, saved_at, saved_step = min(lowest, val.get("nme", np.inf)), time.monotonic(), step
        yield Event(state, step, summary, val, images, block.waited / block.seconds, done)
    if int(state.step) != saved_step:
        checkpoint.save(root, state, None, log.commit())
    if failed is not None:
        raise failed


def describe(event: Event) -> str:
    """The event on one line of a terminal."""
    text = f"loss {event.train['loss']:.3f}  nme {event.train['nme']:.4f}  lr {event.train['lr']:.1e}"
    val = f"  val nme {event.val['nme']:.4f}" if event.val else ""
    return f"{text}{val}  {event.images_per_second:.1f} images/s  data {event.waiting:.0%}"
