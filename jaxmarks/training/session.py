"""Training session: blocks of steps, log, validations and checkpoints, in the order that loses nothing.

A line is written before the checkpoint that counts it; what is written after the newest checkpoint is cut off by the
next session and written again, the same.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import processes
from jaxmarks.evaluation import summary
from jaxmarks.experiment import Experiment
from jaxmarks.training import checkpoint, loop, optimizer
from jaxmarks.training.log import RunLog
from jaxmarks.types import Batch, State

_WAITS = 0.05  # of the time: from where on what is waited for is named
_ANCHORS, _APART = 10, 100  # about so many checkpoints stay for replays, so many steps apart or more


class Event(NamedTuple):
    """The numbers of a block that a person may want to know."""

    state: State
    step: int
    train: dict[str, float]  # of the steps since the last line of the log
    val: dict[str, float]  # empty where none was due
    images_per_second: float
    waiting: float  # share of the time spent waiting for data
    spent: dict[str, float]  # seconds an image that making the data took, by what was done
    saved: bool


class NotFiniteError(ValueError):
    """A step's loss or gradient was not a finite number."""


# judge(state, rows of the log since the last validation, the first one's step) -> its numbers and images; without rows in
# the processes that keep no log
Judge = Callable[[State, np.ndarray | None, int], summary.Judged]


def _summary(rows: np.ndarray) -> dict[str, float]:
    """One line of the log from the rows of its steps: means, the shares of examples kept and of the summed loss left out,
    and the last step's rate."""
    means = {name: float(np.mean(rows[name], dtype=np.float64)) for name in ("loss", "nme", "grad_norm")}
    kept, each = rows["kept"].astype(bool), rows["each"].astype(np.float64)
    out = float(each[~kept].sum() / max(each.sum(), 1e-30))
    return {**means, "kept": float(np.mean(kept)), "loss_left_out": out, "lr": float(rows["lr"][-1])}


def train(
    root: Path,
    a: Experiment,
    state: State,
    commit: checkpoint.Commit | None,
    take_step: Callable,
    batches: Iterator[Batch],
    judge: Judge,
    stop: Callable[[], bool],
    spent: Callable[[], dict[str, float]] = dict,
) -> Iterator[Event]:
    """Train from state.step to the end or until `stop()`, yielding after each block.

    A checkpoint is the last thing done. Where `stop()` is true after a first step that is due for validation, that step
    is left to the next session.

    Args:
        root: the run folder.
        a: the experiment.
        state: where training begins, on the devices.
        commit: the checkpoint that `state` is from, whose logs are verified; None for a new run.
        take_step: step(state, batch) -> (state, record).
        batches: from step state.step on, on the devices.
        judge: judge(state, rows of the log since the last validation, the first one's step) -> its numbers and images.
        stop: asked before each step.
        spent: asked after a block; the seconds an image that making the data took since it was asked last, by what was
            done. They are logged beside the share of the time spent waiting.

    Yields:
        what a person may want to know after a block.

    Raises:
        NotFiniteError: at the log step after a step whose loss or gradient was not finite.
        ValueError: for logs that `commit` does not count, and what `batches` or `judge` raises, once all steps before
            it are saved.
        OSError: what `batches` or `judge` raises, likewise, and where the disk takes no more.
    """
    val_every, begin, failed = a.config.val_every or a.steps_per_epoch, int(state.step), []
    with _log(root, a, commit) as log:
        processes.in_first(lambda: checkpoint.drop_after(root, begin))
        checkpoints = _Checkpoints(root, a, log, begin)
        if commit is None:
            checkpoints.save(state)
        ends = a.config.log_every, val_every, checkpoints.anchors, a.steps_per_epoch
        for block in _until_failure(loop.blocks(take_step, state, batches, ends, a.steps, stop), failed):
            step, costs = block.first + len(block.record.loss), spent()
            due = step % val_every == 0 or step == a.steps
            if due and step == begin + 1 and processes.agree(int(stop())):
                return  # asked while it compiled: no validation, which would compile as well
            state = block.state
            means = processes.together(partial(_log_block, a, log, block, step, costs))
            _check_finite(state, root)
            val = _validate(log, judge, checkpoints, state, step, val_every) if due else {}
            saved = checkpoints.save_if_due(state, step, val.get("nme"))
            images = len(block.record.loss) * a.config.batch / block.seconds
            yield Event(state, step, means, val, images, block.waited / block.seconds, costs, saved)
        if int(state.step) != checkpoints.step:
            checkpoints.save(state)
    for error in failed:
        raise error


@contextlib.contextmanager
def _log(root: Path, a: Experiment, commit: checkpoint.Commit | None) -> Iterator[RunLog | None]:
    """The open log of a run; None in the processes that write none."""
    log = processes.in_first(lambda: RunLog(root, a.config.batch, commit))
    try:
        yield log
    finally:
        if log is not None:
            log.close()


class _Checkpoints:
    """The checkpoints of a session: at a better validation, at anchors, at the end, and when some minutes have passed."""

    def __init__(self, root: Path, a: Experiment, log: RunLog | None, begin: int):
        self._root, self._log, self._last, self._seconds = root, log, a.steps, 60 * a.config.save_minutes
        self._lowest = min((c.nme for c in checkpoint.commits(root) if c.nme is not None), default=np.inf)
        self.anchors = max(a.steps // _ANCHORS, _APART)  # steps from one to the next
        self.step, self._at = begin, time.monotonic()  # of the newest

    def save(self, state: State, nme: float | None = None, anchor: bool = False) -> None:
        """Save a state with what the log holds."""
        counted = processes.together(lambda: ({}, {}) if self._log is None else self._log.commit())
        checkpoint.save(self._root, state, nme, *counted, anchor=anchor)
        self.step, self._at = int(state.step), time.monotonic()

    def save_if_due(self, state: State, step: int, nme: float | None) -> bool:
        """Save a state where it is time, and return whether it was. nme: of its validation, if there was one."""
        better, anchor = nme is not None and nme < self._lowest, step % self.anchors == 0
        late = processes.agree(int(processes.is_first() and time.monotonic() - self._at > self._seconds))
        if not (better or anchor or step == self._last or late):
            return False
        self.save(state, nme, anchor)
        self._lowest = self._lowest if nme is None else min(self._lowest, nme)
        return True


def _until_failure(blocks: Iterator[loop.Block], failed: list[Exception]) -> Iterator[loop.Block]:
    """Yield blocks until no batch can be had: what was trained is not lost, and the error waits in `failed`."""
    try:
        yield from blocks
    except (ValueError, OSError) as error:
        failed.append(error)


def _check_finite(state: State, root: Path) -> None:
    if (bad := int(state.bad_step)) >= 0:
        raise NotFiniteError(
            f"step {bad} gave a loss that is not finite; scripts/replay.py --run {root} --step {bad} shows its batch"
        )


def _log_block(
    a: Experiment, log: RunLog | None, block: loop.Block, step: int, costs: dict[str, float]
) -> dict[str, float]:
    """Write a block down, with the line of the log and the epoch's means where they are due; the summary so far."""
    every, seconds = a.config.log_every, block.seconds
    if log is None:
        return {}
    log.steps(block.first, block.record)
    summary = _summary(log.window((step - 1) // every * every, step))
    if step % every == 0 or step == a.steps:
        summary["weight_norm"] = float(optimizer.weight_norm(block.state.params))
        log.metrics(step, "train", summary)
        images = len(block.record.loss) * a.config.batch / seconds
        log.timing(step, {"images_per_second": images, "waiting": block.waited / seconds, **costs})
    if step % a.steps_per_epoch == 0:
        means = _summary(log.window(step - a.steps_per_epoch, step))
        log.epoch(step, {name: means[name] for name in ("loss", "nme", "loss_left_out")})
    return summary


def _validate(
    log: RunLog | None, judge: Judge, checkpoints: _Checkpoints, state: State, step: int, val_every: int
) -> dict[str, float]:
    """Validate and log what was found; where no image to validate on can be had, the state is saved first."""
    first = max((step - 1) // val_every * val_every, 0)
    try:
        found = judge(state, None if log is None else log.window(first, step), first)
        if log is not None:
            _log_judged(log, step, found)
    except (ValueError, OSError):
        checkpoints.save(state)
        raise
    return found.metrics


def _log_judged(log: RunLog, step: int, found: summary.Judged) -> None:
    if found.metrics:
        log.metrics(step, "val", found.metrics)
    for name, image in found.images.items():
        log.image(step, name, image)


def describe(event: Event) -> str:
    """Return an event on one line of a terminal.

    Args:
        event: of `train`.

    Returns:
        the line, without its end.
    """
    text = f"loss {event.train['loss']:.3f}  nme {event.train['nme']:.4f}  lr {event.train['lr']:.1e}"
    val = f"  val nme {event.val['nme']:.4f}" if event.val else ""
    val += "".join(
        f"  {name.removeprefix('nme_')} {value:.4f}" for name, value in event.val.items() if name.startswith("nme_set")
    )
    if by_labels := event.val.get("cropped_by_labels"):
        val += f" ({by_labels:.0%} in crops by labels)"
    cause = f" ({max(event.spent, key=event.spent.__getitem__)})" if event.spent and event.waiting >= _WAITS else ""
    return f"{text}{val}  {event.images_per_second:.1f} images/s  data {event.waiting:.0%}{cause}"
