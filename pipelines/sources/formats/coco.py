"""COCO keypoints: one JSON of images, annotations and categories, read whole and kept as float32.

Visibility 0 is not labelled, 1 (hidden) and 2 are. Coordinates are pixels from 0, as ours. An image of several
annotations gives records FILE#ID. One category is read; the annotations of others are rejected, each by name.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.io import files
from pipelines.sources import text_tables
from pipelines.sources.boxes import of_points
from pipelines.sources.formats import categories, coco_entries, coco_images, foreign, image_folders, object_rows, plain
from pipelines.sources.formats.coco_entries import Entry
from pipelines.sources.tables import Label, Rejected, Row, Table, sorted_by_name

NAME = "coco"
SUFFIX, IMAGES, BOXED, SIZED, NAMED = ".json", "images", True, True, True
parts = plain.parts
_MADE = "bbox_from"  # key of an annotation whose set has no boxes: "keypoints", which other programs want one of
_ONE = (None, 0, "0", "")  # of iscrowd: of one object
_FACE = "face"  # key of an annotation whose name in a set is not its id


class _Read(NamedTuple):
    entries: list[Entry]  # annotations that can be used
    count: int  # of points
    rejected: list[Rejected]  # annotations that cannot
    notes: list[str]
    points: list[str]  # their names; empty: they have none


def recognises(path: Path) -> bool:
    """Return whether this is a JSON file, but not one of Label Studio's."""
    return path.suffix.lower() == ".json" and path.is_file() and not foreign.is_tasks(path)


def likely(path: Path) -> bool:
    """Return whether a JSON file seems to be one of these, by its bytes."""
    if not recognises(path) or path.stat().st_size > 1 << 28:
        return False
    data = path.read_bytes()
    return b'"annotations"' in data and b'"images"' in data and b'"keypoints"' in data


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None, category: str = "") -> Table:
    """Return the annotations by name. category: the name or id of the one to read, if several have keypoints.

    Raises ValueError if the file is not COCO keypoints or the images are not found; crowds, annotations without a
    labelled point, flagged ones, those of other categories and invalid entries are in `rejected`.
    """
    entries, count, rejected, notes, known = _entries(path, category)
    names = _names(entries)
    order = sorted_by_name(names)
    found = [entries[i].image for i in order]
    points = np.array([entries[i].points for i in order], np.float32).reshape(-1, count, 2)
    masks = np.array([entries[i].mask for i in order], bool).reshape(-1, count)
    boxes = np.array([_box(entries[i].annotation) for i in order]).reshape(-1, 4)

    def label(index: int) -> Label:
        return points[index], masks[index]

    root, where = image_folders.find(path, images, _folders(path), found, label)
    return Table(
        root=root,
        where=path.name,
        num_points=count,
        names=[names[i] for i in order],
        lines=[0] * len(order),
        label=label,
        whole=text_tables.is_whole(points),
        images=found,
        boxes=boxes,
        sizes=np.array([entries[i].size for i in order], np.int64).reshape(-1, 2),
        rejected=rejected,
        files=[path],
        notes=notes + where,
        category=category,
        points=known,
    )


def _names(entries: list[Entry]) -> list[str]:
    """Return the names: IMAGE#OBJECT as kept by `write`, else by ids where an image has several."""
    names = plain.names_of([e.image for e in entries], [e.annotation["id"] for e in entries])
    kept = [
        f"{e.image}#{e.annotation[_FACE]}" if _FACE in e.annotation else n for e, n in zip(entries, names, strict=True)
    ]
    good = all(plain.image_of(n) == e.image for e, n in zip(entries, kept, strict=True))
    return kept if good and len(set(kept)) == len(kept) else names


def _folders(path: Path) -> list[Path]:
    """Return the possible image folders of annotations/person_keypoints_val2017.json and the like."""
    near, up, part = path.parent, path.parent.parent, re.search(r"(train|val|test)\d*", path.stem)
    folders = [near, near / "images", up / "images"]
    return folders + [folder / part[0] for folder in (near, up, up / "images") if part]


def _entries(path: Path, category: str) -> _Read:
    """Return the content of the file. Raises ValueError if it is not a COCO keypoints file."""
    data = files.parse_json(files.read_bytes(path), path, whole_number)
    known = isinstance(data, dict) and all(isinstance(data.get(key), list) for key in ("images", "annotations"))
    if known:
        coco_images.whole_ids(data)
    count, keys = categories.choose(path, data, category) if known else (0, frozenset())
    if not count:
        raise ValueError(f"{path}: {foreign.of_json(data)}")
    images = coco_images.read(data["images"], path.name)
    entries, rejected, again = [], [], []
    notes = [
        *images.notes,
        *coco_images.shifted(data["annotations"], images),
        *categories.other_sizes(data, count, keys),
        *categories.unlisted(data),
    ]
    first: dict[str, Entry] = {}
    for number, annotation in enumerate(data["annotations"]):
        entry = _entry(number, annotation, images, (count, keys))
        if isinstance(entry, Entry) and (before := first.setdefault(str(annotation["id"]), entry)) is not entry:
            again.append((before, entry))
            entry = Rejected(entry.image, None, f"id twice: annotation {annotation['id']}")
        if isinstance(entry, Rejected):
            rejected.append(entry if entry.file else entry._replace(file=path.name))
        else:
            entries.append(entry)
    notes += coco_entries.remarks(path.name, entries, count, again)
    return _Read(entries, count, rejected, notes, categories.point_names(data, count, keys))


def whole_number(digits: str) -> int | float:
    """A number that no 64 bits hold is the fault of its entry alone, which takes no such float."""
    number = int(digits) if len(digits) < 21 else 1 << 64
    return number if -(1 << 63) <= number < 1 << 64 else float(digits)


def _entry(
    number: int, annotation: Any, images: coco_images.Images, wanted: tuple[int, frozenset[categories.Key]]
) -> Entry | Rejected:
    """One annotation. wanted: number of points, keys of categories."""
    if not isinstance(annotation, dict):
        return Rejected("", None, f"not an annotation: entry {number} of the annotations")
    name, image_id = annotation.get("id"), annotation.get("image_id")
    if not coco_images.is_id(name) or plain.path_fault(f"a{name}") or plain.image_of(f"a#{name}") != "a":
        return Rejected("", None, f"bad id: entry {number} of the annotations has the id {name!r:.40}")
    if not coco_images.is_id(image_id) or image_id not in images.files:
        return Rejected("", None, f"unknown image: annotation {name}: no image has the id {image_id!r:.40}")
    if fault := coco_images.ambiguity(image_id, images.files[image_id]):
        return Rejected("", None, f"image id twice: annotation {name}: {fault}")
    image, size = images.files[image_id][0], images.sizes[image_id]
    if fault := plain.path_fault(image):
        return Rejected(image, None, fault)
    if fault := coco_images.flag(annotation):
        return Rejected(image, None, f"{fault}: annotation {name}")
    if fault := images.flags.get(image_id):
        return Rejected(image, None, f"{fault}: image {image_id}, of annotation {name}")
    if (key := categories.key_of(annotation)) not in wanted[1]:
        return Rejected(image, None, f"other category: annotation {name} is of category {key!r:.40}")
    if annotation.get("iscrowd") not in _ONE:
        return Rejected(image, None, f"crowd: annotation {name} is of many at once")
    values = _keypoints(annotation.get("keypoints") or [0] * 3 * wanted[0], wanted[0])
    if isinstance(values, str):
        return Rejected(image, None, values.format(name))
    mask, has_place = values[:, 2] > 0, (np.abs(values[:, :2]) > 0).any(1)
    if not mask.any():
        why = " has coordinates, all of visibility 0, which means not labelled" * bool(has_place.any())
        return Rejected(image, None, f"no labelled point: annotation {name}{why}")
    points, above = np.where(mask[:, None], values[:, :2], 0).astype(np.float32), int(values[:, 2].max())
    hidden = int((~mask & has_place).sum())
    return Entry(annotation, image, points, mask, size, above if above > 2 else 0, hidden)


def _keypoints(found: Any, count: int) -> np.ndarray | str:
    """f64[points, 3] x, y, visibility, or what is wrong with annotation {}."""
    if not isinstance(found, list) or len(found) != 3 * count:
        size = f"{len(found)} numbers" if isinstance(found, list) else "no list"
        return f"wrong number of points: annotation {{}} has {size}, expected {3 * count}"
    values = _array(found)
    if values is None or bool in set(map(type, found)):
        return "not a number: annotation {} has a coordinate or visibility that is not a number"
    values = values.reshape(-1, 3)
    if (wrong := ~((values[:, 2] >= 0) & (values[:, 2] == np.floor(values[:, 2])))).any():
        return f"bad visibility: annotation {{}} has {values[wrong.argmax(), 2]:.6g}; expected 0, 1 or 2"
    if not (np.abs(values[values[:, 2] > 0]) < 1e30).all():  # False for NaN; beyond it float32 ends
        return "not a finite number: annotation {}"
    return values


def _array(found: list[Any]) -> np.ndarray | None:
    try:
        values = np.array(found)
    except (ValueError, OverflowError):
        return None
    return values.astype(np.float64) if values.ndim == 1 and values.dtype.kind in "iuf" else None


def _box(annotation: dict[str, Any]) -> np.ndarray:
    """f64[4], NaN if missing, or only one that `write` made from the keypoints."""
    found = annotation.get("bbox") if annotation.get(_MADE) != "keypoints" else None
    box = _array(found) if isinstance(found, list) and len(found) == 4 else None
    return np.full(4, np.nan) if box is None else box


def write(out: Path, rows: Iterable[Row], num_points: int, names: Sequence[str] = ()) -> None:
    """A data set with numbered ids, one category, and for each record its box; where it has none, that of its labelled
    points, since other programs want one, marked as such, so that it is missing again when it is read.

    names: of the points.
    """
    images: dict[str, dict[str, Any]] = {}
    with files.whole(out) as file:
        file.write(b'{"info": {"description": "landmarks"}, "licenses": [],\n"annotations": [')
        for number, row in enumerate(rows, 1):
            image, (width, height) = plain.image_of(row.name), row.size
            new = {"id": len(images) + 1, "file_name": image, "width": int(width), "height": int(height)}
            box = plain.exact(_extent(row) if row.box is None else row.box)
            made = f'"{_MADE}": "keypoints", ' if row.box is None else ""
            if (face := row.name[len(image) + 1 :]) not in ("", str(number)):
                made += f'"{_FACE}": {json.dumps(face)}, '
            annotation = (
                f'{{"id": {number}, "image_id": {images.setdefault(image, new)["id"]}, "category_id": 1, "iscrowd": 0, '
                f'"bbox": [{",".join(box)}], {made}"area": {float(box[2]) * float(box[3])}, '
                f'"num_keypoints": {int(row.mask.sum())}, "keypoints": {_triples(row, 2)}}}'
            )
            file.write((",\n" if number > 1 else "\n").encode() + annotation.encode())
        points = object_rows.point_names(num_points, names)
        category = {"id": 1, "name": "object", "supercategory": "object", "keypoints": points, "skeleton": []}
        rest = f'],\n"images": {json.dumps(list(images.values()))},\n"categories": {json.dumps([category])}}}\n'
        file.write(rest.encode())


def _extent(row: Row) -> np.ndarray:
    """f64[4]: the box of a record's labelled points; zeros where they have none."""
    found = of_points(row.points, row.mask)
    return np.zeros(4) if found is None else found


def write_results(out: Path, rows: Iterable[Row], num_points: int, source_json: Path, category: str = "") -> None:
    """A list of results in the form that COCO.loadRes takes, with the image_id and category_id that the source gives
    the records; category: as for `read`. The score is 1.0 throughout: no confidence is known here.

    Raises ValueError for a record that the source does not have, or of another number of points.
    """
    entries, count, *_ = _entries(source_json, category)
    if count != num_points:
        raise ValueError(f"{source_json}: has {count} points, the predictions {num_points}")
    known = {name: entry.annotation for name, entry in zip(_names(entries), entries, strict=True)}
    with files.whole(out) as file:
        file.write(b"[")
        for number, row in enumerate(rows):
            if (annotation := known.get(row.name)) is None:
                raise ValueError(f"{source_json}: no annotation is named {row.name}")
            ids = json.dumps({"image_id": annotation["image_id"], "category_id": annotation.get("category_id", 1)})
            result = f'{ids[:-1]}, "keypoints": {_triples(row, 1)}, "score": 1.0}}'
            file.write((",\n" if number else "\n").encode() + result.encode())
        file.write(b"\n]\n")


def _triples(row: Row, visibility: int) -> str:
    """x, y, visibility of each point as JSON; zeros where it is not labelled."""
    text = plain.texts(np.where(row.mask[:, None], row.points, 0))
    seen = [visibility if there else 0 for there in row.mask.tolist()]
    return "[" + ",".join(f"{x},{y},{v}" for x, y, v in zip(text[::2], text[1::2], seen, strict=True)) + "]"
