"""CVAT for images 1.1: one XML of images with skeletons, or with single points of one label each.

`outside` is not labelled, `occluded` is. Loose points belong together by their group, as boxes belong to them and to
skeletons; those without a group are one object. Coordinates are those of the file, pixels from 0.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from jaxmarks import words
from pipelines.io import files
from pipelines.sources.formats import foreign, object_rows, objects, plain
from pipelines.sources.formats.objects import Found
from pipelines.sources.tables import Row, Table

NAME = "cvat"
SUFFIX, IMAGES, BOXED, SIZED, NAMED = ".xml", "images", True, True, True
parts = plain.parts
Attributes = dict[str, str]
_Groups = dict[str, list[Attributes]]
_BOX = f"{object_rows.KIND}_box"  # label of written boxes
_KEY = "object"  # attribute of a skeleton that keeps the OBJECT of a record
_APART = "give the points of each object a group, or use skeletons"
_ALONE = ("", "0")  # of group_id: no group


class _Labels:
    """The labels that a file declares."""

    def __init__(self):
        self._all: list[Attributes] = []

    def start(self) -> None:
        self._all.append({})

    def text(self, key: str, data: str) -> None:
        if self._all:
            self._all[-1][key] = self._all[-1].get(key, "") + data

    def names(self, skeleton: str | None = None) -> list[str]:
        """Every label's name; of a skeleton those of its points."""
        found = [one.get("name", "") for one in self._all if skeleton is None or one.get("parent") == skeleton]
        return list(dict.fromkeys(found))


class _Reader:
    """Takes the elements of a file one by one."""

    def __init__(self, path: Path):
        self.found, self.labels, self.tracks, self.images = Found(path.name, "CVAT's XML", _APART), _Labels(), 0, 0
        self._folder, self._stack = path.parent, list[str]()
        self.subsets: Counter[str] = Counter()  # images by subset
        self._image: Attributes = {}
        self._line = 0
        self._shapes: list[tuple[str, Attributes, list[Attributes]]] = []  # tag, attributes, points of a skeleton

    def start(self, tag: str, attributes: Attributes, line: int) -> None:
        """Take the beginning of an element."""
        above = self._stack[-1] if self._stack else ""
        self._stack.append(tag)
        if tag == "image" and len(self._stack) == 2:
            self._image, self._line, self._shapes, self.images = attributes, line, [], self.images + 1
            self.subsets[attributes.get("subset", "")] += 1
        elif tag == "track":
            self.tracks += 1
        elif tag == "label" and above == "labels":
            self.labels.start()
        elif above == "image":
            self._shapes.append((tag, attributes, []))
        elif above == "skeleton" and tag != "attribute" and self._shapes:
            self._shapes[-1][2].append(attributes | {"tag": tag})

    def text(self, data: str) -> None:
        """Take text within an element."""
        if self._stack[-2:-1] == ["label"]:
            self.labels.text(self._stack[-1], data)

    def end(self, tag: str) -> None:
        """Take the end of an element."""
        self._stack.pop()
        if tag == "image" and len(self._stack) == 1:
            self._take()

    def _take(self) -> None:
        """Add the objects of an image, each with the boxes of its group; those without a group only where all have none."""
        skeletons, loose, boxes = self._sorted()
        groups = Counter(_group(attributes) for attributes, _ in skeletons)
        alone = len(skeletons) + len(loose) == 1
        for attributes, elements in skeletons:
            group = _group(attributes)
            own = alone or (group and groups[group] == 1)
            key, kept = attributes.get(_KEY) or (group if own else ""), _KEY in attributes
            kind = attributes.get("label", "")
            self._add(elements, boxes.pop(group, []) if own else [], key=key, kept=kept, kind=kind)
        for group, some in loose.items():
            self._add(some, boxes.pop(group, []) if alone or group else [], key=group)
        self.found.passed["box of no object"] += sum(map(len, boxes.values()))
        self.found.passed += Counter()  # without those that count none

    def _sorted(self) -> tuple[list[tuple[Attributes, list[Attributes]]], _Groups, _Groups]:
        """(skeletons with their points, single points by group, boxes by group) of an image."""
        skeletons, loose, boxes = [], defaultdict(list), defaultdict(list)
        for tag, attributes, elements in self._shapes:
            if tag == "skeleton":
                skeletons.append((attributes, elements))
            elif tag == "points":
                loose[_group(attributes)].append(attributes | {"tag": tag})
            elif tag == "box" and not attributes.get("rotation"):
                boxes[_group(attributes)].append(attributes)
            else:
                self.found.passed["turned box" if tag == "box" else tag] += 1
        return skeletons, loose, boxes

    def _add(self, elements: list[Attributes], boxes: list[Attributes], **more) -> None:
        """Add an object of an image, with the points of these elements and the one box of its group."""
        image, labelled, box = self._path(), [], None
        for one in elements:
            if one["tag"] != "points":
                self.found.passed[f"{one['tag']} of a skeleton"] += 1
            elif one.get("outside") != "1":
                xy = plain.numbers(one.get("points", "").replace(";", ",").split(","))
                if xy is None or len(xy) != 2:
                    return self.found.reject(image, self._line, _point_fault(one, 0 if xy is None else len(xy)))
                labelled.append((one.get("label", ""), xy))
        if len(boxes) > 1:
            self.found.passed["box of an object with several"] += len(boxes)
        elif boxes and (box := _box(boxes[0])) is None:
            return self.found.reject(image, self._line, "not a box: a corner is not a finite number")
        size = tuple(objects.length(_whole(self._image.get(axis))) for axis in ("width", "height"))
        self.found.add(labelled, image, self._line, box=box, size=size, entry=self.images, **more)

    def _path(self) -> str:
        """The path of the image: in the export of a project, below the folder of its subset."""
        name, subset = objects.image_path(self._image.get("name", "")), self._image.get("subset", "")
        if subset and plain.path_fault(subset) is None and os.path.isdir(self._folder / IMAGES / subset):
            return f"{subset}/{name}"
        return name


def _group(attributes: Attributes) -> str:
    """The group of a shape; empty: none."""
    found = attributes.get("group_id", "")
    return "" if found in _ALONE else found


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 11 else None


def _box(attributes: Attributes) -> objects.Box | None:
    corners = plain.numbers([attributes.get(name, "") for name in ("xtl", "ytl", "xbr", "ybr")])
    return None if corners is None else objects.of_corners(*corners.tolist())


def _point_fault(one: Attributes, count: int) -> str:
    named = repr(one.get("label", ""))[:40]
    if count > 2 and count % 2 == 0:
        return f"no names: {count // 2} points in one shape of the label {named}; label one point a shape, or use skeletons"
    return f"not a point: {named} has {one.get('points', '')[:40]!r}, expected x,y"


def recognises(path: Path) -> bool:
    """Return whether this is an XML file of annotations."""
    return path.suffix.lower() == ".xml" and path.is_file() and foreign.xml_root(path) == "annotations"


likely = recognises


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """Return the objects by name. Raises ValueError, with the line, where the file is no such XML, or declares entities,
    and where it is of a video."""
    reader = _parsed(path)
    if reader.tracks and not reader.images:
        raise ValueError(
            f"{path}: CVAT for video, {reader.tracks} tracks; export the task as CVAT for images, with images"
        )
    if reader.tracks:
        reader.found.passed["track"] += reader.tracks
    reader.found.notes += _subsets(reader)
    label = reader.found.only_usual()
    used = {name for one in reader.found.objects for name in one.names}
    listed = reader.labels.names(label) if label else [name for name in reader.labels.names() if name in used]
    folders = [path.parent / IMAGES, path.parent]
    return reader.found.table(path, images, folders, listed=listed, closed=bool(label), files=[path])


def _subsets(reader: _Reader) -> list[str]:
    """A line on a file of several subsets, which are read as one set; none without."""
    if len(reader.subsets) < 2:
        return []
    counts = [f"{n} of {name[:40]!r}" if name else f"{n} of no subset" for name, n in sorted(reader.subsets.items())]
    shown = words.listed(counts, 5)
    return [
        f"{reader.found.where}: subsets are not read as splits: all {reader.images} images ({shown}) are read as one set; to"
        " train on one and evaluate on another, export each subset to a file of its own"
    ]


def _parsed(path: Path) -> _Reader:
    """Return what a file holds. Raises ValueError where it is not XML that is read."""
    reader, parser = _Reader(path), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, found: reader.start(tag, found, parser.CurrentLineNumber)
    parser.EndElementHandler, parser.CharacterDataHandler = reader.end, reader.text
    parser.EntityDeclHandler = _no_entities
    try:
        parser.Parse(files.read_bytes(path), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise ValueError(
            f"{path}:{error.lineno}: not XML (column {error.offset + 1}: {reason}); is it cut off?"
        ) from None
    except (LookupError, ValueError) as error:  # an encoding that is not known, an entity
        raise ValueError(f"{path}:{parser.CurrentLineNumber}: not XML that is read ({str(error)[:80]!r})") from None
    return reader


def _no_entities(name: str, *_) -> None:
    raise ValueError("it declares entities, which no export does")


def write(out: Path, rows: Iterable[Row], num_points: int, names: Sequence[str] = ()) -> None:
    """Write a skeleton for each record, and its box with it in a group, as the tool uploads them.

    names: of the points. Raises ValueError for a record without the size of its image.
    """
    known = object_rows.point_names(num_points, names)
    with files.whole(out) as file:
        for number, (image, records) in enumerate(object_rows.by_image(rows)):
            _, first = records[0]
            if not number:
                file.write(_head(known, first.box is not None).encode())
            named = f'id="{number}" name={quoteattr(image)} width="{first.size[0]}" height="{first.size[1]}"'
            shapes = "".join(_shapes(key, row, group, known) for group, (key, row) in enumerate(records, 1))
            file.write(f"<image {named}>\n{shapes}</image>\n".encode())
        file.write(b"</annotations>\n")


def _head(names: Sequence[str], boxed: bool) -> str:
    """The beginning of a file, with the labels that a task needs to take it."""
    labels = [(object_rows.KIND, "skeleton", ""), *((name, "points", object_rows.KIND) for name in names)]
    labels += [(_BOX, "rectangle", "")] * boxed
    declared = "".join(
        f"<label><name>{escape(name)}</name><type>{kind}</type><attributes></attributes>"
        f"{f'<parent>{parent}</parent>' if parent else ''}</label>\n"
        for name, kind, parent in labels
    )
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    return f"{head}<meta><task><labels>\n{declared}</labels></task></meta>\n"


def _shapes(key: str, row: Row, group: int, names: Sequence[str]) -> str:
    """The skeleton of a record, with every point, and its box."""
    known = {name: (x, y) for name, x, y in object_rows.labelled(row, names)}
    own = f" {_KEY}={quoteattr(key)}" if key else ""
    return "".join([
        f'<skeleton label="{object_rows.KIND}" source="auto" occluded="0" z_order="0" group_id="{group}"{own}>\n',
        *(_point(name, known.get(name)) for name in names),
        "</skeleton>\n",
        "" if row.box is None else _corners(row.box.tolist(), group),
    ])  # fmt: skip


def _point(name: str, xy: tuple[float, float] | None) -> str:
    x, y = (repr(v).removesuffix(".0") for v in xy or (0.0, 0.0))
    where = f'points="{x},{y}" outside="{int(xy is None)}"'
    return f'<points label={quoteattr(name)} source="auto" occluded="0" {where}></points>\n'


def _corners(box: list[float], group: int) -> str:
    left, top, width, height = box
    corners = np.array([left, top, objects.pixels(left + width), objects.pixels(top + height)])
    named = zip(("xtl", "ytl", "xbr", "ybr"), plain.exact(corners), strict=True)
    placed = " ".join(f'{axis}="{value}"' for axis, value in named)
    return f'<box label="{_BOX}" source="auto" occluded="0" {placed} z_order="0" group_id="{group}"></box>\n'
