"""LabelMe: a folder with a JSON for each image, its points as shapes of the type point, objects apart by group_id.

A rectangle of the same group is the object's box. Coordinates are those of the file, pixels from 0.
"""

import json
import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.io import files, guesses
from pipelines.sources.formats import coco, foreign, image_folders, object_rows, objects, plain
from pipelines.sources.formats.objects import Found
from pipelines.sources.tables import Row, Table

NAME = "labelme"
SUFFIX, IMAGES, BOXED, SIZED, NAMED = "", "", True, True, True
parts = plain.parts
_VERSION = "5.5.0"  # of the tool, whose files are written
_APART = "give the shapes of each object a group_id"
_KEY = "object"  # of a shape: keeps the OBJECT of a record
_GLANCED = 20  # files that tell whether a folder is one of these


def recognises(path: Path) -> bool:
    """Return whether a folder has one of these files in it or below it, of the first few."""
    some = zip(_tables(path), range(_GLANCED), strict=False) if path.is_dir() else ()
    starts = (foreign.beginning(table) for table, _ in some if table.is_file())
    return any('"shapes"' in start and ('"flags"' in start or '"imagePath"' in start) for start in starts)


def _tables(path: Path) -> Iterator[Path]:
    """The JSON files in a folder and below it."""
    for folder, below, names in os.walk(path):
        below.sort()
        yield from (Path(folder, name) for name in sorted(names) if name.lower().endswith(".json"))


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """Return the objects by name. Files that are none of these are rejected. Raises ValueError if none can be used."""
    root, _ = image_folders.find(path, images, [path], [])
    found, tables = Found(path.name, "LabelMe's JSON", _APART), [table for table in _tables(path) if table.is_file()]
    names: list[str] = []
    for table in tables:
        name = table.relative_to(path).as_posix()
        try:
            data = files.parse_json(files.read_bytes(table), name, coco.whole_number)
        except ValueError as error:
            line, reason = _placed(str(error).removeprefix(f"{name}:").strip())
            found.reject(name, line, reason)
            continue
        _add_file(name, data, root, found)
        names += objects.stored_names(data.get(object_rows.NAMES)) if isinstance(data, dict) else []
    listed = list(dict.fromkeys(names))
    return found.table(path, None, [root], listed=listed, closed=False, files=tables)


def _placed(message: str) -> tuple[int | None, str]:
    """(line, reason) of a message about a file; no line where it has none."""
    line, _, reason = message.partition(":")
    reason = reason.strip().replace(" (", ": ", 1).removesuffix(")")  # its kind first
    return (int(line), reason) if line.isascii() and line.isdigit() else (None, message)


def _add_file(name: str, data: Any, root: Path, found: Found) -> None:
    """Add the objects of a file."""
    known = isinstance(data, dict) and isinstance(data.get("shapes"), list) and isinstance(data.get("imagePath"), str)
    if not known:
        return found.reject(name, None, "not LabelMe's: expected shapes and imagePath")
    image, fault = _image(name, data["imagePath"], root)
    if fault:
        return found.reject(name, None, fault)
    size = (objects.length(data.get("imageWidth")), objects.length(data.get("imageHeight")))
    points, boxes = _sorted(data["shapes"], found)
    for group, some in points.items():
        if len(around := boxes.pop(group, [])) > 1:
            found.passed["rectangle of an object with several"] += len(around)
        box = _box(around[0]) if len(around) == 1 else None
        if any(v != v for v in box or ()):
            found.reject(image, None, f"not a box: the rectangle of the group {group!r:.40}, in {name[:80]}")
            continue
        own = some[0].get(_KEY)
        kept = isinstance(own, str) and bool(own)
        found.add(list(map(_point, some)), image, key=own if kept else group, kept=kept, box=box, size=size, entry=name)
    found.passed["image without a point"] += not points
    found.passed["rectangle of no object"] += sum(map(len, boxes.values()))
    found.passed += Counter()  # without those that count none


def _sorted(shapes: list[Any], found: Found) -> tuple[dict[str, list[dict]], dict[str, list[dict]]]:
    """(points, rectangles) of a file by their groups; other shapes are counted."""
    points, boxes = defaultdict(list), defaultdict(list)
    for shape in shapes:
        kind = shape.get("shape_type") if isinstance(shape, dict) else None
        if kind in ("point", "rectangle"):
            (points if kind == "point" else boxes)[_group(shape)].append(shape)
        else:
            found.passed[str(kind or "shape without a type")] += 1
    return points, boxes


def _point(shape: dict[str, Any]) -> tuple[str, tuple[float, float]]:
    """(name, x and y) of a point, NaN where it has not one place."""
    places = _corners(shape)
    return str(shape.get("label") or ""), places[0] if len(places) == 1 else (float("nan"), float("nan"))


def _group(shape: dict[str, Any]) -> str:
    group = shape.get("group_id")
    return "" if group is None else str(group)


def _corners(shape: dict[str, Any]) -> list[tuple[float, float]]:
    """The points of a shape; NaN for what is no number."""
    found = shape.get("points")
    pairs = (
        [p if isinstance(p, list) and len(p) == 2 else (None, None) for p in found] if isinstance(found, list) else []
    )
    return [(objects.number(x), objects.number(y)) for x, y in pairs]


def _box(shape: dict[str, Any]) -> objects.Box:
    """The box of a rectangle, of two corners or of four; of NaN where it is none."""
    xs, ys = zip(*(_corners(shape) or [(float("nan"),) * 2]), strict=True)
    if len(xs) not in (2, 4) or len(set(xs)) > 2 or len(set(ys)) > 2:
        return (float("nan"),) * 4
    return objects.of_corners(min(xs), min(ys), max(xs), max(ys))


def _image(name: str, stated: str, root: Path) -> tuple[str, str]:
    """(path of the image below the folder, what is wrong with it): as the file has it, else beside the file."""
    folder, stated = posixpath.dirname(name), objects.image_path(stated)
    choices = [posixpath.normpath(posixpath.join(folder, p)) for p in (stated, stated.rpartition("/")[2])]
    sound = [choice for choice in choices if plain.path_fault(choice) is None]
    if not sound:
        return stated, plain.path_fault(choices[0]) or ""
    image = next((c for c in sound if image_folders.spelled(root, c) is not None), None)
    if image is None:
        return sound[0], f"no image: {sound[0][:80]!r} is not there{guesses.near_file(root / sound[0])}"
    return image, ""


def file_of(name: str) -> str:
    """Return the file of the image of a record."""
    return f"{os.path.splitext(plain.image_of(name))[0]}.json"


def files_of(names: Iterable[str]) -> list[str]:
    """Return the files of the images of records."""
    return [file_of(image) for image in dict.fromkeys(map(plain.image_of, names))]


def write(
    out: Path, rows: Iterable[Row], num_points: int, names: Sequence[str] = (), images: Path | None = None
) -> None:
    """Write a file for each image in the folder `out`, named as it is, with a group for each record.

    names: of the points. images: the folder of the images, if they are not beside the files. Raises ValueError for a record
    without the size of its image, and where two images have one stem.
    """
    known, written = object_rows.point_names(num_points, names), set[str]()
    for image, records in object_rows.by_image(rows):
        if (name := file_of(image)) in written or plain.path_fault(image):
            raise ValueError(
                f"{image}: {'another image has this stem' if name in written else 'not a path below a folder'}"
            )
        written.add(name)
        groups = len(records) > 1 or records[0][1].box is not None
        shapes = [s for n, (key, row) in enumerate(records, 1) for s in _shapes(key, row, n if groups else None, known)]
        width, height = records[0][1].size
        data = {"version": _VERSION, "flags": {}, "shapes": shapes, "imagePath": _stated(out / name, image, images)}
        data |= {"imageData": None, "imageHeight": int(height), "imageWidth": int(width), object_rows.NAMES: known}
        with files.whole(out / name) as file:
            file.write(json.dumps(data, indent=2).encode() + b"\n")


def _stated(file: Path, image: str, images: Path | None) -> str:
    """The path of an image as a file has it: from the file's own folder on."""
    if images is None:
        return posixpath.basename(image)
    return Path(os.path.relpath(images / image, file.parent)).as_posix()


def _shapes(key: str, row: Row, group: int | None, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The shapes of a record."""
    more = {"group_id": group, "description": "", "flags": {}, "mask": None, **({_KEY: key} if key else {})}
    if row.box is not None:
        left, top, width, height = row.box.tolist()
        corners = [[left, top], [objects.pixels(left + width), objects.pixels(top + height)]]
        yield {"label": object_rows.KIND, "points": corners, "shape_type": "rectangle", **more}
    for name, x, y in object_rows.labelled(row, names):
        yield {"label": name, "points": [[x, y]], "shape_type": "point", **more}
