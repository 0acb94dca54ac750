"""Label Studio: the JSON export of tasks with keypoint labels, in per cent of the image's original size.

The points of an object hang on a region, mostly a rectangle, by `parentID` or a relation; those that hang on none are one
object. Predictions are read where no task has an annotation.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pipelines.io import files
from pipelines.sources import boxes
from pipelines.sources.formats import beside, coco, foreign, object_rows, objects, plain
from pipelines.sources.formats.objects import Found
from pipelines.sources.tables import Row, Table

NAME = "labelstudio"
SUFFIX, IMAGES, BOXED, SIZED, NAMED = ".json", "images", True, True, True
parts = plain.parts
_APART = "link the points of each object to its rectangle (or give them it as parent)"
_UPLOAD = re.compile(r"/?data/upload/(?:\d+/)?")
_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # of an uploaded file's name
_LABELLED = ("annotations", "completions")  # what a task calls its annotations, the second in old versions
_POINT, _BOX = "point", "rectangle"  # kinds of regions
_POINTS, _BOXES = ("keypointlabels", "keypoint"), ("rectanglelabels", "rectangle")  # their types
_MADE = ["box made from the points"]  # text of a rectangle that is no box of the set
_LOCAL = "/data/local-files/?d="
_KEPT = "object-"  # beginning of a written region's id, before the OBJECT that a record is named by


class _Region(NamedTuple):
    key: str
    kind: str
    labels: list[str]
    value: dict[str, Any]
    size: tuple[int, int]
    turned: bool
    made: bool  # of the points, by us


def recognises(path: Path) -> bool:
    """Return whether this is a JSON file of a list of tasks."""
    return path.suffix.lower() == ".json" and path.is_file() and foreign.is_tasks(path)


likely = recognises


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """Return the objects by name. Raises ValueError where the file is no list of tasks with keypoint labels."""
    tasks = files.parse_json(files.read_bytes(path), path, coco.whole_number)
    if not isinstance(tasks, list):
        raise ValueError(f"{path}: not Label Studio's JSON: expected a list of tasks")
    found, keys = Found(path.name, "Label Studio's JSON", _APART), _LABELLED
    if not any(_annotations(task, keys) for task in tasks):
        keys = ("predictions",)
        found.notes.append(f"{path.name}: no task has an annotation; predictions are read as labels")
    for number, task in enumerate(tasks, 1):
        _add_task(number, task, keys, found)
    forms = (*objects.FAR, lambda name: _PREFIX.sub("", name.rpartition("/")[2]))
    stored = [objects.stored_names(_data(task).get(object_rows.NAMES)) for task in tasks]
    listed = list(dict.fromkeys(name for names in stored for name in names))
    folders = [path.parent / IMAGES, path.parent]
    return found.table(path, images, folders, listed=listed, closed=False, forms=forms, files=[path])


def _annotations(task: Any, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The annotations of a task that were not skipped: those marked as the truth first, then those with the most regions, since
    one may have been abandoned."""
    every = task if isinstance(task, dict) else {}
    lists = [every[key] for key in keys if isinstance(every.get(key), list)]
    good = [a for some in lists for a in some if isinstance(a, dict) and isinstance(a.get("result"), list)]
    kept = [a for a in good if not a.get("was_cancelled")]
    return sorted(kept, key=lambda a: (a.get("ground_truth") is not True, -len(a["result"])))


def _add_task(number: int, task: Any, keys: Sequence[str], found: Found) -> None:
    """Add the objects of a task."""
    image = _image(task)
    if image is None:
        return found.reject("", None, f"no image: entry {number} of the tasks names none in its data")
    _count_unread(task, keys, found.passed)
    if not (annotations := _annotations(task, keys)):
        found.passed["task without an annotation"] += 1
        return
    found.passed["further annotation of a task"] += len(annotations) - 1
    found.passed["annotation without a region"] += not annotations[0]["result"]
    regions, links = _regions(annotations[0]["result"], found)
    groups = _groups(regions, links)
    rectangles = [r for r in regions if r.kind == _BOX]
    alone = len(groups) == 1 and len(rectangles) == 1
    used = 0
    for some in groups:
        points, around = (
            [r for r in some if r.kind == _POINT],
            rectangles if alone else [r for r in some if r.kind == _BOX],
        )
        key = next((r.key for r in some if r.kind != _POINT), points[0].key)
        used += len(around) == 1
        _add(image, key, points, around[0] if len(around) == 1 else None, number, found)
    found.passed["rectangle of no object"] += len(rectangles) - used
    found.passed += Counter()  # without those that count none


def _count_unread(task: dict[str, Any], keys: Sequence[str], passed: Counter[str]) -> None:
    """Count what a task has beside the annotations that may be read: skipped ones, drafts, and predictions."""
    every = {key: some for key, some in task.items() if isinstance(some, list)}
    skipped = [a for key in keys for a in every.get(key, []) if isinstance(a, dict) and a.get("was_cancelled")]
    drafts, predictions = every.get("drafts", []), [] if "predictions" in keys else every.get("predictions", [])
    for kind, some in (("skipped annotation", skipped), ("draft", drafts), ("prediction", predictions)):
        if some:
            passed[f"{kind} of a task"] += len(some)


def _add(image: str, key: str, points: list[_Region], around: _Region | None, number: int, found: Found) -> None:
    """Add the object of these points."""
    for one in points:
        if one.turned:
            return found.reject(image, None, "turned: image_rotation is set; turn the file itself, and label it so")
        if not all(one.size):
            return found.reject(image, None, "no size: original_width or original_height of a point is missing")
        if len(one.labels) != 1:
            return found.reject(image, None, f"no name: a point has {len(one.labels)} labels, expected one")
    labelled = [(r.labels[0], [_pixels(r, "x", 0), _pixels(r, "y", 1)]) for r in points]
    box = None
    if around is not None and not around.made:
        box = tuple(objects.pixels(_pixels(around, *at)) for at in (("x", 0), ("y", 1), ("width", 0), ("height", 1)))
        if around.turned or not all(around.size) or not all(map(math.isfinite, box)) or around.value.get("rotation"):
            return found.reject(image, None, "not a box: its rectangle is turned, or not of finite numbers")
    kept = key.startswith(_KEPT)
    key = key.removeprefix(_KEPT)
    found.add(labelled, image, key=key, kept=kept, box=box, size=points[0].size, entry=number)


def _pixels(region: _Region, field: str, axis: int) -> float:
    """A number of a region in pixels: files have per cent."""
    return objects.number(region.value.get(field)) * region.size[axis] / 100


def _regions(results: list[Any], found: Found) -> tuple[list[_Region], list[tuple[str, str]]]:
    """(points and rectangles, pairs of ids that belong together)."""
    regions: dict[str, _Region] = {}
    links, labels = [], defaultdict(list)
    for number, one in enumerate(results):
        kind, value = (one.get("type"), one.get("value")) if isinstance(one, dict) else (None, None)
        if kind == "relation":
            links.append((str(one.get("from_id")), str(one.get("to_id"))))
            continue
        key = str(one.get("id", f"region {number}")) if isinstance(one, dict) else ""
        if not isinstance(value, dict) or kind not in (*_POINTS, *_BOXES, "labels"):
            found.passed[str(kind)] += 1
            continue
        labels[key].extend(name for k in ("keypointlabels", "labels") for name in _texts(value.get(k)))
        if one.get("parentID"):
            links.append((key, str(one["parentID"])))
        if kind != "labels":
            size = (objects.length(one.get("original_width")), objects.length(one.get("original_height")))
            made = isinstance(meta := one.get("meta"), dict) and meta.get("text") == _MADE
            place = _POINT if kind in _POINTS else _BOX
            regions[key] = _Region(key, place, labels[key], value, size, bool(one.get("image_rotation")), made)
    return list(regions.values()), links


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _groups(regions: list[_Region], links: list[tuple[str, str]]) -> list[list[_Region]]:
    """The regions of each object: those that are linked; points that hang on nothing are one object."""
    above: dict[str, str] = {}

    def top(key: str) -> str:
        while above.setdefault(key, key) != key:
            above[key] = above[above[key]]
            key = above[key]
        return key

    linked = {key for pair in links for key in pair}
    for one, other in links:
        above[top(one)] = top(other)
    groups: dict[str | None, list[_Region]] = defaultdict(list)
    for region in regions:
        if region.key in linked or region.kind == _POINT:
            groups[top(region.key) if region.key in linked else None].append(region)
    return [some for some in groups.values() if any(r.kind == _POINT for r in some)]


def _data(task: Any) -> dict[str, Any]:
    found = task.get("data") if isinstance(task, dict) else None
    return found if isinstance(found, dict) else {}


def _image(task: Any) -> str | None:
    """The path of a task's image: the first of its data that ends as an image's does, else what is called image."""
    texts = {key: value for key, value in _data(task).items() if isinstance(value, str) and value}
    found = (v for v in texts.values() if _path(v).lower().endswith(beside.ENDINGS))
    address = next(found, texts.get("image"))
    return None if address is None else _path(address)


def _path(address: str) -> str:
    """The path in an address: of the server's own files, of storage, or a plain path."""
    try:
        parts_ = urlsplit(address)
    except ValueError:
        return address
    if parts_.path.endswith(_LOCAL.partition("?")[0]) and (local := parse_qs(parts_.query).get("d")):
        return objects.image_path(local[0])
    served = len(parts_.scheme) > 1 or address.startswith("/")
    return objects.image_path(_UPLOAD.sub("", unquote(parts_.path)).lstrip("/") if served else address)


def write(out: Path, rows: Iterable[Row], num_points: int, names: Sequence[str] = ()) -> None:
    """Write a task for each image, its records as predictions, which the tool shows to be corrected.

    names: of the points. Raises ValueError for a record without the size of its image.
    """
    known = object_rows.point_names(num_points, names)
    with files.whole(out) as file:
        file.write(b"[")
        for number, (image, records) in enumerate(object_rows.by_image(rows)):
            result = [one for key, row in records for one in _results(key, row, known, len(records) > 1)]
            prediction = {"model_version": "jaxmarks", "result": result}
            data = {"image": f"{_LOCAL}{quote(image)}", object_rows.NAMES: known}
            task = {"data": data, "predictions": [prediction]}
            file.write((",\n" if number else "\n").encode() + json.dumps(task).encode())
        file.write(b"\n]\n")


def _results(key: str, row: Row, names: Sequence[str], several: bool) -> Iterator[dict[str, Any]]:
    """The regions of a record: its points, and the rectangle that they hang on where it has a box, or a name in its image."""
    width, height = row.size
    size = {"original_width": int(width), "original_height": int(height), "image_rotation": 0, "to_name": "image"}
    around = f"{_KEPT}{key}" if key else object_rows.KIND
    parent = {"parentID": around} if key or several or row.box is not None else {}
    if parent:
        box = boxes.of_points(row.points, row.mask) if row.box is None else row.box
        x, y, w, h = (0.0, 0.0, 0.0, 0.0) if box is None else box.tolist()
        shares = {"x": x / width, "y": y / height, "width": w / width, "height": h / height}
        value = {axis: 100 * share for axis, share in shares.items()} | {
            "rotation": 0,
            "rectanglelabels": [object_rows.KIND],
        }
        made = {} if row.box is not None else {"meta": {"text": _MADE}}
        yield {"id": around, "type": _BOXES[0], "from_name": "box", **size, "value": value, **made}
    for number, (name, x, y) in enumerate(object_rows.labelled(row, names)):
        value = {"x": 100 * x / width, "y": 100 * y / height, "width": 0.5, "keypointlabels": [name]}
        yield {"id": f"{around}.{number}", "type": _POINTS[0], "from_name": "label", **size, "value": value, **parent}
