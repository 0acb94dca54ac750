"""Bounding boxes: x, y, width, height in pixels of an image whose first pixel reaches from 0 to 1.

All records of a set have one, or none has: what to crop to is a property of the set, and a run keeps it. Where some
records have no box, or one without area, the box of the record's labelled points takes their place.
"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxmarks import words
from jaxmarks.config import cores
from pipelines.example import Source
from pipelines.images.decode import DecodeError
from pipelines.sources.tables import Table

_NEAR = 1.0, 0.01  # pixels, and share of the longer side: an edge this far from where labels put it may be rounded
_FEW, _MOST = 5, 0.8  # fewer records say nothing of how boxes were made; so many have a margin that all have


def of_points(points: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """The box f64[4] of the labelled points f[points, 2], or None where they span no length in either direction.

    Points on a line along an axis give a box of one pixel's width.
    """
    known = np.asarray(points, np.float64)[mask]
    if not len(known) or not (span := np.ptp(known, axis=0)).any():
        return None
    size = np.where(span > 0, span, 1.0)
    return np.concatenate([(known.min(0) + known.max(0) + 1 - size) / 2, size])


def have_area(boxes: np.ndarray) -> np.ndarray:
    """bool[n]: which of the boxes f64[n, 4] are finite and have an area."""
    return np.isfinite(boxes).all(1) & np.all(boxes[:, 2:] > 0, axis=1)


def completed(table: Table) -> Table:
    """Return the table with a box for every record, or for none.

    If some boxes have an area, the box of the labelled points takes the place of one without, and of one that is not
    there (`replaced`); a record whose points have none is in `rejected`.
    """
    if table.boxes is None or not len(table.names):
        return table
    lacking = np.flatnonzero(~have_area(table.boxes))
    if not len(lacking):
        return table
    if len(lacking) == len(table.names):
        return dataclasses.replace(table, boxes=None)
    boxes, replaced, gone = table.boxes.copy(), np.zeros(len(table.names), bool), []
    for index in lacking.tolist():
        found = of_points(*table.label(index)) if table.label is not None else None
        if found is None:
            gone.append(table.rejection(index, "box without area: and no labelled points to take one from"))
        else:
            boxes[index], replaced[index] = found, True
    notes = [*table.notes, *_missing(table)]
    table = dataclasses.replace(table, boxes=boxes, notes=notes, replaced=replaced, rejected=[*table.rejected, *gone])
    return table.chosen(np.flatnonzero(have_area(boxes)).tolist()) if gone else table


def _missing(table: Table) -> list[str]:
    """A line on how many records have no box at all, and how many one without area; none where all have one."""
    boxes = np.empty((0, 4)) if table.boxes is None else table.boxes
    missing, lacking = int((~np.isfinite(boxes).all(1)).sum()), int((~have_area(boxes)).sum())
    if not missing:
        return []
    flat = f"; {lacking - missing} have one without area" if lacking > missing else ""
    return [f"{table.where}: {missing} of {words.counted(len(boxes), 'record')} have no bounding box{flat}"]


def replaced_line(count: int, of: int) -> str:
    """Return a line on the number of records without a box, or with one without area, that got the box of the points."""
    have = "had no bounding box, or one without area: the box of the labelled points took its place"
    return f"{count} of {words.counted(of, 'record')} {have}"


def of_labels(source: Source, indices: Sequence[int] | np.ndarray, workers: int | None = None) -> int:
    """Return how many of these records are cropped to a box made from their own labels.

    That is the box of the labelled points up to rounding, or one extended, in most of the records, by the same pixels
    or the same share of its longer side. Records that cannot be read count as none.
    """
    if not source.boxed:
        return 0

    def one(index: int) -> list[np.ndarray] | None:
        try:
            example = source[index]
        except DecodeError:
            return None
        own = of_points(example.points, example.mask)
        return None if own is None or example.box is None else [own, np.asarray(example.box, np.float64)]

    with ThreadPoolExecutor(workers or cores()) as pool:
        found = [pair for pair in pool.map(one, (int(i) for i in indices)) if pair is not None]
    return int(_alike(*np.array(found).swapaxes(0, 1)).sum()) if found else 0


def _alike(own: np.ndarray, given: np.ndarray) -> np.ndarray:
    """bool[n]: which of the boxes f64[n, 4] that were given are made from those of the points."""
    side = own[:, 2:].max(1, keepdims=True)
    near = _NEAR[0] + _NEAR[1] * side
    away = _edges(given) - _edges(own)
    same = (np.abs(away) <= near).all(1)
    if (rest := ~same).sum() < _FEW:
        return same
    found = same.copy()
    for shift in (np.median(away[rest], 0), np.median((away / side)[rest], 0) * side):
        shifted = (np.abs(away - shift) <= near).all(1)
        if shifted[rest].mean() >= _MOST:
            found |= shifted
    return found


def _edges(boxes: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom, f64[n, 4]."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def of_labels_lines(count: int, of: int, what: str) -> list[str]:
    """Return lines on scores of crops of which `count` of `of` are made from labels; none if `count` is 0."""
    if not count:
        return []
    return [
        f"{count} of {of} {what} are cropped to boxes made from their own labels: their scores use the truth, and flatter;"
        " boxes of a detector (`boxes` FILE) do not"
    ]


def describe(source: Source, margin: float) -> list[str]:
    """To what images are cropped in training, a line for a person; none where they are seen whole."""
    return [f"images are cropped to their bounding boxes, `box_margin` {margin:g}"] if source.boxed else []
