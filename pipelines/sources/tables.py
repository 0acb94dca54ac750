"""Tables of records as the files of a format list them, and the source of images made from one."""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.example import Example, Source
from pipelines.images import decoders, depth, headers, jpeg, sizes
from pipelines.images.decoders import DecodeError
from pipelines.io import files, guesses

_log = logging.getLogger("jaxmarks")
_FEW = 20  # images of more than 8 bits, of which another set of the same camera may find another scale
_SAMPLE = 200  # images, evenly over a set, that are read for how many bits it uses
_LABELS = 1 << 26  # bytes of parsed labels that are kept
_ARRAYS = 300  # bytes of two arrays beside their values
Label = tuple[np.ndarray, np.ndarray]  # points f[points, 2] in pixels of the image, mask bool[points]


class Rejected(NamedTuple):
    """A row or an image that cannot be used."""

    file: str  # of the image, or of the table where a row names none; relative to the data set's path
    line: int | None  # in the table, from 1
    reason: str


@dataclass(frozen=True)
class Table:
    """The records that a format's files list. Names are unique and lead nowhere but below `root`."""

    root: Path  # images lie below it
    where: str  # the table that the lines are of, for messages
    num_points: int
    names: list[str]  # of the records, in canonical order: by name (a test split: in the order of its list)
    lines: Sequence[int] | np.ndarray  # of each record in the table; 0: it has none
    label: Callable[[int], Label] | None  # of a record; None: nothing is labelled
    whole: bool = False  # every coordinate is known to be a whole number
    images: list[str] | None = None  # of each record, below root, where that is not its name
    boxes: np.ndarray | None = None  # f64[records, 4]: x, y, width, height in pixels; NaN: no box
    replaced: np.ndarray | None = (
        None  # bool[records]: the box is that of the labelled points, its own had no area, or was not there
    )
    sizes: np.ndarray | None = None  # i64[records, 2]: width, height that the format says an image has; 0: it does not
    asked: list[np.ndarray] | None = None  # of each record: the points to hand in
    rejected: list[Rejected] = field(default_factory=list)  # rows that cannot be used
    files: list[Path] = field(default_factory=list)  # what was read to know all this
    notes: list[str] = field(default_factory=list)  # what was read otherwise than it is written, a line each
    category: str = ""  # the one that was asked for
    tables: int = 1  # that were read; `where` is the first
    columns: Sequence[str] = ()  # what the header of a table calls the coordinates
    points: Sequence[str] = ()  # what a format whose points have names calls them
    mirror: Sequence[int] = ()  # which point each becomes when mirrored, where the files say it

    def line(self, index: int) -> int | None:
        """The line of a record, or None where a format has no lines."""
        return int(self.lines[index]) or None

    def rejection(self, index: int, reason: str) -> Rejected:
        """A record that cannot be used."""
        return Rejected(self.images[index] if self.images else self.names[index], self.line(index), reason)

    def chosen(self, indices: list[int]) -> "Table":
        """Some of the records, in the order given."""
        label = self.label
        return replace(
            self,
            names=[self.names[i] for i in indices],
            lines=np.asarray(self.lines)[indices],
            label=None if label is None else lambda index: label(indices[index]),
            images=None if self.images is None else [self.images[i] for i in indices],
            boxes=None if self.boxes is None else self.boxes[indices],
            replaced=None if self.replaced is None else self.replaced[indices],
            sizes=None if self.sizes is None else self.sizes[indices],
            asked=None if self.asked is None else [self.asked[i] for i in indices],
        )


class Row(NamedTuple):
    """A record on its way into a format's files."""

    name: str
    points: np.ndarray  # f64[points, 2] in pixels of the image
    mask: np.ndarray  # bool[points]
    size: tuple[int, int]  # width, height of the image
    box: np.ndarray | None = None


def sorted_by_name(names: Sequence[str]) -> list[int]:
    """The canonical order."""
    return sorted(range(len(names)), key=names.__getitem__)


class Images(Source):
    """The images of a table, as a source; each file is read when it is asked for. Images of more than 8 bits are
    given as BMP of 8, all of a set by the same scale (`depth`)."""

    def __init__(self, table: Table):
        self.table = table
        self.names, self.num_points, self.labelled = table.names, table.num_points, table.label is not None
        self.asked, self.boxed, self.point_names = table.asked, table.boxes is not None, point_names(table)
        self.mirror = table.mirror
        self.replaced = 0 if table.replaced is None else int(table.replaced.sum())
        self._lock, self._whites, self._odd = threading.Lock(), None, set()
        self.frames_told = False  # that some images have several frames
        fit = len(self) * (_ARRAYS + 17 * self.num_points) <= _LABELS
        self._labels: list[Label | None] = [None] * (len(self) if fit else 0)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        return self.made(index, self.encoded(index))

    def made(self, index: int, data: bytes) -> Example:
        """Return a record, from its file as `encoded` gives it."""
        t = self.table
        if t.sizes is not None and t.sizes[index].all():
            sizes.check(data, t.sizes[index].tolist(), t.where)
        plain = jpeg.is_jpeg(data) and (self.frames_told or not jpeg.has_more(data))
        found = None if plain else headers.read(data)
        if found is not None and found.frames and not self.frames_told:
            self.frames_told = True
            _log.warning(
                "%s has several frames, pages or pictures: of it and all such images the first is used",
                self.names[index],
            )
        if found is not None and found.deep:
            data = self._eight_bits(index, data)
        return Example(data, *self._label(index), None if t.boxes is None else t.boxes[index])

    def _label(self, index: int) -> Label:
        """Return the label of a record, parsed once where those of all fit into memory."""
        if not self._labels:
            return self._parsed(index)
        if (found := self._labels[index]) is None:
            found = self._labels[index] = self._parsed(index)
            for array in found:
                array.setflags(write=False)  # who asks again gets the same
        return found

    def _parsed(self, index: int) -> Label:
        t = self.table
        if t.label is None:
            return np.zeros((t.num_points, 2)), np.zeros(t.num_points, bool)
        points, mask = t.label(index)
        return np.where(mask[:, None], points, 0).astype(np.float32).astype(np.float64) + 0.0, mask  # no -0

    def encoded(self, index: int) -> bytes:
        """The file of a record as it is. Raises DecodeError where it does not exist, is not a file, or is too large."""
        t = self.table
        path = os.path.join(t.root, (t.images or t.names)[index])
        try:
            return files.read_bytes(path, decoders.MAX_BYTES)
        except FileNotFoundError:
            raise DecodeError(f"the image is missing{guesses.near_file(Path(path))}") from None
        except IsADirectoryError:
            raise DecodeError("not a file: a folder, a pipe or the like") from None
        except ValueError as error:  # too large
            raise DecodeError(str(error)) from None

    def _eight_bits(self, index: int, data: bytes) -> bytes:
        whites = self._set_whites()
        shown, kind, white = decoders.eight_bits(data, whites)
        if white > whites.get(kind, white) and self.names[index] not in self._odd:
            self._odd.add(self.names[index])
            _log.warning(
                "%s: %s values up to %g where most of its set end at %g; it is scaled by itself",
                self.names[index], kind, white, whites[kind],
            )  # fmt: skip
        return shown

    def _set_whites(self) -> dict[str, float]:
        """Return the white value of this set for each kind of number, from an even sample of it; computed once, and
        reported."""
        with self._lock:
            if self._whites is None:
                self._whites = self._found_whites()
            return self._whites

    def _found_whites(self) -> dict[str, float]:
        own: dict[str, list[decoders.Own]] = {}
        folders: dict[str, set[str]] = {}
        paths = self.table.images or self.table.names
        sample = np.unique(np.linspace(0, len(self) - 1, min(_SAMPLE, len(self))).astype(int)).tolist()
        for index in sample:
            try:
                found = decoders.own(self.encoded(index))
            except (DecodeError, OSError):
                continue  # raised when it is asked for
            if found is not None:
                own.setdefault(found.kind, []).append(found)
                folders.setdefault(found.kind, set()).add(os.path.dirname(paths[index]))
        whites = {kind: depth.usual([one.white for one in found]) for kind, found in sorted(own.items())}
        for kind, white in whites.items():
            dark = sum(8 * one.white < white for one in own[kind])
            _log.warning(
                "%s: %d of %s that were read have %s values, shown as 8 bits with %g as white%s%s%s",
                self.table.root / os.path.commonpath(folders[kind]), len(own[kind]), words.counted(len(sample), "image"),
                kind, white,
                f"; estimated from so few images (fewer than {_FEW}), it may differ for other sets of the same camera"
                if len(own[kind]) < _FEW else "",
                f"; {dark} of them end below an eighth of it, and come out dark: of another camera?" if dark else "",
                _said_below([one.below for one in own[kind] if one.below]),
            )  # fmt: skip
        return whites


def _said_below(shares: Sequence[float]) -> str:
    """What is said of images with values below 0; empty without such. shares: of the values of each."""
    if not shares:
        return ""
    have, their = ("has", "its") if len(shares) == 1 else ("have", "their")
    share = f"{np.mean(shares):.0%}" if np.mean(shares) >= 0.01 else "less than 1%"
    return (
        f"; {len(shares)} of them {have} values below 0 ({share} of {their} values), which become black: {depth.SHIFT}"
    )


def point_names(table: Table) -> Sequence[str]:
    """The names of a table's points, by its format or by what its header calls both coordinates; empty where they have
    none."""
    found = table.points or names_in(table.columns)
    return found if all(found) and len(set(found)) == table.num_points else ()


def names_in(columns: Sequence[str]) -> list[str]:
    """What each two columns are called in common: nose of nose_x and nose_y."""
    return [os.path.commonprefix(pair).rstrip("_-. ") for pair in zip(columns[::2], columns[1::2], strict=True)]


def table_of(source: Source) -> Table | None:
    """The table that a source was read from; None for other sources."""
    return source.table if isinstance(source, Images) else None


def label_of(source: Source, index: int) -> Label:
    """The label of a record, without its image where the source was read from a table."""
    table = table_of(source)
    return table.label(index) if table and table.label else source[index][1:3]


def labels_of(source: Source, indices: Iterable[int] | np.ndarray) -> Iterator[Label | None]:
    """`label_of` of some records; None where it cannot be read, of which the run itself tells when it needs it."""
    for index in indices:
        try:
            yield label_of(source, int(index))
        except (ValueError, OSError):
            yield None
