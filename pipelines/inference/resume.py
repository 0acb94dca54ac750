"""Resumable predictions: finished blocks of images, kept until the output is written.

Interrupted at any instant, the same command goes on after the last whole block; however long the list, one block is in
memory. Beside each block lies a sealed note of its digest and of the content of its images: a block that is damaged,
or of images that were replaced since, is made again.
"""

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxmarks import inference
from jaxmarks.inference import Predicted
from pipelines import example, loader
from pipelines.example import Source, Subset
from pipelines.io import files

BLOCK = 2048  # images
_ABOUT = "about.json"
_OURS = re.compile(r"[0-9]{6}[.](npz|json)|[.].*[.]tmp")
_log = logging.getLogger("jaxmarks")


class Kept:
    """The blocks of a list in a folder, in order; iterates over them as `Predicted`, as often as wanted.

    Args:
        folder: of the blocks.
        faults: a line for each image that could not be decoded.
    """

    def __init__(self, folder: Path, faults: list[str]):
        self._folder, self.faults = folder, faults

    def __iter__(self) -> Iterator[Predicted]:
        for path in _blocks(self._folder):
            with np.load(path, allow_pickle=False) as block:
                yield Predicted(*(block[name] for name in Predicted._fields))

    def index(self) -> np.ndarray:
        """Return which images of the list were predicted, i32[n], in order."""
        return np.concatenate([_array(path, "index") for path in _blocks(self._folder)])


def folder(out: Path) -> Path:
    """Return where the blocks for a file lie until it is written.

    Args:
        out: the file.

    Returns:
        the folder, which need not exist.
    """
    return out.with_name(f"{out.name}.partial")


@contextmanager
def locked(out: Path, part: tuple[int, int] = (0, 1)) -> Iterator[None]:
    """Lock a file for one writer, as long as the context lasts; or, among the writers of its parts, for that of one.

    Args:
        out: the file.
        part: (i, n); (0, 1): all of it.

    Yields:
        once, while the lock is held.

    Raises:
        ValueError: where another process has it, or other files lie where its blocks would.
    """
    if others := [name for name in _names(folder(out)) if name != _ABOUT and not _OURS.fullmatch(name)]:
        raise ValueError(
            f"{folder(out)} holds other files ({others[0]}); blocks for {out} would lie there: name another"
        )
    beside, several = out.with_name(f".{out.name}.lock"), part[1] > 1
    with ExitStack() as stack:
        message = f"{out} is being written by another process"
        stack.enter_context(files.locked(beside, message, shared=several))
        if several:
            own = out.with_name(f".{out.name}.{part[0]}.lock")
            stack.enter_context(files.locked(own, f"part {part[0]}/{part[1]} of {message}"))
        yield


def size(count: int, points: int) -> int:
    """Return about how many bytes the predictions of some images take meanwhile.

    Args:
        count: images.
        points: of each.

    Returns:
        bytes.
    """
    return count * points * (8 * 6 + 1)


def known(out: Path, about: dict[str, Any], source: Source) -> int:
    """Return how many images of a source are predicted already, for a file.

    Args:
        out: the file.
        about: plain data, as `predicted` takes it.
        source: the data set.

    Returns:
        0 where the blocks are of anything else.
    """
    where = folder(out)
    return (
        sum(len(part) for path, part in _parts(where, len(source)) if _kept(path, source, part))
        if _is(where, about)
        else 0
    )


def predicted(
    out: Path,
    about: dict[str, Any],
    source: Source,
    predictions: Callable[[Source, loader.Faults], Iterator[Predicted]],
    show: Callable[[int], None],
) -> Kept:
    """Return predictions of every decodable image of a source, made where they are not there yet.

    `done_with` removes the blocks.

    Args:
        out: the file that they are for.
        about: plain data, all that they depend on beside the images: blocks of anything else are thrown away.
        source: the data set.
        predictions: predictions(source, faults), in pixels of the images.
        show: show(images done).

    Returns:
        the blocks.

    Raises:
        ValueError: where no image can be decoded.
        OSError: where a block cannot be written.
    """
    begin(out, about)
    make(out, source, predictions, show)
    return whole(out, source)


def begin(out: Path, about: dict[str, Any]) -> None:
    """Begin the folder of the blocks for a file, or go on with the one that is there.

    Args:
        out: the file.
        about: plain data, as `predicted` takes it; blocks of anything else are thrown away.

    Raises:
        OSError: where it cannot be written.
    """
    where = folder(out)
    if not _is(where, about):
        shutil.rmtree(where, ignore_errors=True)
        files.write_sealed(where / _ABOUT, {**about, "block": BLOCK})


def join(out: Path, about: dict[str, Any]) -> None:
    """Begin as `begin`, where other processes may have begun for parts of the same list: nothing is thrown away.

    Args:
        out: the file.
        about: plain data, as `predicted` takes it.

    Raises:
        ValueError: where the blocks that are there are of anything else.
        OSError: where it cannot be written.
    """
    where = folder(out)
    if _blocks(where) and not _is(where, about):
        raise ValueError(
            f"{where} holds predictions under other settings, or of other images: remove it, or name another file"
        )
    if not _is(where, about):
        files.write_sealed(where / _ABOUT, {**about, "block": BLOCK})


def make(
    out: Path,
    source: Source,
    predictions: Callable[[Source, loader.Faults], Iterator[Predicted]],
    show: Callable[[int], None],
    part: tuple[int, int] = (0, 1),
) -> None:
    """Make the blocks of a part of a list that are not there yet.

    Args:
        out: the file that they are for.
        source: the data set, all of it.
        predictions: predictions(source, faults), in pixels of the images.
        show: show(images done), of this part.
        part: (i, n): the blocks b with b mod n = i.

    Raises:
        OSError: where a block cannot be written.
    """
    where, again, done = folder(out), 0, 0
    for path, images in _parts(where, len(source))[part[0] :: part[1]]:
        if not _kept(path, source, images):
            again += path.is_file()
            _write(path, source, images, predictions, lambda count, done=done: show(done + count))
        done += len(images)
        show(done)
    if again:
        were = "1 block was" if again == 1 else f"{again} blocks were"
        _log.warning("%s: %s damaged, or of images that were replaced since, and made again", where, were)


def count(length: int, part: tuple[int, int]) -> int:
    """Return how many images of a list are a part's, as `make` has it.

    Args:
        length: of the list.
        part: (i, n).

    Returns:
        a number of images.
    """
    return sum(len(images) for _, images in _parts(Path(), length)[part[0] :: part[1]])


def whole(out: Path, source: Source) -> Kept:
    """Return the blocks for a file, once all are there.

    Args:
        out: the file.
        source: the data set.

    Returns:
        the blocks.

    Raises:
        ValueError: where one is missing or not of these images, and where no image can be decoded.
    """
    where, parts = folder(out), _parts(folder(out), len(source))
    if missing := [n for n, (path, images) in enumerate(parts) if not _kept(path, source, images)]:
        raise ValueError(
            f"{where}: {len(missing)} of {len(parts)} blocks are missing or of other images, the first number {missing[0]};"
            " the part I of N that makes block B is that with B mod N = I: run it again, then merge"
        )
    faults = [line for path in _blocks(where) for line in _array(path, "faults").tolist()]
    if not len((kept := Kept(where, faults)).index()):
        done_with(out)
        raise ValueError(f"no image to predict: none could be decoded ({faults[0] if faults else 'none'})")
    return kept


def done_with(out: Path) -> None:
    """Remove the blocks for a file.

    Args:
        out: the file.
    """
    shutil.rmtree(folder(out), ignore_errors=True)


def _is(where: Path, about: dict[str, Any]) -> bool:
    """Return whether the blocks in a folder are of all that `about` says; what is damaged is not."""
    try:
        return files.read_sealed(where / _ABOUT) == {**about, "block": BLOCK}
    except FileNotFoundError:
        return False
    except (ValueError, OSError) as error:
        _log.warning("%s; its blocks are made again", error)
        return False


def _kept(path: Path, source: Source, part: range) -> bool:
    """Return whether a block is there, as it was written, and of the images as they are."""
    try:
        note = files.read_sealed(_note(path))
        return note == {"content": example.content(source, part), "block": files.digest(path).hex()}
    except (ValueError, OSError):
        return False


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _parts(where: Path, count: int) -> list[tuple[Path, range]]:
    starts = range(0, count, BLOCK)
    return [(where / f"{n:06d}.npz", range(at, min(at + BLOCK, count))) for n, at in enumerate(starts)]


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
    content = example.content(source, part)  # first: one that is replaced meanwhile will differ
    faults, found, done = loader.Faults(), [_nothing(source.num_points)], 0
    for some in predictions(Subset(source, part), faults):
        found.append(some._replace(index=some.index + part.start))
        done += len(some.index)
        show(done)
    with files.whole(path) as file:
        np.savez(file, **inference.gather(found)._asdict(), faults=np.array(faults.report(), np.str_))
    files.write_sealed(_note(path), {"content": content, "block": files.digest(path).hex()})


def _nothing(points: int) -> Predicted:
    """Predictions of no image."""
    pairs, single = np.zeros((0, points, 2)), np.zeros((0, points))
    index, mask = np.zeros(0, np.int32), np.zeros((0, points), bool)
    return Predicted(index, pairs, single, pairs, mask, np.zeros((0, 2, 3)), single, np.zeros(0))
