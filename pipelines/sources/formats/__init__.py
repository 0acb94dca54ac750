"""Data formats: one module each for reading and writing; `foreign` recognises formats that are not read.

A format is a module with NAME, which is that of its file; SUFFIX of the file that it writes (empty: a folder); IMAGES, the
folder of images beside that file or in that folder; BOXED, whether it holds boxes; `recognises(path)`, `parts(path)`,
`read(path, part, images, num_points) -> Table` (images: a folder given for the images; num_points: for a test split that
does not say; a format of one file reads the same rows as either split) and, if it is one of `choices.WRITTEN`,
`write(out, rows, num_points)`. One of `NAMED` points takes their names there as well, one that is `SIZED` needs the sizes of
images, one that writes a folder has `files_of(names)`, the files for records of these names. A format of one file may have
`likely(path)`, by which a path near it is suggested.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from jaxmarks import choices, words
from pipelines.example import Source
from pipelines.sources import boxes as boxes_
from pipelines.sources import image_names, text_tables
from pipelines.sources.formats import contest, deeplabcut, foreign, headers, image_folders, labelme, pts, yolo
from pipelines.sources.tables import Row, Table, table_of

FORMATS: dict[str, ModuleType] = {name: import_module(f"{__name__}.{name}") for name in choices.FORMATS}


def knows(path: Path) -> bool:
    """Return whether one of the formats recognises the path."""
    return any(module.recognises(path) for module in FORMATS.values())


def recognise(path: Path) -> ModuleType:
    """Return the first format that recognises the path. Raises ValueError with what it is and where near it a data set
    is, as far as known."""
    if (table := contest.folder_of(path)) is not None:
        raise ValueError(f"{path} is {'a table' if path.is_file() else 'a part'} of a contest folder: give {table}")
    for module in FORMATS.values():
        if module.recognises(path):
            return module
    what = foreign.of_folder(path) if path.is_dir() else foreign.of_file(path)
    near = [f"{place} ({name})" for place, name in itertools.islice(_near(path), 3)]
    reason = f"{what}, which is not read" if what else "of no known format"
    hint = f"; near it is {', '.join(near)}: give that path" if near else ""
    raise ValueError(f"{path}: {reason}{hint}; known are {foreign.KNOWN}")


def sized(kind: str) -> bool:
    """Return whether the files of a format need the sizes of the images."""
    return getattr(FORMATS[kind], "SIZED", False)


def write(
    kind: str, out: Path, rows: Iterable[Row], source: Source, copied: bool = False, images: Path | None = None
) -> None:
    """Write the records of a source in a format, their points by the names that the source has, where the format names them.

    copied: the images are written too, where the format expects them. images: their folder; None: that of the table which
    the source was read from. Raises ValueError where the format cannot say the records.
    """
    module, table = FORMATS[kind], table_of(source)
    known: dict[str, object] = {"names": list(source.point_names)} if getattr(module, "NAMED", False) else {}
    if kind == labelme.NAME and not copied:
        known["images"] = images or (table.root if table else None)
    if source.mirror and kind == yolo.NAME:
        known["mirror"] = source.mirror
    module.write(out, rows, source.num_points, **known)


def _near(path: Path) -> Iterator[tuple[Path, str]]:
    """(path to give, format) of data sets in a folder, in the folders of it, and in those around it."""
    top = path if path.is_dir() else path.parent
    inside = sorted(p for p in top.iterdir() if p.is_dir())[:_SAMPLED] if path.is_dir() else []
    for folder in (top, *inside, *path.absolute().parents[:2]):
        named = [module.NAME for module in (contest, deeplabcut) if folder != path and module.recognises(folder)]
        yield from ((folder, name) for name in named)
        for file in sorted(p for p in folder.iterdir() if p.is_file() and p != path)[:_SAMPLED]:
            if file.suffix.lower() == ".pts" and folder != path:
                yield folder, pts.NAME
                break
            if not named and (
                module := next((m for m in FORMATS.values() if hasattr(m, "likely") and m.likely(file)), None)
            ):
                yield file, module.NAME


_SHOWN = 3  # names in a line
_SAMPLED = 200  # files and folders near a path, of which one may be meant


def respelled(table: Table) -> Table:
    """The table with the paths of its images as the disk spells them, where it has another form of Unicode."""
    found = list(table.images or table.names)
    changed = 0
    for index, name in enumerate(found):
        if not name.isascii() and (other := image_folders.spelled(table.root, name)) not in (None, name):
            found[index], changed = str(other), changed + 1
    if not changed:
        return table
    note = (
        f"{table.where}: {words.counted(changed, 'name')} of images spelled in another form of Unicode on the disk (accents);"
        " taken as the same"
    )
    return dataclasses.replace(table, images=found, notes=[*table.notes, note])


def _unknown(path: Path, names: Sequence[str], table: Table) -> list[str]:
    """A line on the rows of a file of boxes whose image is no record; none without such."""
    known = {*table.names, *(rejected.file for rejected in table.rejected)}
    if not (unknown := [name for name in names if name not in known]):
        return []
    shown = words.listed(unknown, _SHOWN)
    return [f"{path}: {words.counted(len(unknown), 'row')} for images that {table.where} does not have: {shown}"]


def with_boxes(table: Table, path: Path, whole: bool = True) -> Table:
    """Return the table with the boxes of a file: comma-separated, a header, then file_name, x, y, width, height in
    pixels.

    whole: the set has no other part, whose images may have rows. Records without a row are rejected;
    boxes without area become those of the points, by `boxes.completed`. Raises
    ValueError with the line for a row that is not a box, for a header of other columns, and if no box has an area.
    """
    scan = text_tables.scan(path, b",", safe=image_names.inner_path)
    if len(scan.columns) != 5:
        raise ValueError(
            f"{path}:1: {words.counted(len(scan.columns), 'column')}, expected file_name, x, y, width, height"
        )
    headers.check_box(path, scan.columns)
    if scan.rejected:
        raise ValueError(f"{path}:{scan.rejected[0].line}: {scan.rejected[0].reason}")
    places = {name: i for i, name in enumerate(scan.names)}
    kept = [i for i, name in enumerate(table.names) if name in places]
    boxes = np.array([scan.row(places[table.names[i]]) for i in kept], np.float64).reshape(-1, 4)
    if kept and not boxes_.have_area(boxes).any():
        first = table.names[kept[0]]
        raise ValueError(f"{path}:{scan.lines[places[first]]}: the box of {first} has no area, nor has any other")
    gone = [
        table.rejection(i, f"no box: {path.name} does not name it")
        for i in range(len(table.names))
        if table.names[i] not in places
    ]
    named = dataclasses.replace(table, boxes=None, replaced=None).chosen(kept)
    more = {
        "files": [*table.files, path],
        "notes": [*table.notes, *scan.notes, *(_unknown(path, scan.names, table) if whole else [])],
    }
    return boxes_.completed(dataclasses.replace(named, boxes=boxes, rejected=table.rejected + gone, **more))
