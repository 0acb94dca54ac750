"""What the files of a format list, before any picture is opened, and the source of photographs that comes of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines import files, sizes
from pipelines.decode import DecodeError
from pipelines.sources import Example

Label = tuple[np.ndarray, np.ndarray]  # points f[points, 2] in pixels of the photograph, mask bool[points]


class Refused(NamedTuple):
    """A row or a picture that cannot be used."""

    file: str  # of the picture, or of the table where a row names none; relative to the data set's path
    line: int | None  # in the table, from 1
    reason: str


@dataclass(frozen=True)
class Table:
    """The records that a format's files list. Names are unique and lead nowhere but below `root`."""

    root: Path  # pictures lie below it
    where: str  # the table that the lines are of, for messages
    num_points: int
    names: list[str]  # of the records, in canonical order: by name (a test part: in the order of its list)
    lines: Sequence[int] | np.ndarray  # of each record in the table; 0: it has none
    label: Callable[[int], Label] | None  # of a record; None: nothing is labelled
    whole: bool = False  # every coordinate is known to be a whole number
    pictures: list[str] | None = None  # of each record, below root, where that is not its name
    boxes: np.ndarray | None = None  # f64[records, 4]: x, y, width, height in pixels; NaN: no box
    replaced: np.ndarray | None = None  # bool[records]: the box is that of the labelled points, its own had no area
    sizes: np.ndarray | None = None  # i64[records, 2]: width, height that the format says a picture has; 0: it does not
    asked: list[np.ndarray] | None = None  # of each record: the points to hand in
    refused: list[Refused] = field(default_factory=list)  # rows that cannot be used
    files: list[Path] = field(default_factory=list)  # what was read to know all this
    notes: list[str] = field(default_factory=list)  # what was read otherwise than it is written, a line each
    category: str = ""  # the one that was asked for

    def line(self, index: int) -> int | None:
        """The line of a record, or None where a format has no lines."""
        return int(self.lines[index]) or None

    def refusal(self, index: int, reason: str) -> Refused:
        """A record that cannot be used."""
        return Refused(self.pictures[index] if self.pictures else self.names[index], self.line(index), reason)

    def chosen(self, indices: list[int]) -> "Table":
        """Some of the records, in the order given."""
        label = self.label
        return replace(
            self,
            names=[self.names[i] for i in indices],
            lines=np.asarray(self.lines)[indices],
            label=None if label is None else lambda index: label(indices[index]),
            pictures=None if self.pictures is None else [self.pictures[i] for i in indices],
            boxes=None if self.boxes is None else self.boxes[indices],
            replaced=None if self.replaced is None else self.replaced[indices],
            sizes=None if self.sizes is None else self.sizes[indices],
            asked=None if self.asked is None else [self.asked[i] for i in indices],
        )


class Row(NamedTuple):
    """A record on its way into a format's files."""

    name: str
    points: np.ndarray  # f64[points, 2] in pixels of the photograph
    mask: np.ndarray  # bool[points]
    size: tuple[int, int]  # width, height of the photograph
    box: np.ndarray | None = None


def sorted_by_name(names: Sequence[str]) -> list[int]:
    """The canonical order."""
    return sorted(range(len(names)), key=names.__getitem__)


class Pictures:
    """The photographs of a table, as a source; each file is read when it is asked for."""

    def __init__(self, table: Table):
        self.table = table
        self.names, self.num_points, self.labelled = table.names, table.num_points, table.label is not None
        self.asked, self.boxed = table.asked, table.boxes is not None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        t = self.table
        try:
            data = files.read_bytes(t.root / (t.pictures or t.names)[index])
        except FileNotFoundError:
            raise DecodeError("the picture is missing") from None
        except IsADirectoryError:
            raise DecodeError("not a file: a folder, a pipe or the like") from None
        if t.sizes is not None and t.sizes[index].all():
            sizes.check(data, t.sizes[index].tolist(), t.where)
        if t.label is None:
            points, mask = np.zeros((t.num_points, 2)), np.zeros(t.num_points, bool)
        else:
            points, mask = t.label(index)
            points = np.where(mask[:, None], points, 0).astype(np.float32).astype(np.float64) + 0.0  # no -0
        return Example(data, points, mask, None if t.boxes is None else t.boxes[index])
