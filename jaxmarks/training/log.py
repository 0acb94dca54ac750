"""Logs of a run: metrics.jsonl, timing.jsonl, examples.bin and TensorBoard.

metrics.jsonl and examples.bin hold deterministic values only; rates and waits go to timing.jsonl and TensorBoard. Each
checkpoint notes the files' lengths and the digest of so much of them. A resumed run verifies both and cuts the files there,
so no line is lost, doubled or changed.
"""

import errno
import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jaxmarks.training.checkpoint import Commit, commits
from jaxmarks.types import Record

FILES = ("metrics.jsonl", "timing.jsonl", "examples.bin")
_RATES = "timing.jsonl"  # tells how fast it was, no more: a run goes on without it
_PIECE = 1 << 20
_log = logging.getLogger(__name__)


def example_dtype(batch: int) -> np.dtype:
    """Return the type of a row of examples.bin, little-endian: what a step leaves behind, row n for step n.

    Args:
        batch: images a step.

    Returns:
        a structured type, with `each` and `kept` of `batch` entries.
    """
    scalars = [("loss", "<f4"), ("nme", "<f4"), ("grad_norm", "<f4"), ("lr", "<f4"), ("checksum", "<u4")]
    return np.dtype([*scalars, ("each", "<f4", (batch,)), ("kept", "u1", (batch,))])


def read_examples(root: Path, batch: int) -> np.ndarray:
    """Return the rows of examples.bin.

    Args:
        root: the run folder.
        batch: images a step.

    Returns:
        [steps], a row each of `example_dtype`.
    """
    return np.fromfile(root / "examples.bin", example_dtype(batch))


def rows(record: Record, dtype: np.dtype) -> np.ndarray:
    """Return the stacked records of some steps as rows of examples.bin.

    Args:
        record: of `step.stack`.
        dtype: of `example_dtype`.

    Returns:
        [steps], a row each.
    """
    found = np.zeros(len(record.loss), dtype)
    for name in dtype.names or ():
        found[name] = getattr(record, name)
    return found


def _no_link(path: str, flags: int) -> int:
    """Open a log file, which is the run's own: never what a symbolic link in the run folder leads to."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path}: a symbolic link, where the run's own log is to be; remove it") from None
        raise


def _read_on(file, running, count: int) -> int:
    """Take the next `count` bytes of a file into a running digest; how many there were."""
    left = count
    while left and (piece := file.read(min(left, _PIECE))):
        running.update(piece)
        left -= len(piece)
    return count - left


def damage(root: Path, counted: Sequence[Commit], name: str) -> str:
    """Return where a log file is not what the last of some checkpoints says.

    Checkpoints of an older version count its length only.

    Args:
        root: the run folder.
        counted: the checkpoints, oldest first.
        name: one of FILES.

    Returns:
        words that name the file and the steps; empty where it is sound.
    """
    path, running, at, sound, fault = root / name, hashlib.sha256(), 0, None, ""
    try:
        file = open(path, "rb")  # noqa: SIM115  closed below
    except FileNotFoundError:
        last = max((c.step for c in counted if c.offsets.get(name)), default=None)
        return "" if last is None else f"{path} is missing, and the checkpoint of step {last} counts on it"
    with file:
        for commit in (c for c in counted if name in c.offsets):
            at += _read_on(file, running, commit.offsets[name] - at)
            if at == commit.offsets[name] and commit.digests.get(name) in (None, running.hexdigest()):
                sound, fault = commit.step, ""
            elif not fault:
                found = "their digest differs" if at == commit.offsets[name] else f"got {path.stat().st_size}"
                after = "" if sound is None else f"; up to step {sound} it is whole"
                lengths = f"expected {commit.offsets[name]} bytes, {found}"
                fault = f"{path} does not match the checkpoint of step {commit.step} ({lengths}){after}"
    return fault


def check(root: Path, counted: Sequence[Commit], names: Sequence[str] = FILES) -> None:
    """Raise ValueError, with the remedy, where a log file is not what the last of some checkpoints counted.

    The rates of timing.jsonl, on which nothing depends, are named in a warning alone.

    Args:
        root: the run folder.
        counted: the checkpoints, oldest first.
        names: the files that are checked, of FILES.

    Raises:
        ValueError: for the first that differs.
    """
    for name in names:
        if not (fault := damage(root, counted, name)):
            continue
        if name != _RATES:
            raise ValueError(
                f"{fault}. Put the file back from a copy, or delete the checkpoints after the last step for which it is"
                " whole, to train on from there"
            )
        _log.warning("%s; its rates are kept as they are", fault)


def restore(root: Path, commit: Commit) -> dict[str, "hashlib._Hash"]:
    """Verify the log files as a checkpoint counts them, and cut off what follows.

    A checkpoint of a version that kept no digests is named in a warning.

    Args:
        root: the run folder.
        commit: the checkpoint.

    Returns:
        the running digest of each file.

    Raises:
        ValueError: before anything is changed, where one is not what was counted.
    """
    check(root, [c for c in commits(root) if c.step <= commit.step])
    if not commit.digests:
        _log.warning(
            "%s: the checkpoint of step %d has no digests of the logs, which are taken as they are", root, commit.step
        )
    found = {}
    for name in FILES:
        found[name] = hashlib.sha256()
        with open(root / name, "a+b", opener=_no_link) as file:
            file.seek(0)
            file.truncate(_read_on(file, found[name], commit.offsets[name]))
    return found


def _begun(root: Path) -> dict[str, "hashlib._Hash"]:
    for name in FILES:
        open(root / name, "wb", opener=_no_link).close()
    return {name: hashlib.sha256() for name in FILES}


class RunLog:
    """The open files of a run folder, begun anew or as `restore` leaves them.

    Args:
        root: the run folder.
        batch: images a step.
        commit: the checkpoint that the run resumes from; None: begun anew.

    Raises:
        ValueError: as `restore`, and for a symbolic link in place of a file.
    """

    def __init__(self, root: Path, batch: int, commit: Commit | None = None):
        from tensorboardX import SummaryWriter  # seconds where torch is installed, which it imports

        self._root, self._dtype = root, example_dtype(batch)
        self._running = _begun(root) if commit is None else restore(root, commit)
        self._files = {name: open(root / name, "ab", opener=_no_link) for name in FILES}  # noqa: SIM115  closed by close()
        self._board = SummaryWriter(str(root / "log"), purge_step=0 if commit is None else commit.step)

    def steps(self, first: int, record: Record) -> None:
        """Append the stacked records of some steps, and their scalars to TensorBoard.

        Args:
            first: the first step.
            record: of the steps first, first + 1, ..., of `step.stack`.
        """
        for n in range(len(record.loss)):
            one = {name: float(getattr(record, name)[n]) for name in ("loss", "nme", "lr")}
            self._scalars(first + n + 1, "batch", one)
        self._append("examples.bin", rows(record, self._dtype).tobytes())

    def window(self, start: int, stop: int) -> np.ndarray:
        """Return the rows of some steps, those of earlier sessions too.

        Args:
            start: the first step.
            stop: one beyond the last step.

        Returns:
            [stop - start], a row each of `example_dtype`.
        """
        size = self._dtype.itemsize
        return np.fromfile(self._root / "examples.bin", self._dtype, stop - start, offset=start * size)

    def metrics(self, step: int, split: str, values: dict[str, float]) -> None:
        """Write one deterministic line, and its scalars to TensorBoard.

        Args:
            step: steps taken.
            split: "train" or "val".
            values: numbers by name; one that is not finite is written as null.
        """
        self._line("metrics.jsonl", {"step": step, "split": split, **values})
        self._scalars(step, split, values)

    def epoch(self, step: int, values: dict[str, float]) -> None:
        """Write means over an epoch's steps to TensorBoard; the lines of the log hold them already, by window.

        Args:
            step: steps taken.
            values: means by name.
        """
        self._scalars(step, "epoch", values)

    def timing(self, step: int, values: dict[str, float]) -> None:
        """Write one line of rates and waits.

        Args:
            step: steps taken.
            values: numbers by name.
        """
        self._line("timing.jsonl", {"step": step, **values})
        self._scalars(step, "time", values)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write an image to TensorBoard.

        Args:
            step: steps taken.
            name: under which it is shown.
            image: u8[h, w, 3], RGB.
        """
        self._board.add_image(name, image, step, dataformats="HWC")

    def _line(self, name: str, values: dict) -> None:
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._append(name, (json.dumps(plain) + "\n").encode())

    def _append(self, name: str, data: bytes) -> None:
        with self._named(name):
            self._files[name].write(data)
            self._files[name].flush()
        self._running[name].update(data)

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Name the file in what its writing raises."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._root / name)) from None

    def _scalars(self, step: int, group: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):  # tensorboardX would warn, and has no point to draw
                continue
            self._board.add_scalar(f"{group}/{name}", value, step)

    def commit(self) -> tuple[dict[str, int], dict[str, str]]:
        """Write everything to disk.

        Returns:
            the files' lengths in bytes and their sha256, to be stored with a checkpoint.
        """
        self._board.flush()
        for name, file in self._files.items():
            with self._named(name):
                file.flush()
                os.fsync(file.fileno())
        lengths = {name: file.tell() for name, file in self._files.items()}
        return lengths, {name: running.hexdigest() for name, running in self._running.items()}

    def close(self) -> None:
        """Close the files and TensorBoard."""
        self._board.close()
        for file in self._files.values():
            file.close()
