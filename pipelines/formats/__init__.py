"""Formats of data sets: a file for each, reading and writing.

A format is a module with NAME, `recognises(path)`, `parts(path)`, `read(path, part, pictures, num_points) -> Table` and
`write(out, rows, num_points)`.
"""

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np

from pipelines import labels
from pipelines.formats import coco, contest, deeplabcut, plain, w300, wflw
from pipelines.tables import Table

FORMATS: dict[str, ModuleType] = {module.NAME: module for module in (contest, coco, wflw, deeplabcut, plain, w300)}


def knows(path: Path) -> bool:
    """Whether one of the formats recognises what lies at a path."""
    return any(module.recognises(path) for module in FORMATS.values())


def recognise(path: Path) -> ModuleType:
    """The format of what lies at a path: the first that recognises it; the contest's, whose errors say what a folder
    should hold, where none does."""
    for module in FORMATS.values():
        if module.recognises(path):
            return module
    return contest


def with_boxes(table: Table, path: Path) -> Table:
    """The table with the boxes of a file: comma-separated, a header, then file_name, x, y, width, height in pixels.

    Records that the file does not name are refused. Raises ValueError, with the line, for a row that is no box.
    """
    scan = labels.scan(path, b",", safe=labels.inner_path)
    if len(scan.columns) != 5:
        raise ValueError(f"{path}:1: {len(scan.columns)} columns, expected file_name, x, y, width, height")
    if scan.refused:
        raise ValueError(f"{path}:{scan.refused[0].line}: {scan.refused[0].reason}")
    places = {name: i for i, name in enumerate(scan.names)}
    kept = [i for i, name in enumerate(table.names) if name in places]
    boxes = np.array([scan.row(places[table.names[i]]) for i in kept], np.float64).reshape(-1, 4)
    if (bad := np.flatnonzero((boxes[:, 2:] <= 0).any(1))).size:
        name = table.names[kept[bad[0]]]
        raise ValueError(f"{path}:{scan.lines[places[name]]}: the box of {name} has no area")
    gone = [
        table.refusal(i, f"no box: {path.name} does not name it")
        for i in range(len(table.names))
        if table.names[i] not in places
    ]
    return dataclasses.replace(
        chosen(table, kept), boxes=boxes, refused=table.refused + gone, files=[*table.files, path]
    )


def chosen(table: Table, indices: list[int]) -> Table:
    """Some records of a table, in the order given."""
    label, known = table.label, np.asarray(table.lines)
    return dataclasses.replace(
        table,
        names=[table.names[i] for i in indices],
        lines=known[indices],
        label=None if label is None else lambda index: label(indices[index]),
        pictures=None if table.pictures is None else [table.pictures[i] for i in indices],
        boxes=None if table.boxes is None else table.boxes[indices],
        sizes=None if table.sizes is None else table.sizes[indices],
        asked=None if table.asked is None else [table.asked[i] for i in indices],
    )
