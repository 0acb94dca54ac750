"""Formats of data sets: a file for each, reading and writing.

A format is a module with NAME, `recognises(path)`, `parts(path)`, `read(path, part, pictures, num_points) -> Table` and
`write(out, rows, num_points)`.
"""

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np

from pipelines import boxes as boxes_
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

    Records that the file does not name are refused; boxes without area become those of the points, as
    `boxes.completed` has it. Raises ValueError, with the line, for a row that is no box, and where none has an area.
    """
    scan = labels.scan(path, b",", safe=labels.inner_path)
    if len(scan.columns) != 5:
        raise ValueError(f"{path}:1: {len(scan.columns)} columns, expected file_name, x, y, width, height")
    if scan.refused:
        raise ValueError(f"{path}:{scan.refused[0].line}: {scan.refused[0].reason}")
    places = {name: i for i, name in enumerate(scan.names)}
    kept = [i for i, name in enumerate(table.names) if name in places]
    boxes = np.array([scan.row(places[table.names[i]]) for i in kept], np.float64).reshape(-1, 4)
    if kept and not boxes_.have_area(boxes).any():
        first = table.names[kept[0]]
        raise ValueError(f"{path}:{scan.lines[places[first]]}: the box of {first} has no area, nor has any other")
    gone = [
        table.refusal(i, f"no box: {path.name} does not name it")
        for i in range(len(table.names))
        if table.names[i] not in places
    ]
    named = dataclasses.replace(table, boxes=None, replaced=None).chosen(kept)
    files = [*table.files, path]
    return boxes_.completed(dataclasses.replace(named, boxes=boxes, refused=table.refused + gone, files=files))
