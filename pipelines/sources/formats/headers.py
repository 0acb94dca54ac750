"""Column names of tables: x and y of each point, and bounding boxes."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

_LETTER = r"[^\W\d_]"
_CORNER = re.compile(r"max|right|bottom|[xy][\W_]*[12]$", re.IGNORECASE)  # and not a width or a height
_AXES = {"x": "col|column", "y": "row"}  # words for an axis, beside its letter
_OTHER = re.compile(
    r"width|height|size|scores?|conf|confidence|likelihood|prob|probability|visible|visibility|occluded|id|age|sex|gender|label"
    r"|class|category|lat|latitude|longitude|lon|lng|split|fold|frame|time|timestamp|weight"
)  # words of names that are no coordinates
_SHOWN = 8  # columns that a message names


def check(path: Path, columns: Sequence[str], boxed: str) -> None:
    """Raise ValueError, with the columns and what to do, if column names state axes and a column is not x followed by y
    of the same point, nor that y; if a name mentions a box, or has a word for something else, or that of a point stands
    twice; if two tables lie side by side. x and y may be called column and row.

    columns: all names, that of the image first, without those of a box in its proper place. boxed: how boxes are given,
    for the message.
    """
    if merged := _merged(columns):
        raise ValueError(
            f"{path}:1: columns {merged}_x and {merged}_y look like pandas.merge's suffixes _x and _y: two tables side by"
            " side; keep one"
        )
    if found := [i for i, name in enumerate(columns) if i and "box" in name.casefold()]:
        raise ValueError(
            f"{path}:1: {_named(columns, found)}: a box where none is expected; {boxed} (a point's name has no 'box' in it)"
        )
    if found := [i for i, name in enumerate(columns) if i and _is_other(name)]:
        raise ValueError(f"{path}:1: {_named(columns, found)}: no coordinate by its name: remove such columns; {boxed}")
    if found := [i for i, name in enumerate(columns) if i and name in columns[1:i] and _is_named(name)]:
        raise ValueError(
            f"{path}:1: {_named(columns, found)}: a point's name for the second time; keep one of each, or rename"
        )
    if found := _unlike(columns):
        raise ValueError(
            f"{path}:1: {_named(columns, found)}: not x and y of one point: their names have nothing in common, those of the"
            f" other points begin alike; remove such columns, or name x and y of a point alike; {boxed}"
        )
    if any(_points(name, axis) for name in columns[1:] for axis in "xy") and (found := _stray(columns)):
        raise ValueError(
            f"{path}:1: {_named(columns, found)}: not x, then y of the same point by their names; expected a name and"
            f" x, y of each point: put these side by side in this order, remove other columns; {boxed}"
        )


def _unlike(columns: Sequence[str]) -> list[int]:
    """Return the columns of pairs whose names neither begin nor end alike, and state no axis, where most pairs begin alike."""
    pairs = list(zip(columns[1::2], columns[2::2], strict=False))
    alike = [bool(os.path.commonprefix(pair)) for pair in pairs]
    apart = [i for i, pair in enumerate(pairs) if not alike[i] and pair[0][-1:] != pair[1][-1:]]
    apart = [i for i in apart if not any(_points(name, axis) for name in pairs[i] for axis in "xy")]
    return [column for i in apart for column in (2 * i + 1, 2 * i + 2)] if 2 * sum(alike) > len(pairs) else []


def _merged(columns: Sequence[str]) -> str | None:
    """Return the name of an x that comes with both suffixes of pandas.merge, as its y does; None: there is none."""
    known = set(columns[1:])
    both = [name[:-2] for name in columns[1:] if name.endswith("_x") and f"{name[:-2]}_y" in known]
    ys = {point for name in both for point in _points(name, "y")} - {""}
    return next((name for name in both if _points(name, "x") & ys), None)


def _is_other(name: str) -> bool:
    """Return whether a name has a word for what is no coordinate, and states no axis."""
    words = re.findall(rf"{_LETTER}+", name.casefold())
    return any(map(_OTHER.fullmatch, words)) and not any(_points(name, axis) for axis in "xy")


def check_box(path: Path, columns: Sequence[str]) -> None:
    """Raise ValueError, with the columns, if the names of a file of boxes state corners or another order than x, y,
    width, height. columns: all five, that of the image first."""
    at = (
        (1, _points(columns[1], "y")),
        (2, _points(columns[2], "x")),
        *((i, _CORNER.search(columns[i])) for i in (3, 4)),
    )
    swapped = [i for i, other in ((3, "height"), (4, "width")) if other in columns[i].casefold()]
    if found := sorted({i for i, known in at if known} | set(swapped)):
        raise ValueError(f"{path}:1: {_named(columns, found)}: expected file_name, x, y (left, top), width, height")


def _is_named(name: str) -> bool:
    """Return whether a name states an axis and a point."""
    return any(point for axis in "xy" for point in _points(name, axis))


def _stray(columns: Sequence[str]) -> list[int]:
    """Return the columns that are neither x followed by y of the same point, nor such a y."""
    stray, at = [], 1
    while at < len(columns):
        if at + 1 < len(columns) and _points(columns[at], "x") & _points(columns[at + 1], "y"):
            at += 2
        else:
            stray.append(at)
            at += 1
    return stray


def _points(name: str, axis: str) -> set[str]:
    """Return the point of a name that states an axis: the rest of it, for each separate letter of that axis in it.
    `x_0`, `0x`, `M0_X` and `noseX` have one, `max` and `px` have none."""
    upper, lower = axis.upper(), axis
    apart = rf"(?<!{_LETTER})([{lower}{upper}]|(?i:{_AXES[axis]}))(?!{_LETTER})|(?<=[a-z]){upper}(?!{_LETTER})"
    rests = (f"{name[: found.start()]} {name[found.end() :]}" for found in re.finditer(apart, name))
    return {re.sub(r"[\W_]+", " ", rest).strip().casefold() for rest in rests}


def _named(columns: Sequence[str], found: Sequence[int]) -> str:
    """Columns by number, from 1, and name."""
    listed = ", ".join(f"{i + 1} ({columns[i][:40]!r})" for i in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"column{'s' * (len(found) > 1)} {listed}{more}"
