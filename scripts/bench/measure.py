"""Measurement of a row: set up sides, compare outputs, take turns, read memory."""

if __name__ == "__main__":
    raise SystemExit("measure.py is a part of run.py, and does nothing by itself")

import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import environment
import machine
import numpy as np
import turns
from rows import Peer, Row
from turns import Failed, Worker

OURS = Path(sys.executable)


@dataclasses.dataclass
class Result:
    """A line of the table, an entry of bench.json; where nothing was measured `remark` says why.

    ours and peer are in `unit`, by their medians; ratio is peer's seconds over ours, with its quartiles in `spread`; shares
    are of the matrix products that the machine can do. failed: outputs differ by more than they should, or a side failed.
    """

    name: str
    peer_name: str = ""
    remark: str = ""
    failed: bool = False
    ours: float | None = None
    peer: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] = (0.0, 0.0)
    unit: str = ""
    difference: str = ""
    rounds: int = 0
    memory_mb: float = 0.0
    peer_memory_mb: float = 0.0
    memory_ratio: float | None = None  # the peer's peak over ours
    share: float | None = None
    peer_share: float | None = None


def limits(folder: Path) -> dict[str, float]:
    """Return the limits of the machine, by name. Raises Failed."""
    with turns.closing([Worker(OURS, "limits", "ours_data.limits", {}, folder)]) as (worker,):
        return {name: float(value) for name, value in worker.output().items()}


def row(
    asked: Row, around: Path, limits: Mapping[str, float], flags: Sequence[str], rounds: int | None, quick: bool
) -> Iterator[Result]:
    """A result for each peer of a row. rounds: in place of the row's own."""
    if asked.needs and asked.needs not in flags:
        yield Result(asked.name, remark=f"not measured: no {asked.needs} units here")
        return
    rounds = rounds or (asked.quick_rounds if quick else asked.rounds)
    with tempfile.TemporaryDirectory(dir=around) as folder, turns.closing([]) as workers:
        try:
            ours = Worker(OURS, "ours", asked.side, asked.settings, Path(folder))
        except Failed as error:
            yield Result(asked.name, remark=f"failed: {error}", failed=True)
            return
        workers.append(ours)
        measured: list[tuple[Peer, Worker, str]] = []
        for number, peer in enumerate(asked.peers):
            result = Result(asked.name, peer.name)
            try:
                python = OURS if peer.ours else environment.PYTHON
                side = Worker(python, f"peer{number}", peer.side, peer.settings, Path(folder), peer.huge_pages)
            except (Failed, FileNotFoundError) as error:
                absent = isinstance(error, FileNotFoundError) or "ModuleNotFoundError" in str(error)
                result.remark, result.failed = f"no peer ({error})" if absent else f"failed: {error}", not absent
                yield result
                continue
            workers.append(side)
            difference = asked.agree(ours.output(), side.output())
            if difference.within:
                measured.append((peer, side, difference.words))
            else:
                result.remark, result.failed, result.difference = "outputs differ, not timed", True, difference.words
                yield result
        yield from _timed(asked, ours, measured, rounds, limits)


def _timed(
    asked: Row, ours: Worker, measured: list[tuple[Peer, Worker, str]], rounds: int, limits: Mapping[str, float]
) -> Iterator[Result]:
    try:
        seconds = (
            turns.take([ours, *(worker for _, worker, _ in measured)], rounds, asked.times)
            if measured
            else np.zeros((0, 1))
        )
    except Failed as error:
        yield Result(asked.name, remark=f"failed: {error}", failed=True)
        return
    for place, (peer, worker, words) in enumerate(measured, 1):
        speeds = [_speed(asked, seconds[:, side]) for side in (0, place)]
        ratio, peaks = turns.ratio(seconds[:, 0], seconds[:, place]), (ours.peak_mb(), worker.peak_mb())
        shares = [_share(asked, speed, limits) for speed in speeds]
        yield Result(
            name=asked.name,
            peer_name=peer.name,
            ours=speeds[0],
            peer=speeds[1],
            ratio=ratio.median,
            spread=(ratio.low, ratio.high),
            unit=asked.unit,
            difference=words,
            rounds=rounds,
            memory_mb=peaks[0],
            peer_memory_mb=peaks[1],
            memory_ratio=peaks[1] / peaks[0] if all(peaks) else None,
            share=shares[0],
            peer_share=shares[1],
        )


def _speed(asked: Row, seconds: np.ndarray) -> float:
    middle = float(np.median(seconds))
    return asked.count / middle if asked.count else middle


def _share(asked: Row, speed: float, limits: Mapping[str, float]) -> float | None:
    """Return the share of the matrix product of the row's precision."""
    if asked.flops is None:
        return None
    name, size, passes = asked.flops
    limit = limits["bfloat16 product, GFLOP/s" if asked.needs else "float32 product, GFLOP/s"]
    return speed * passes * machine.flops(name, size) / 1e9 / limit
