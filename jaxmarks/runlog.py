"""What a run writes down as it goes: metrics.jsonl, timing.jsonl, examples.bin and TensorBoard.

metrics.jsonl and examples.bin hold deterministic values only; rates and waits go to timing.jsonl and TensorBoard. Each
checkpoint notes the files' lengths, and a resumed run cuts them there, so no line is lost or doubled.
"""

import errno
import json
import math
import os
from pathlib import Path

import numpy as np

from jaxmarks.types import Record

FILES = ("metrics.jsonl", "timing.jsonl", "examples.bin")


def example_dtype(batch: int) -> np.dtype:
    """One row of examples.bin, little-endian: what a step leaves behind, row n for step n."""
    scalars = [("loss", "<f4"), ("nme", "<f4"), ("grad_norm", "<f4"), ("lr", "<f4"), ("checksum", "<u4")]
    return np.dtype([*scalars, ("each", "<f4", (batch,)), ("kept", "u1", (batch,))])


def read_examples(root: Path, batch: int) -> np.ndarray:
    """The rows of examples.bin, one a step."""
    return np.fromfile(root / "examples.bin", example_dtype(batch))


def rows(record: Record, dtype: np.dtype) -> np.ndarray:
    """The stacked records of some steps as rows of examples.bin."""
    found = np.zeros(len(record.loss), dtype)
    for name in dtype.names or ():
        found[name] = getattr(record, name)
    return found


def _no_link(path: str, flags: int) -> int:
    """Opens a log file, which is the run's own: never what a symbolic link in the run folder leads to."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path}: a symbolic link, where the run's own log is to be; remove it") from None
        raise


class RunLog:
    """The open files of a run folder. `offsets` None starts them anew; else they are cut there first."""

    def __init__(self, root: Path, batch: int, step: int = 0, offsets: dict[str, int] | None = None):
        from tensorboardX import SummaryWriter  # seconds where torch is installed, which it imports

        self._root, self._dtype = root, example_dtype(batch)
        for name in FILES:
            with open(root / name, "ab", opener=_no_link) as file:
                file.truncate(0 if offsets is None else offsets[name])
        self._files = {name: open(root / name, "ab", opener=_no_link) for name in FILES}  # noqa: SIM115  closed by close()
        self._board = SummaryWriter(str(root / "log"), purge_step=step)

    def steps(self, first: int, record: Record) -> None:
        """Appends the stacked records of the steps first, first + 1, ..., and their scalars to TensorBoard."""
        for n in range(len(record.loss)):
            one = {name: float(getattr(record, name)[n]) for name in ("loss", "nme", "lr")}
            self._scalars(first + n + 1, "batch", one)
        self._files["examples.bin"].write(rows(record, self._dtype).tobytes())
        self._files["examples.bin"].flush()

    def window(self, start: int, stop: int) -> np.ndarray:
        """The rows of the steps start .. stop - 1, those of earlier sittings too."""
        size = self._dtype.itemsize
        return np.fromfile(self._root / "examples.bin", self._dtype, stop - start, offset=start * size)

    def metrics(self, step: int, split: str, values: dict[str, float]) -> None:
        """One deterministic line after `step` steps, and its scalars on TensorBoard."""
        self._line("metrics.jsonl", {"step": step, "split": split, **values})
        self._scalars(step, split, values)

    def epoch(self, step: int, values: dict[str, float]) -> None:
        """Means over an epoch's steps, on TensorBoard; the lines of the log hold them already, by window."""
        self._scalars(step, "epoch", values)

    def timing(self, step: int, values: dict[str, float]) -> None:
        """One line of rates and waits."""
        self._line("timing.jsonl", {"step": step, **values})
        self._scalars(step, "time", values)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """u8[h, w, 3] on TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")

    def _line(self, name: str, values: dict) -> None:
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._files[name].write((json.dumps(plain) + "\n").encode())
        self._files[name].flush()

    def _scalars(self, step: int, group: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):  # tensorboardX would warn, and has no point to draw
                continue
            self._board.add_scalar(f"{group}/{name}", value, step)

    def commit(self) -> dict[str, int]:
        """Everything written to disk, and the files' lengths: to be stored with a checkpoint."""
        self._board.flush()
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        return {name: file.tell() for name, file in self._files.items()}

    def close(self) -> None:
        """Closes the files and TensorBoard."""
        self._board.close()
        for file in self._files.values():
            file.close()
