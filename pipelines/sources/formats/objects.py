"""Objects of named points: what the readers of annotation tools share.

Points are matched by their names, never by their place in a file. A name that an object lacks is a point that is not
labelled there; an object with a name that is not one of the set's is rejected.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.sources import image_names, text_tables
from pipelines.sources.formats import image_folders, name_remarks, plain
from pipelines.sources.tables import Rejected, Table

Box = tuple[float, ...]  # left, top, width, height
_RARE = 0.05  # of the objects: a name that fewer have is no point of the set, unless the file lists its points
_LARGEST = 1e30  # beyond it float32 ends
_SAMPLED = 200  # images, evenly taken, by which the form of their paths is chosen
Form = Callable[[str], str]  # makes of a path in a file the one below the folder of images


def _last(steps: int) -> Form:
    return lambda image: "/".join(image.split("/")[-steps:])


FAR: tuple[Form, ...] = (str, _last(3), _last(2), _last(1))  # of paths that may be another computer's


class Object(NamedTuple):
    """An object of an image, with its labelled points."""

    image: str  # as the file names it, with /
    names: tuple[str, ...]
    points: np.ndarray  # f32[names, 2] in pixels
    key: str = ""  # what tells it from the other objects of its image
    box: Box | None = None
    size: tuple[int, int] = (0, 0)  # width, height of the image as the file has them; zeros: it does not say
    line: int | None = None
    entry: object = None  # the file or part of it that names the image
    kept: bool = False  # its key belongs to the record's name even if its image has no other object
    kind: str = ""  # its class


class _Record(NamedTuple):
    name: str
    image: str  # below the folder of images
    object: Object


class Found:
    """What a reader finds in its files."""

    def __init__(self, where: str, form: str, apart: str):
        """where: the file or folder, in messages. form: what it is. apart: how the tool tells the points of several objects
        apart."""
        self.where, self._form, self._apart = where, form, apart
        self.objects: list[Object] = []
        self.rejected: list[Rejected] = []
        self.passed: Counter[str] = Counter()  # what is not read, by its kind
        self.notes: list[str] = []
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def reject(self, image: str, line: int | None, reason: str) -> None:
        """Add an entry that cannot be used."""
        self.rejected.append(Rejected(image or self.where, line, reason))

    def add(self, labelled: Sequence[tuple[str, Sequence[float]]], image: str, line: int | None = None, **more) -> None:
        """Add an object of points, each a name with x, y in pixels; it is rejected where it has none, one without a name,
        two of one name, or a number that float32 does not hold. more: fields of Object."""
        names = tuple(name for name, _ in labelled)
        points = np.array([xy for _, xy in labelled], np.float64).reshape(-1, 2)
        if not names:
            return self.reject(image, line, "no labelled point: the object has none")
        if not all(name and name.isprintable() for name in names):
            return self.reject(
                image, line, "no name: a point has none that can be shown, and names are what is matched"
            )
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            return self.reject(image, line, f"point twice: {twice!r:.40} in one object; {self._apart}")
        if not (np.abs(points) < _LARGEST).all():
            return self.reject(image, line, "not a finite number: a coordinate of the object")
        names = self._names.setdefault(names, names)
        self.objects.append(Object(image, names, points.astype(np.float32), line=line, **more))

    def only_usual(self) -> str:
        """Keep the objects of the class that most have, and reject the others; return that class."""
        kinds = Counter(o.kind for o in self.objects)
        usual, count = kinds.most_common(1)[0] if kinds else ("", 0)
        for one in self.objects:
            if one.kind != usual:
                reason = f"other class: {one.kind!r:.40}; {count} of {kinds.total()} objects are {usual!r:.40}"
                self.reject(one.image, one.line, f"{reason}, and one network learns one")
        self.objects = [o for o in self.objects if o.kind == usual]
        return usual

    def table(
        self,
        path: Path,
        given: Path | None,
        folders: Sequence[Path],
        *,
        listed: Sequence[str] = (),
        closed: bool = True,
        forms: Sequence[Form] = (str,),
        files: list[Path],
    ) -> Table:
        """Return the table of the objects. Raises ValueError where none can be used, or no image is found.

        given, folders: as `image_folders.find`. listed: the names of the points that a file lists, in their order; not
        `closed`, or without any: also those that objects have. forms: what paths of images may be below the folder.
        """
        names = self._of_usual_names(listed, closed and bool(listed))
        self._check(path, self.objects)
        root, images, notes = _placed(path, given, folders, [o.image for o in self.objects], forms)
        records = sorted(self._records(images), key=lambda record: record.name)
        self._check(path, records)
        chosen, passed = [record.object for record in records], self._passed()
        points, masks = _arrays(chosen, names)
        return Table(
            root=root,
            where=self.where,
            num_points=len(names),
            names=[record.name for record in records],
            lines=[o.line or 0 for o in chosen],
            label=lambda index: (points[index], masks[index]),
            whole=text_tables.is_whole(points),
            images=[record.image for record in records],
            boxes=_boxes(chosen, self),
            sizes=np.array([o.size for o in chosen], np.int64),
            rejected=self.rejected,
            files=files,
            notes=[
                *self.notes,
                *notes,
                *_unsaid(self.where, chosen),
                *name_remarks.of(self.where, [o.names for o in chosen], names),
                *[f"{self.where}{passed}"] * bool(passed),
            ],
            points=names,
        )

    def _check(self, path: Path, left: Sequence[Any]) -> None:
        """Raise ValueError where nothing is left."""
        if not left:
            first = f" ({self.rejected[0].file[:80]}: {self.rejected[0].reason})" if self.rejected else ""
            raise ValueError(
                f"{path}: {self._form}, of which no object with named points can be used{first}{self._passed()}"
            )

    def _passed(self) -> str:
        listed = ", ".join(f"{count} {kind[:40]!r}" for kind, count in sorted(self.passed.items()))
        return f": not read: {listed}" if listed else ""

    def _of_usual_names(self, listed: Sequence[str], closed: bool) -> list[str]:
        """Return the names of the set's points; objects with others are rejected."""
        counts = Counter(name for o in self.objects for name in o.names)
        most = max(counts.values(), default=0)
        others = [name for name, count in counts.items() if count > _RARE * most and name not in listed]
        names = [*listed, *([] if closed else sorted(others, key=_natural))]
        kept, known = [], set(names)
        for one in self.objects:
            if (odd := next((name for name in one.names if name not in known), None)) is None:
                kept.append(one)
            else:
                have = f"of {counts[odd]} of {len(self.objects)} objects, is not one of the set's {len(names)}"
                self.reject(one.image, one.line, f"unknown point: {odd!r:.40}, {have}")
        self.objects = kept
        return names

    def _records(self, images: list[str]) -> list[_Record]:
        """The records of images with a sound path that one entry names. images: of each object, where it lies."""
        first: dict[str, object] = {}
        kept: dict[str, list[Object]] = defaultdict(list)
        for one, image in zip(self.objects, images, strict=True):
            if fault := plain.path_fault(image):
                self.reject(one.image, one.line, fault)
            elif first.setdefault(image, one.entry) != one.entry:
                apart = _apart(one, kept[image])
                self.reject(
                    one.image, one.line, f"name twice: {image[:80]}, which an earlier entry names; that is read{apart}"
                )
            else:
                kept[image].append(one)
        return [record for image, some in kept.items() for record in _named(image, some)]


def _apart(one: Object, some: Sequence[Object]) -> str:
    """How far the points of an object are from those of the same names of one that is read; empty without such."""
    if (other := next((o for o in some if o.names == one.names), None)) is None:
        return ""
    return f", whose points are up to {np.abs(one.points - other.points).max():.3g} px from these"


def _named(image: str, some: list[Object]) -> list[_Record]:
    """The records of the objects of an image."""
    keys = [re.sub(r"[^\w-]", "-", one.key) for one in some]
    if len(set(keys)) < len(keys) or "" in keys:
        keys = [str(number) for number, _ in enumerate(keys, 1)]
    names = [f"{image}#{key}" if len(some) > 1 or one.kept else image for key, one in zip(keys, some, strict=True)]
    return [_Record(name, image, one) for name, one in zip(names, some, strict=True)]


def _unsaid(where: str, objects: Sequence[Object]) -> list[str]:
    """A line on the images whose size is not stated; none without such."""
    count = len({o.image for o in objects if not all(o.size)})
    return [f"{where}: does not say the size of {words.counted(count, 'image')}, which is not checked"] * bool(count)


def _natural(name: str) -> tuple:
    """By which names are sorted: point_2 before point_10."""
    parts = re.split(r"([0-9]+)", name)
    return *((p, 0, "") if i % 2 == 0 else ("", len(p.lstrip("0")), p.lstrip("0")) for i, p in enumerate(parts)), name


def _placed(
    path: Path, given: Path | None, folders: Sequence[Path], images: list[str], forms: Sequence[Form]
) -> tuple[Path, list[str], list[str]]:
    """(folder, path of each image below it, notes) by the form of the paths in which most of an even sample are found."""
    if given is not None:
        folders = [image_folders.find(path, given, [], [])[0]]
    best, errors = (0, folders[0], images, list[str]()), list[ValueError]()
    for form in forms:
        names = [form(image) for image in images]
        sound = sorted({name for name in names if plain.path_fault(name) is None})
        try:
            root, notes = image_folders.find(path, None, folders, sound)
        except ValueError as error:
            errors.append(error)
            continue
        some = sound[:: -(-len(sound) // _SAMPLED) or 1]
        count = sum(image_folders.spelled(root, name) is not None for name in some)
        best = max(best, (count, root, names, notes), key=lambda one: one[0])
        if 0 < count == len(some):
            break
    if errors and not best[0]:
        raise errors[0]
    return best[1:]


def _arrays(objects: Sequence[Object], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(points f32[objects, names, 2], 0 where not labelled; masks bool[objects, names])."""
    places = {name: i for i, name in enumerate(names)}
    columns = {some: [places[name] for name in some] for some in {o.names for o in objects}}
    points, masks = np.zeros((len(objects), len(names), 2), np.float32), np.zeros((len(objects), len(names)), bool)
    for index, one in enumerate(objects):
        points[index, columns[one.names]] = one.points
        masks[index, columns[one.names]] = True
    return points, masks


def _boxes(objects: Sequence[Object], found: Found) -> np.ndarray | None:
    """f64[objects, 4], NaN where missing; None where fewer than half of them have one, which is told."""
    boxes = np.array([o.box or (np.nan,) * 4 for o in objects], np.float64).reshape(-1, 4)
    count = int(np.isfinite(boxes).all(1).sum())
    if 0 < 2 * count < len(boxes):
        found.notes.append(f"{found.where}: {count} of {len(boxes)} objects have a box, too few; boxes are not used")
    return boxes if count and 2 * count >= len(boxes) else None


def number(value: Any) -> float:
    """Return a number of JSON as a float; NaN for what is none."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    return float(value) if good else float("nan")


def length(value: Any) -> int:
    """Return a number of pixels of JSON; 0 for what is none."""
    found = number(value)
    return int(found) if 0 < found < 1 << 31 and found == int(found) else 0


def pixels(value: float) -> float:
    """Return a coordinate of a box with 12 significant digits: without the error of a difference or a product."""
    return float(f"{value:.12g}")


def of_corners(left: float, top: float, right: float, bottom: float) -> Box:
    """Return the box between two corners."""
    low, high = (min(left, right), min(top, bottom)), (max(left, right), max(top, bottom))
    return pixels(low[0]), pixels(low[1]), pixels(high[0] - low[0]), pixels(high[1] - low[1])


def stored_names(value: Any) -> list[str]:
    """Return the names of points that one of our files lists, empty where it does not list any."""
    good = isinstance(value, list) and all(isinstance(name, str) and name and name.isprintable() for name in value)
    return list(dict.fromkeys(value)) if good else []


def image_path(name: str) -> str:
    """Return the path of an image as another system writes it, with / and without a leading ./."""
    return image_names.own_form(name)
