"""Predictions of a long list of photographs, kept block by block until what they are for is written.

Interrupted at any instant, the same command goes on after the last whole block; however long the list, one block is in
memory.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxmarks import predict
from jaxmarks.predict import Predicted
from pipelines import files, loader
from pipelines.sources import Source, Subset

BLOCK = 2048  # photographs
_ABOUT = "about.json"
_OURS = re.compile(r"[0-9]{6}[.](npz|json)|[.].*[.]tmp")


class Kept:
    """The blocks of a list in a folder, in order; iterates over them as `Predicted`, as often as wanted."""

    def __init__(self, folder: Path, faults: list[str]):
        self._folder, self.faults = folder, faults

    def __iter__(self) -> Iterator[Predicted]:
        for path in _blocks(self._folder):
            with np.load(path, allow_pickle=False) as block:
                yield Predicted(*(block[name] for name in Predicted._fields))

    def index(self) -> np.ndarray:
        """i32[n]: which photographs of the list were predicted, in order."""
        return np.concatenate([_array(path, "index") for path in _blocks(self._folder)])


def folder(out: Path) -> Path:
    """Where the blocks for a file lie until it is written."""
    return out.with_name(f"{out.name}.partial")


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """One file, one writer, as long as the context lasts. Raises ValueError where another process has it."""
    if others := [name for name in _names(folder(out)) if name != _ABOUT and not _OURS.fullmatch(name)]:
        raise ValueError(
            f"{folder(out)} holds other files ({others[0]}); blocks for {out} would lie there: name another"
        )
    beside = out.with_name(f".{out.name}.lock")
    with files.locked(beside, f"{out} is being written by another process"):
        yield


def size(count: int, points: int) -> int:
    """Bytes that the predictions of so many photographs take meanwhile, about."""
    return count * points * (8 * 6 + 1)


def known(out: Path, about: dict[str, Any], count: int) -> int:
    """How many of so many photographs are predicted already, for a file and under all that `about` says."""
    where = folder(out)
    if not (where / _ABOUT).is_file() or files.read_sealed(where / _ABOUT) != {**about, "block": BLOCK}:
        return 0
    return min(sum(path.is_file() for path in _paths(where, count)) * BLOCK, count)


def predicted(
    out: Path,
    about: dict[str, Any],
    source: Source,
    predictions: Callable[[Source, loader.Faults], Iterator[Predicted]],
    show: Callable[[int], None],
) -> Kept:
    """Predictions of every decodable photograph of a source, made where they are not there yet.

    about: plain data, all that they depend on: blocks of anything else are thrown away. show(photographs done). Raises
    ValueError where none can be decoded. `done_with` removes the blocks.
    """
    where = folder(out)
    if done := known(out, about, len(source)):
        show(done)
    else:
        shutil.rmtree(where, ignore_errors=True)
        files.write_sealed(where / _ABOUT, {**about, "block": BLOCK})
    for start, path in zip(range(0, len(source), BLOCK), _paths(where, len(source)), strict=True):
        if not path.is_file():
            _write(path, source, range(start, min(start + BLOCK, len(source))), predictions, show)
    faults = [line for path in _blocks(where) for line in _array(path, "faults").tolist()]
    if not len((kept := Kept(where, faults)).index()):
        done_with(out)
        raise ValueError(
            f"no photograph to predict: none could be decoded ({faults[0] if faults else 'there is none'})"
        )
    return kept


def done_with(out: Path) -> None:
    """Removes the blocks for a file."""
    shutil.rmtree(folder(out), ignore_errors=True)


def _paths(where: Path, count: int) -> list[Path]:
    return [where / f"{n:06d}.npz" for n in range(-(-count // BLOCK))]


def _names(where: Path) -> list[str]:
    return sorted(path.name for path in where.iterdir()) if where.is_dir() else []


def _blocks(where: Path) -> list[Path]:
    return sorted(where.glob("[0-9]*.npz"))


def _array(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as block:
        return block[name]


def _write(
    path: Path,
    source: Source,
    part: range,
    predictions: Callable[[Source, loader.Faults], Iterator[Predicted]],
    show: Callable[[int], None],
) -> None:
    faults, found, done = loader.Faults(), [_nothing(source.num_points)], part.start
    for some in predictions(Subset(source, part), faults):
        found.append(some._replace(index=some.index + part.start))
        done += len(some.index)
        show(done)
    with files.whole(path) as file:
        np.savez(file, **predict.gather(found)._asdict(), faults=np.array(faults.report(), np.str_))


def _nothing(points: int) -> Predicted:
    """Predictions of no photograph."""
    pairs, single = np.zeros((0, points, 2)), np.zeros((0, points))
    index, mask = np.zeros(0, np.int32), np.zeros((0, points), bool)
    return Predicted(index, pairs, single, pairs, mask, np.zeros((0, 2, 3)), single, np.zeros(0))
