"""Plain tables: comma-separated, one row a face, empty fields for missing points (docs/formats.md).

What the formats of several faces an image share is here too: such records are named FILE#FACE.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipelines.io import csv_text, files
from pipelines.sources import dialects, image_names, text_tables
from pipelines.sources.formats import foreign, headers, image_folders
from pipelines.sources.tables import Label, Rejected, Row, Table, names_in, sorted_by_name
from pipelines.sources.text_tables import Scan

NAME = "plain"
SUFFIX, IMAGES, BOXED, NAMED = ".csv", "images", True, True
BOX = ["box_x", "box_y", "box_width", "box_height"]
_FACE = re.compile(r"(.+)#([^/#.]+)", re.DOTALL)  # no image is named so: its name has a dot behind the last #
_PLAIN = re.compile(r"[^\s,;\"'](?:[^\t\r\n,;\"']*[^\s,;\"'])?")  # a name that needs no quotes in a header
_BLANKS = tuple(bytes([c]) for c in b" \t\v\f\r")


def recognises(path: Path) -> bool:
    """Return whether this is a comma-separated table that is not one of another format."""
    return path.suffix.lower() == ".csv" and path.is_file() and dialects.first_field(path) != "scorer"


def likely(path: Path) -> bool:
    """Return whether a .csv file seems to be such a table, by its first field."""
    return recognises(path) and dialects.first_field(path) == "file_name"


def parts(path: Path) -> list[str]:
    """One part, which answers for whichever is asked for."""
    return ["train"]


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """The rows by name. Raises ValueError, with the place, where the table is not one or the folder of images is missing."""
    scan = text_tables.scan(path, b",", gaps=True, safe=image_names.inner_path)
    columns = scan.columns[:-4] if (boxed := scan.columns[-4:] == BOX) else scan.columns
    if columns[0] == "file_name":
        headers.check(path, columns, f"a bounding box is {','.join(BOX)}, last")
    if columns[0] != "file_name" or len(columns) < 3 or len(columns) % 2 == 0:
        hint = f"this looks like {other}; " if (other := foreign.of_text(path)) else ""
        raise ValueError(
            f"{path}:1: {hint}the header has {len(scan.columns)} fields, the first {scan.columns[0][:40]!r};"
            f" expected file_name, x and y of each point, and {','.join(BOX)} last where there are boxes"
        )
    reasons, boxes = _second_look(scan, len(columns) - 1, boxed)
    rejected = [Rejected(row.name or path.name, row.line, row.reason) for row in scan.rejected]
    rejected += [Rejected(scan.names[i], int(scan.lines[i]), reason) for i, reason in reasons.items()]
    order = [i for i in sorted_by_name(scan.names) if i not in reasons]
    names = [scan.names[i] for i in order]
    found = [image_of(name) for name in names]

    def label(index: int) -> Label:
        return _label(scan, order[index], len(columns) - 1)

    root, notes = image_folders.find(path, images, [path.parent, path.parent / "images"], found, label)
    return Table(
        root=root,
        where=path.name,
        num_points=len(columns) // 2,
        names=names,
        lines=scan.lines[order],
        label=label,
        whole=scan.whole,
        notes=[*scan.notes, *notes],
        images=found if found != names else None,
        boxes=boxes[order] if boxed else None,
        rejected=sorted(rejected, key=lambda r: r.line or 0),
        files=[path],
        columns=columns[1:],
    )


def _label(scan: Scan, index: int, count: int) -> Label:
    points = scan.row(index)[:count].reshape(-1, 2)
    mask = np.isfinite(points[:, 0]) & np.isfinite(points[:, 1])
    return np.where(mask[:, None], points, 0), mask


def _second_look(scan: Scan, count: int, boxed: bool) -> tuple[dict[int, str], np.ndarray]:
    """({row: what is wrong with it}, f64[rows, 4] of boxes): the pairs of numbers that one pass by bytes cannot see."""
    reasons, boxes = {}, np.full((len(scan.names) if boxed else 0, 4), np.nan)
    comma = scan.separator
    blank = re.compile(comma + rb"[ \t\v\f\r]+(" + comma + b"|$)")  # NumPy takes it for -1
    for index, text in enumerate(scan.rows_from(0)):
        if any(c in text for c in _BLANKS) and blank.search(text):
            reasons[index] = "a blank field: leave it empty where a point is not labelled"
        elif boxed or comma * 2 in text or text.endswith(comma) or b"nan" in text.lower():
            fields = text.split(comma)[1:]
            known = np.array([field.strip().lower() not in (b"", b"nan") for field in fields])
            if (half := known[0:count:2] != known[1:count:2]).any():
                reasons[index] = f"half a point: only one of x and y of point {int(half.argmax())}"
            elif boxed and known[count:].any():
                boxes[index] = [float(field or "nan") for field in fields[count:]]
                if not known[count:].all():
                    reasons[index] = "not a box: expected x, y, width and height, or four empty fields"
    return reasons, boxes


def write(out: Path, rows: Iterable[Row], num_points: int, names: Sequence[str] = ()) -> None:
    """The table, each number in as few digits as a float32 needs. Boxes are there where the first record has one.

    names: of the points, in the header as NAME_x and NAME_y where they can be read from it again. A record's name with a
    comma or a quote in it is quoted. Raises ValueError for a box where the first record has none.
    """
    boxed = None
    with files.whole(out) as file:
        for row in rows:
            if boxed is None:
                boxed = row.box is not None
                file.write(csv_text.row(["file_name", *_columns(num_points, names), *(BOX if boxed else [])]))
            if row.box is not None and not boxed:
                raise ValueError(f"{row.name}: has a box and the records before it have none; give all of them one")
            fields = [row.name, *gapped(row)]
            box = [""] * 4 if row.box is None else exact(row.box)
            file.write(csv_text.row(fields + (box if boxed else [])))


def _columns(num_points: int, names: Sequence[str]) -> list[str]:
    """The header's fields of the points: by name if all of them are read as they are, else by number."""
    named = [f"{name}_{axis}" for name in names for axis in "xy"]
    try:
        headers.check(Path(NAME), ["file_name", *named], "")
    except ValueError:
        named = []
    if names and names_in(named) == list(names) and all(map(_PLAIN.fullmatch, names)):
        return named
    return [f"{axis}_{i}" for i in range(num_points) for axis in "xy"]


def texts(values: np.ndarray) -> list[str]:
    """Numbers in the fewest digits that give the same float32 again. Raises ValueError where one is not finite."""
    if not np.isfinite(values).all():
        raise ValueError("a coordinate to write is not a finite number")
    return [t.removesuffix(".0") for t in np.asarray(values, np.float32).reshape(-1).astype("U").tolist()]


def exact(box: np.ndarray) -> list[str]:
    """The numbers of a box in the fewest digits that give the same float64 again. Raises ValueError where one is not finite."""
    if not np.isfinite(box).all():
        raise ValueError("a box to write has a number that is not finite")
    return [repr(v).removesuffix(".0") for v in np.asarray(box, np.float64).tolist()]


def gapped(row: Row) -> list[str]:
    """x, y of each point of a record as text, empty where it is not labelled."""
    known = np.repeat(row.mask, 2).tolist()
    found = texts(np.where(row.mask[:, None], row.points, 0))
    return [text if there else "" for text, there in zip(found, known, strict=True)]


def number_fault(where: Iterable[str], fields: Iterable[str], gaps: bool = False) -> str:
    """Describe the first field that is not a finite number. where: of each, its place; gaps: one may be left empty."""
    named = next((at, field) for at, field in zip(where, fields, strict=False) if numbers([field]) is None)
    return text_tables.number_fault(*named, gaps)


def numbers(fields: Sequence[str]) -> np.ndarray | None:
    """f64[fields], or None where one is not a finite number."""
    try:
        values = np.array([float(f) for f in fields])
    except ValueError:
        return None
    with np.errstate(over="ignore"):
        return values if np.isfinite(values.astype(np.float32)).all() and not any("_" in f for f in fields) else None


def image_of(name: str) -> str:
    """Return the image of a record: its name without the #OBJECT that distinguishes several objects of one image."""
    found = _FACE.fullmatch(name)
    return found[1] if found else name


def path_fault(name: str) -> str | None:
    """Describe the fault of an image path in a list of faces, None for a valid one."""
    if fault := image_names.path_fault(name, "a path below the folder of images", listed=True):
        return f"bad file name: {name[:80]!r} {fault}"
    return f"bad file name: {name[:80]!r}: # tells objects of one image apart" if image_of(name) != name else None


def only_one(name: str, what: str) -> str:
    """The name of a record. Raises ValueError where it is one of several faces of an image."""
    if image_of(name) != name:
        raise ValueError(f"{name}: several objects of one image, which {what} cannot say; take `format` plain or coco")
    return name


def names_of(images: Sequence[str], faces: Sequence[object]) -> list[str]:
    """The records' names: the image, and #FACE where it has several."""
    count: dict[str, int] = {}
    for image in images:
        count[image] = count.get(image, 0) + 1
    return [p if count[p] == 1 else f"{p}#{face}" for p, face in zip(images, faces, strict=True)]
