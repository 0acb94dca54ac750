"""YOLO pose: data.yaml, folders of images, and beside them folders of labels, a text file an image, a line an object.

A line is a class, a box by its centre, and x, y (and a visibility) of each point, all in shares of the displayed image's
width and height. The sizes of the images are read when the set is opened.
"""

import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.images import decode
from pipelines.io import files
from pipelines.sources import boxes, dialects, image_names
from pipelines.sources.formats import beside, object_rows, objects, plain, yolo_config
from pipelines.sources.formats.objects import Found
from pipelines.sources.formats.yolo_config import Config
from pipelines.sources.tables import Row, Table

NAME = "yolo"
SUFFIX, IMAGES, BOXED, SIZED, NAMED = "", "images", True, True, True
_LABELS, _TXT = "labels", ".txt"
_START = 1 << 18  # bytes in which most images tell their size
_MADE = "bbox_from"  # key of a configuration whose set has no boxes: "keypoints", of which they were made


class _Line(NamedTuple):
    image: str
    size: tuple[int, int]
    table: str
    number: int
    values: np.ndarray  # class, box, points


def recognises(path: Path) -> bool:
    """Return whether this is a configuration with kpt_shape, or a folder that has one."""
    return yolo_config.of_path(path) is not None


def parts(path: Path) -> list[str]:
    """The training split, and a test split where the configuration names one, or a validation split, that is another."""
    config = yolo_config.read(path)
    train, other = (_folders(config, key) for key in ("train", _test_key(config)))
    return ["train", "test"] if other and other != train else ["train"]


def _remarks(config: Config) -> list[str]:
    """Lines on splits of which something is not there, and on images that stand in two."""
    where, test = config.path.name, _test_key(config)
    found, remedy = [], "correct the path, or take it out of the file"
    for key in ("train", test, *["test"] * (not _folders(config, test))):
        named = _named(config, key)
        found += _lost(config, key)
        if gone := [value for value in named if not _places(config, value)]:
            shown = ", ".join(value[:80] for value in gone[:3]) + ", ..." * (len(gone) > 3)
            lost = f"no labels are found for {len(gone)} of {len(named)} that {key} names, which are not read"
            found.append(f"{where}: {lost}: {shown}, in {config.top} or below it; {remedy}")
    if _folders(config, "train") == _folders(config, test):
        return [*found, f"{where}: {test} is the same as train: the set is read without a test split"]
    train, other = (set(_split_tables(config, key)) for key in ("train", test))
    if both := len(train & other):
        stand = "stands" if both == 1 else "stand"
        lost = f"{both} of {words.counted(len(train), 'image')} of train with a file of labels {stand} in {test} too"
        found.append(f"{where}: {lost}: scores on {test} flatter; take them out of one")
    if test == "test" and (rest := len({*_split_tables(config, "val")} - train - other)):
        lost = f"{words.counted(rest, 'image')} of val with a file of labels"
        found.append(f"{where}: not read: {lost}: test is the test split; name their folder in train to train on them")
    return found


def _split_tables(config: Config, key: str) -> list[Path]:
    """The files of labels of a split."""
    folders = _folders(config, key)
    return [table for folder, stems in folders.items() for table in _tables(_labels(config.top, folder), stems)]


def _test_key(config: Config) -> str:
    """test, unless nothing is there: exports name it without having one."""
    return "test" if _folders(config, "test") else "val"


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """Return the objects of a split by name; of the test split those of `test`, where that has labels, else of `val`.

    images: the folder of all images, if it is another. Raises ValueError where the configuration is none, and where no
    line of the labels can be used.
    """
    config = yolo_config.read(path)
    key = _test_key(config) if part == "test" and "test" in parts(path) else "train"
    folders = _folders(config, key)
    if not folders:
        raise ValueError(
            f"{config.path}: no labels are found for {key}: {str(config.data.get(key))!r:.80}, in {config.top} or below it"
        )
    found = Found(config.path.name, "YOLO pose", "a line is one object")
    top = images or Path(os.path.commonpath(list(folders)))
    tables, lines = [], []
    for folder, stems in folders.items():
        inner = "" if images else folder.relative_to(top).as_posix()
        tables += (some := _tables(_labels(config.top, folder), stems))
        lines += _lines(config, _labels(config.top, folder), some, top, inner if inner != "." else "", found)
    for line in lines:
        _add(line, config, found)
    kind = found.only_usual()
    listed = config.points(kind.partition(" ")[0])
    table = found.table(config.path, images, [top], listed=listed, files=[config.path, *tables])
    mirror, remarks = config.mirror(listed)
    return replace(table, mirror=mirror, notes=[*table.notes, *_remarks(config), *remarks])


def _folders(config: Config, key: str) -> dict[Path, set[str] | None]:
    """The folders of images of a split that lie below the configuration's own and have labels, with the stems of those that
    a list names; None: all."""
    found: dict[Path, set[str] | None] = {}
    for value in _named(config, key):
        for folder, stems in _places(config, value).items():
            known = found.get(folder, set())
            found[folder] = None if stems is None or known is None else known | stems
    return found


def _named(config: Config, key: str) -> list[str]:
    """The folders and lists of images that a split names."""
    given = config.data.get(key)
    return [str(v) for v in (given if isinstance(given, list) else [given]) if v]


def _places(config: Config, value: str) -> dict[Path, set[str] | None]:
    """`_folders` of one folder or list of images; empty where it has no labels."""
    if (listed := _list(config, value)) is None:
        return dict.fromkeys([p for p in _inner(config, value) if os.path.isdir(_labels(config.top, p))][:1])
    found: dict[Path, set[str]] = {}
    for folder, stem in _listed(config, listed):
        if folder is not None:
            found.setdefault(folder, set()).add(stem)
    return {**found}


def _inner(config: Config, value: str) -> list[Path]:
    """Where a folder or list may lie, below the configuration's own."""
    base = str(config.data.get("path") or "")
    choices = [os.path.normpath(config.top / p) for p in (Path(base, value), value, value.removeprefix("../"))]
    return [Path(p) for p in choices if "\0" not in p and Path(p).is_relative_to(os.path.normpath(config.top))]


def _list(config: Config, value: str) -> Path | None:
    """The list of images that a value names; None where it is none."""
    return next((p for p in _inner(config, value) if value.lower().endswith(_TXT) and p.is_file()), None)


def _lost(config: Config, key: str) -> list[str]:
    """A line for each list of a split of whose images some have no file of labels."""
    found = []
    for value in _named(config, key):
        if (path := _list(config, value)) is None:
            continue
        every, places = len(set(_listed(config, path))), _places(config, value).items()
        if (lost := every - sum(len(_tables(_labels(config.top, folder), stems)) for folder, stems in places)) > 0:
            said = f"{lost} of {words.counted(every, 'image')} of {value[:80]} without a file of labels"
            found.append(f"{config.path.name}: not read: {said}; correct the paths of those that have one")
    return found


def _listed(config: Config, path: Path) -> Iterator[tuple[Path | None, str]]:
    """(folder of the image, None where that has no labels; its stem) of the lines of a list of images: of a path from another
    place, as data/images/train/a.jpg, the last steps count."""
    folders: dict[str, Path | None] = {}
    for line in dialects.text(files.read_bytes(path)).splitlines():
        where, _, name = image_names.own_form(line.strip()).rpartition("/")
        if name and where not in folders:
            steps = [step for step in where.split("/") if step not in ("", ".", "..")]
            below = (Path(os.path.normpath(config.top), *steps[at:]) for at in range(len(steps) + 1))
            folders[where] = next(
                (p for p in below if os.path.isdir(p) and os.path.isdir(_labels(config.top, p))), None
            )
        if name:
            yield folders[where], posixpath.splitext(name)[0]


def _labels(top: Path, folder: Path) -> Path:
    """The folder of labels of one of images: labels in place of the last images in its path, else the same."""
    steps = list(folder.relative_to(os.path.normpath(top)).parts)
    if IMAGES not in steps:
        return folder
    steps[len(steps) - 1 - steps[::-1].index(IMAGES)] = _LABELS
    return Path(top, *steps)


def _tables(folder: Path, stems: set[str] | None) -> list[Path]:
    """The files of labels below a folder; those in it with one of some stems."""
    walked = ((Path(where, name), below.sort()) for where, below, names in os.walk(folder) for name in sorted(names))
    every = [path for path, _ in walked if path.suffix.lower() == _TXT and path.is_file()]
    return [path for path in every if stems is None or (path.parent == folder and path.stem in stems)]


def _lines(config: Config, folder: Path, tables: list[Path], top: Path, inner: str, found: Found) -> list[_Line]:
    """The lines of a folder of labels that can be used, with the sizes of their images. inner: its images, below `top`."""
    near, sound = beside.Images(top, _TXT), list[tuple[str, str, list[tuple[int, np.ndarray]]]]()
    for table in tables:
        name = table.relative_to(os.path.normpath(config.top)).as_posix()
        stem = posixpath.join(inner, table.relative_to(folder).as_posix())
        if not (values := _values(table, name, config, found)):
            continue
        if (image := near.of(stem)) is None:
            found.reject(name, None, near.missing(stem))
        else:
            sound.append((image, name, values))
    found.notes += near.notes()
    return list(_sized(sound, top, found))


def _sized(some: list[tuple[str, str, list[tuple[int, np.ndarray]]]], top: Path, found: Found) -> Iterator[_Line]:
    """The lines of the images whose size can be read. some: image, file of labels, lines of each."""
    with ThreadPoolExecutor(4) as pool:
        sizes = pool.map(lambda one: _size(top / one[0]), some)
        for (image, name, values), size in zip(some, sizes, strict=True):
            if isinstance(size, str):
                found.reject(image, None, size)
            else:
                yield from (_Line(image, size, name, number, line) for number, line in values)


def _values(table: Path, name: str, config: Config, found: Found) -> list[tuple[int, np.ndarray]]:
    """(number, values) of the lines of a file that have the right number of fields, all numbers."""
    wanted, good = 5 + config.count * config.dims, []
    whole = dialects.text(files.read_bytes(table))
    if not whole.strip():
        found.passed["image without an object"] += 1
    for number, text in enumerate(whole.splitlines(), 1):
        fields = text.split()
        if fields and len(fields) != wanted:
            found.reject(name, number, f"wrong number of fields: {len(fields)}, kpt_shape asks for {wanted}")
        elif fields and (values := plain.numbers(fields)) is None:
            found.reject(name, number, plain.number_fault((f"field {i}" for i in range(1, wanted + 1)), fields))
        elif fields:
            good.append((number, values))
    return good


def _size(path: Path) -> tuple[int, int] | str:
    """(width, height) of an image as displayed, from its beginning where that tells; what is wrong where it has none."""
    try:
        with open(path, "rb") as file:
            start = file.read(_START)
        try:
            return decode.displayed_size(start)
        except decode.DecodeError:
            return decode.displayed_size(files.read_bytes(path))
    except (decode.DecodeError, OSError) as error:
        return str(error) if isinstance(error, decode.DecodeError) else f"the image cannot be read ({error.strerror})"


def _add(line: _Line, config: Config, found: Found) -> None:
    """Add the object of a line."""
    kind, shares = line.values[0], line.values[1:5]
    points = line.values[5:].reshape(config.count, config.dims)
    seen = points[:, 2] if config.dims == 3 else (points >= 0).all(1).astype(float)
    if (odd := ~np.isin(seen, (0, 1, 2))).any():
        return found.reject(line.table, line.number, f"bad visibility: {seen[odd][0]:.6g}; expected 0, 1 or 2")
    if kind != int(kind) or kind < 0:
        return found.reject(line.table, line.number, f"not a class: {kind:.6g}")
    places = (points[:, :2] * line.size).tolist()
    labelled = [(name, xy) for name, xy, v in zip(config.points(str(int(kind))), places, seen, strict=True) if v]
    x, y, w, h = shares * (line.size * 2)
    box = None if config.data.get(_MADE) == "keypoints" else tuple(map(objects.pixels, (x - w / 2, y - h / 2, w, h)))
    more = {"key": str(line.number), "box": box, "size": line.size, "entry": line.table}
    found.add(labelled, line.image, line.number, kind=config.kind(int(kind)), **more)


def file_of(name: str) -> str:
    """Return the file of labels of the image of a record."""
    return f"{_LABELS}/{os.path.splitext(plain.image_of(name))[0]}{_TXT}"


def files_of(names: Iterable[str]) -> list[str]:
    """Return the files of labels of the images of records, and the configuration."""
    return [*(file_of(image) for image in dict.fromkeys(map(plain.image_of, names))), yolo_config.NAME]


def write(
    out: Path, rows: Iterable[Row], num_points: int, names: Sequence[str] = (), mirror: Sequence[int] = ()
) -> None:
    """Write a file of labels for each image in the folder `out`, and data.yaml last.

    A record without a box gets that of its points, since other programs want one, and data.yaml says so. names: of the
    points. mirror: their permutation, where it is known. Raises ValueError for a record without the size of its image, and
    where two images have one stem.
    """
    written, boxed = set[str](), True
    for image, records in object_rows.by_image(rows):
        if (name := file_of(image)) in written or plain.path_fault(image):
            raise ValueError(
                f"{image}: {'another image has this stem' if name in written else 'not a path below a folder'}"
            )
        written.add(name)
        boxed = records[0][1].box is not None
        with files.whole(out / name) as file:
            file.write("".join(_line(row) for _, row in records).encode())
    config: dict[str, Any] = {
        "train": IMAGES,
        "val": IMAGES,
        "names": {0: object_rows.KIND},
        "kpt_shape": [num_points, 3],
    }
    config |= {"kpt_names": {0: object_rows.point_names(num_points, names)}, **({} if boxed else {_MADE: "keypoints"})}
    config |= {"flip_idx": list(mirror)} if mirror else {}
    with files.whole(out / yolo_config.NAME) as file:
        file.write(yolo_config.text(config).encode())


def _line(row: Row) -> str:
    """The line of a record."""
    box = boxes.of_points(row.points, row.mask) if row.box is None else row.box
    x, y, w, h = (0.0, 0.0, 1.0, 1.0) if box is None else box.tolist()
    width, height = (float(n) for n in row.size)
    shares = [(x + w / 2) / width, (y + h / 2) / height, w / width, h / height]
    names = object_rows.point_names(len(row.mask))
    known = {name: (x / width, y / height) for name, x, y in object_rows.labelled(row, names)}
    points = [(*known[name], 2) if name in known else (0, 0, 0) for name in names]
    return " ".join(["0", *map(repr, shares), *(f"{x!r} {y!r} {v}" for x, y, v in points)]) + "\n"
