"""Point maps: which points of several data sets are the same, from a JSON file.

    {"points": 68, "sets": [[0, 1, ...], [33, null, ...]]}

`points` is their number, or their names. `sets` has for each set, in the order given, the point of that set, by index from
0 or by its name, that each point is; null: it has none.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxmarks import data_sets, words
from pipelines.io import files

_log = logging.getLogger("jaxmarks")
_FORM = '{"points": 5, "sets": [[0, 1, 2, 3, 4], [7, null, 2, 5, 4]]}'


def equal(paths: Sequence[str], counts: Sequence[int], names: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the map of sets that have the same points: by their names where these are the same, else by their order,
    with a line where they have other names.

    Args:
        paths: of the sets.
        counts: of their points.
        names: of each set's points; empty: they have none.

    Returns:
        for each set, which of its points is each point of the first.

    Raises:
        ValueError: where they have unequal numbers of points.
    """
    if len(set(counts)) > 1:
        listed = ", ".join(f"{path} {count}" for path, count in zip(paths, counts, strict=True))
        raise ValueError(
            f"`data`: sets with other numbers of points ({listed}): `point_map` FILE says which are the same, as {_FORM}"
        )
    rows = []
    for place, (own, count) in enumerate(zip(names, counts, strict=True)):
        rows.append(by_names(names[0], own) or list(range(count)))
        if names[0] and own and sorted(names[0]) != sorted(own):
            at, first, theirs = first_difference(names[0], own)
            _log.warning(
                "%s: its points have other names than those of %s (point %d is %s, there %s): matched by their order; if"
                " that is wrong, `point_map` says which are the same",
                data_sets.label(place), data_sets.label(0), at, theirs, first,
            )  # fmt: skip
    return rows


def first_difference(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, str, str]:
    """Return the first place at which two lists of names differ, and the name of each there.

    Args:
        ours: names.
        theirs: names, not the same ones in the same order.

    Returns:
        the place, our name and theirs; `none` beyond the end of a list.
    """
    pairs = enumerate(itertools.zip_longest(ours, theirs, fillvalue="none"))
    return next((at, *pair) for at, pair in pairs if pair[0] != pair[1])


def by_names(ours: Sequence[str], theirs: Sequence[str]) -> list[int] | None:
    """Return which of their points each of ours is, by the names.

    Args:
        ours: names in our order.
        theirs: names in theirs.

    Returns:
        indices into theirs; None where there are no names, or not the same ones.
    """
    if not ours or sorted(ours) != sorted(theirs):
        return None
    places = {name: place for place, name in enumerate(theirs)}
    return [places[name] for name in ours]


def read(path: Path, counts: Sequence[int], names: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the map of a file.

    Args:
        path: of the file.
        counts: of each set's points.
        names: of each set's points; empty: they have none.

    Returns:
        for each set, which of its points is each point; -1: it has none.

    Raises:
        ValueError: in one line, where the file is no map of these sets.
    """
    data = files.parse_json(files.read_bytes(path), path)
    points, sets = (data.get("points"), data.get("sets")) if isinstance(data, dict) else (None, None)
    count = len(points) if isinstance(points, list) else points
    named = not isinstance(points, list) or (len(set(map(str, points))) == len(points) and all(map(_is_name, points)))
    if type(count) is not int or count < 1 or not isinstance(sets, list) or not named:
        raise ValueError(f"{path}: expected a map as {_FORM}")
    if len(sets) != len(counts):
        raise ValueError(f"{path}: a map of {words.counted(len(sets), 'data set')}, {len(counts)} are given (`data`)")
    rows = []
    for place, entries in enumerate(sets):
        where = f"{path}: {data_sets.label(place)}"
        if not isinstance(entries, list) or len(entries) != count:
            got = f"one of {len(entries)}" if isinstance(entries, list) else "no list"
            raise ValueError(f"{where}: expected a list of {count}, one for each point, got {got}")
        rows.append([_point(entry, counts[place], names[place], where) for entry in entries])
        _check(rows[-1], where)
    if missing := [at for at, column in enumerate(zip(*rows, strict=True)) if max(column) < 0]:
        raise ValueError(f"{path}: no set has point {missing[0]}; leave it out")
    return rows


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _point(entry: Any, count: int, known: Sequence[str], where: str) -> int:
    """The index that an entry means; -1: none."""
    if entry is None:
        return -1
    if isinstance(entry, str):
        if entry not in known:
            listed = words.listed(known, 5)
            has = f"its points are {listed}" if known else "its points have no names; give indices from 0"
            raise ValueError(f"{where}: no point {entry[:40]!r}; {has}")
        return list(known).index(entry)
    if type(entry) is not int or not 0 <= entry < count:
        raise ValueError(
            f"{where}: {str(entry)[:40]} is no point; it has {count}, from 0 to {count - 1}, and null means none"
        )
    return entry


def _check(row: list[int], where: str) -> None:
    """Raise ValueError where a set has no point, or one point twice."""
    counts = Counter(point for point in row if point >= 0)
    if not counts:
        raise ValueError(f"{where}: has none of the points; leave the set out")
    if twice := [point for point, times in counts.items() if times > 1]:
        raise ValueError(f"{where}: its point {twice[0]} is two points")
