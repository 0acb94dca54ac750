"""Sides of a row as processes that take turns, A B A B, and statistics of their times."""

if __name__ == "__main__":
    raise SystemExit("turns.py is a part of run.py, and does nothing by itself")

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import worker

_REST = 0.1  # seconds before a turn: threads of the side before may still spin, waiting for more
_HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


class Failed(ValueError):
    """A side that could not be set up, or did not do its work."""


class Worker:
    """A side in a process of its own (worker.py), set up when this returns. Raises Failed."""

    def __init__(self, python: Path, name: str, side: str, settings: dict, folder: Path, huge_pages: bool = True):
        here = Path(__file__).resolve().parent
        known = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
        path = os.pathsep.join([str(here.parents[1]), *filter(None, [known.get("PYTHONPATH")])])
        known |= {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        known |= _HUGE_PAGES if huge_pages else {}
        self._log = folder / f"{name}.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python, here / "worker.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=known,
            )
        self.name, self._folder = name, folder
        try:
            self._ask({"side": side, "name": name, "settings": settings, "folder": str(folder)})
        except Failed:
            self.close()
            raise

    def _ask(self, request: object) -> dict:
        line = ""
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin and self._process.stdout
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        if not line:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            raise Failed(f"{self.name} ended: {' '.join(last)[:300]}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer

    def output(self) -> dict[str, np.ndarray]:
        """The arrays by which it is compared."""
        return worker.load(self._folder, self.name)

    def turn(self, times: int = 1) -> float:
        """Seconds that the work took, done so many times."""
        return self._ask({"turn": times})["seconds"]

    def peak_mb(self) -> float:
        """MB of memory that it took at most so far, setting up included."""
        return self._ask("peak")["peak_mb"]

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


@contextlib.contextmanager
def closing(workers: list[Worker]) -> Iterator[list[Worker]]:
    """The list, whose workers (those that come into it later too) end with the block."""
    try:
        yield workers
    finally:
        for each in workers:
            each.close()


def take(workers: Sequence[Worker], rounds: int, times: int = 1) -> np.ndarray:
    """f64[rounds, workers]: seconds that the work took; in every round each does it so many times, one after the other.

    One round before is not counted.
    """
    seconds = np.zeros((rounds + 1, len(workers)))
    for row in seconds:
        for place, each in enumerate(workers):
            time.sleep(_REST)
            row[place] = each.turn(times)
    return seconds[1:]


class Ratio(NamedTuple):
    """The peer's seconds over ours in the same round: median, and the quartiles."""

    median: float
    low: float
    high: float


def ratio(ours: np.ndarray, peer: np.ndarray) -> Ratio:
    """Over rounds; more than 1: ours takes less time."""
    low, median, high = np.percentile(peer / ours, [25, 50, 75])
    return Ratio(float(median), float(low), float(high))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """b of seconds = a * size ** b, fitted to the logarithms by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
