"""Several data sets as one source: records named by their set, points by a map, sets kept apart where they are told of."""

import bisect
import hashlib
import json
from collections.abc import Sequence

import numpy as np

from jaxmarks import data_sets, words
from pipelines.example import Example, Source, Subset, identity


class Mixed(Source):
    """The records of several sets, one set after the other, each record named LABEL/NAME.

    A point that a set lacks is not labelled there. A set without bounding boxes is seen whole beside those with boxes.

    Args:
        members: the sets; None: one that has nothing here, such as no test split.
        rows: for each set, which of its points is each point; -1: it has none.

    Raises:
        ValueError: where two sets hold the same records, or one lacks a point that `rows` names.
    """

    def __init__(self, members: Sequence[Source | None], rows: Sequence[Sequence[int]]):
        self.sets, self.num_points = [list(map(int, row)) for row in rows], len(rows[0])
        labels = [data_sets.label(place) for place in range(len(rows))]
        for label, row, member in zip(labels, rows, members, strict=True):
            if member is not None and max(row) >= member.num_points:
                has = words.counted(member.num_points, "point")
                raise ValueError(f"`data`: {label} has {has}, and the points of the run name its point {max(row)}")
        found = [(n, np.array(r), m) for n, r, m in zip(labels, rows, members, strict=True) if m is not None]
        self.members = [member for _, _, member in found]
        self._rows = [row for _, row, _ in found]
        self._ends = np.cumsum([len(member) for member in self.members]).tolist()
        self.names = [f"{label}/{name}" for label, _, member in found for name in member.names]
        self.labelled = any(member.labelled for member in self.members)
        self.boxed = any(member.boxed for member in self.members)
        self.asked = self._asked()
        self.point_names, self.mirror = self._names(), self._mirror()
        self.groups = None
        if any(member.groups is not None for member in self.members):
            grouped = ((label, g) for label, _, m in found for g in m.groups or [""] * len(m))
            self.groups = [f"{label}/{group}" if group else "" for label, group in grouped]
        if all(member.specification or member.identity for member in self.members):
            self.identity = self._identity(labels)

    def _identity(self, labels: Sequence[str]) -> str:
        each = [identity(member) for member in self.members]
        if again := [i for i, one in enumerate(each) if one in each[:i]]:
            first = labels[each.index(each[again[0]])]
            raise ValueError(f"`data`: {first} and {labels[again[0]]} hold the same records; give each set once")
        return hashlib.sha256(json.dumps([each, self.sets]).encode()).hexdigest()

    def _names(self) -> Sequence[str]:
        """The name of each point in the first set that has it and names its points; empty where one has none, or two do."""
        named = [(row, m.point_names) for row, m in zip(self._rows, self.members, strict=True) if m.point_names]
        found = [next((str(n[row[at]]) for row, n in named if row[at] >= 0), "") for at in range(self.num_points)]
        return found if all(found) and len(set(found)) == len(found) else ()

    def _mirror(self) -> Sequence[int]:
        """The mirror permutation that the files of sets say, where those that say one say the same, of every point."""
        said = {tuple(_mapped(m.mirror, row)) for row, m in zip(self._rows, self.members, strict=True) if m.mirror}
        return list(said.pop()) if len(said) == 1 else ()

    def _asked(self) -> list[np.ndarray] | None:
        """The points to predict of each image; None where not every set asks for some that it has here."""
        found = []
        for row, member in zip(self._rows, self.members, strict=True):
            if member.asked is None or not all(np.isin(some, row).all() for some in member.asked):
                return None
            places = np.argsort(row)[np.searchsorted(np.sort(row), np.arange(row.max() + 1)) % len(row)]
            found += [places[some] for some in member.asked]
        return found

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        at = bisect.bisect_right(self._ends, index := range(len(self))[index])
        row, member = self._rows[at], self.members[at]
        example = member[index - self._ends[at] + len(member)]
        there = row >= 0
        points = np.where(there[:, None], np.asarray(example.points)[row], 0)
        return example._replace(points=points, mask=example.mask[row] & there)


class Reordered(Subset):
    """A source with its points in another order.

    Args:
        source: the data set.
        row: which of its points is each point, all of them once.
    """

    def __init__(self, source: Source, row: Sequence[int]):
        super().__init__(source, range(len(source)))
        self.source, self.row, self.inverse = source, np.array(row), np.argsort(row)
        self.point_names, self.mirror = [source.point_names[i] for i in row], _mapped(source.mirror, self.row)
        self.replaced, self.groups = source.replaced, source.groups
        self.asked = None if source.asked is None else [self.inverse[some] for some in source.asked]

    def __getitem__(self, index: int) -> Example:
        example = super().__getitem__(index)
        return example._replace(points=np.asarray(example.points)[self.row], mask=example.mask[self.row])


def _mapped(mirror: Sequence[int], row: np.ndarray) -> Sequence[int]:
    """A mirror permutation as one of the points in a row; empty without one, or where the row lacks a partner."""
    places = {point: at for at, point in enumerate(row.tolist())}
    found = [places.get(mirror[point], -1) if point >= 0 else -1 for point in row.tolist()] if mirror else []
    return [] if -1 in found else found


def apart(source: Source) -> dict[str, Source]:
    """Return the sets of a source that has several, by label; itself under no label otherwise.

    Args:
        source: a `Mixed`, or some of its records.

    Returns:
        the sets that have records there, with the groups of these.
    """
    if not source.sets:
        return {"": source}
    indices: dict[str, list[int]] = {}
    for index, label in enumerate(data_sets.labels(source.names)):
        indices.setdefault(label, []).append(index)
    found: dict[str, Source] = {}
    for label, some in indices.items():
        found[label] = part = Subset(source, some)
        part.groups = None if source.groups is None else [source.groups[i] for i in some]
    return found
