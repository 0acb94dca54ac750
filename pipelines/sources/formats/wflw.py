"""WFLW lists: one row a face, separated by blanks: x, y of each point, x_min y_min x_max y_max, 6 attributes, image.

Lists of 98 points and the image alone are read too, without boxes.

An image of several faces gives records FILE#LINE. Rows are checked once and read again when they are asked for.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.io import files, ranges
from pipelines.sources import image_names
from pipelines.sources.formats import image_folders, plain
from pipelines.sources.tables import Label, Rejected, Row, Table, sorted_by_name

NAME = "wflw"
SUFFIX, IMAGES, BOXED = ".txt", "WFLW_images", True
parts = plain.parts
_REST = 4 + 6 + 1  # fields behind the points
_ALONE = 2 * 98 + 1  # fields of WFLW's lists of points alone (list_98pt_test.txt): no box, no attributes
_LAYOUT = ("bad box", "bad attributes")  # kinds of rows that are of another layout, where they are most
_BOM = b"\xef\xbb\xbf"


class _Face(NamedTuple):
    image: str
    line: int
    offset: int  # of the row in the file, in bytes
    length: int
    box: np.ndarray
    about: bool | None  # whether the box holds a point, None where it has no area


class _Layout(NamedTuple):
    """Layout of a row: the number of points, then, if boxed, a box and six attributes, then the image."""

    points: int
    boxed: bool

    @property
    def fields(self) -> int:
        return 2 * self.points + (_REST if self.boxed else 1)


def recognises(path: Path) -> bool:
    """Return whether this is a .txt file."""
    return path.suffix.lower() == ".txt" and path.is_file()


def likely(path: Path) -> bool:
    """Return whether a .txt file seems to be such a list, by its first row."""
    if not recognises(path):
        return False
    with open(path, "rb") as file:
        fields = file.readline(1 << 16).split()
    numbers = plain.numbers([field.decode(errors="replace") for field in fields[:-1]])
    return len(fields) > _REST and (len(fields) - _REST) % 2 == 0 and numbers is not None


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """Return the faces by name. The number of fields of most rows decides; others and invalid rows are in `rejected`.

    If most rows of 197 fields have no box and no attributes, they are 98 points alone: there are no boxes, and a note
    says so. Raises ValueError if the file is not such a list or the images are not found.
    """
    faces, rejected, layout = _read(path)
    names = plain.names_of([f.image for f in faces], [f.line for f in faces])
    order = sorted_by_name(names)
    found, near = [faces[i].image for i in order], path.absolute().parent
    boxes = np.array([faces[i].box for i in order]).reshape(-1, 4)
    folders = [near, *(folder / "WFLW_images" for folder in (near, near.parent, near.parent.parent))]

    def label(index: int) -> Label:
        return _label(path, faces[order[index]], layout)

    root, notes = image_folders.find(path, images, folders, found, label)
    notes += _comments(path)
    if not layout.boxed:
        notes.append(f"{path}: read as a list of {layout.points} points alone: no boxes, no attributes")
    return Table(
        root=root,
        where=path.name,
        num_points=layout.points,
        names=[names[i] for i in order],
        lines=[faces[i].line for i in order],
        label=label,
        images=found,
        boxes=boxes if layout.boxed else None,
        notes=notes,
        rejected=rejected,
        files=[path],
    )


def _read(path: Path) -> tuple[list[_Face], list[Rejected], _Layout]:
    """The faces, what is rejected, and the layout that most rows have. Raises ValueError where it cannot be read."""
    with open(path, "rb") as file:
        sizes = Counter(len(line.split()) for line in file if _is_row(line))
    size = sizes.most_common(1)[0][0] if sizes else 0
    points, rest = divmod(size - _REST, 2)
    if points >= 1 and not rest:
        layout = _Layout(points, True)
        faces, rejected = _faces(path, layout)
        if sum(row.reason.partition(":")[0] in _LAYOUT for row in rejected) <= len(faces) and _about_points(faces):
            return faces, rejected, layout
    if size == _ALONE:
        layout = _Layout(size // 2, False)
        return *_faces(path, layout), layout
    raise ValueError(
        f"{path}: not a WFLW list: most rows have {_described(path, size)}; expected x, y of each point, x_min y_min x_max"
        " y_max of a box about them, 6 attributes of 0 or 1 and an image without blanks in its name in a row (as in"
        f" list_98pt_rect_attr_train.txt), or {_ALONE - 1} numbers and an image, as WFLW's list of points alone"
    )


def _about_points(faces: list[_Face]) -> bool:
    """Return whether boxes are plausible: not most of them contain none of their points."""
    found = [face.about for face in faces if face.about is not None]
    return 2 * sum(found) >= len(found)


def _described(path: Path, size: int) -> str:
    """Describe the first row of a number of fields: numbers, and what follows them."""
    with open(path, "rb") as file:
        rows = (line.decode(errors="replace").split() for line in file)
        fields = next((row for row in rows if row and len(row) == size), [])
    count = next((i for i, field in enumerate(fields) if plain.numbers([field]) is None), size)
    return f"{size} fields, {count} numbers and {' '.join(fields[count:])[:40]!r}"


def _faces(path: Path, layout: _Layout) -> tuple[list[_Face], list[Rejected]]:
    faces, rejected, offset = [], [], 0
    with open(path, "rb") as file:
        for line, text in enumerate(file, 1):
            parsed = _parsed(text, layout) if _is_row(text) else None
            if isinstance(parsed, Rejected):
                rejected.append(parsed._replace(file=parsed.file or path.name, line=line))
            elif parsed is not None:
                faces.append(_Face(parsed[0], line, offset, len(text), parsed[2], _holds(parsed[2], parsed[1])))
            offset += len(text)
    return faces, rejected


def _is_row(text: bytes) -> bool:
    """Return whether a line is neither blank nor a comment, which a row's first number is not."""
    text = text.removeprefix(_BOM).strip().strip(b"\0")
    return bool(text) and not text.startswith(b"#")


def _comments(path: Path) -> list[str]:
    """A line on the comments of a list, none where it has none."""
    with open(path, "rb") as file:
        count = sum(line.removeprefix(_BOM).lstrip().startswith(b"#") for line in file)
    return [f"{path}: {words.counted(count, 'line')} beginning with #, passed over"] * bool(count)


def _holds(box: np.ndarray, points: np.ndarray) -> bool | None:
    """Return whether a box holds any of the points; None where it has no area."""
    inside = ((box[:2] <= points) & (points <= box[:2] + box[2:])).all(1)
    return bool(inside.any()) if (box[2:] > 0).all() else None


def _parsed(text: bytes, layout: _Layout) -> tuple[str, np.ndarray, np.ndarray] | Rejected:
    """(image, f64[points, 2], box) of a row; the box is NaN where the layout has none."""
    if b"\0" in text:
        return Rejected("", None, f"bad file name: {image_names.MIXED}")
    try:
        fields = [field.decode() for field in text.removeprefix(_BOM).split()]
    except UnicodeDecodeError:
        return Rejected("", None, f"bad file name: {image_names.NOT_UTF8}")
    name, ends = image_names.own_form(fields[-1]), 2 * layout.points
    if len(fields) in (2 * layout.fields - 1, 2 * layout.fields):
        reason = (
            f"{len(fields)}, twice as many as most rows: two rows in one line, where joined files lack a line break"
        )
        return Rejected(name, None, f"wrong number of fields: {reason}")
    if len(fields) > layout.fields and plain.numbers(fields[layout.fields - 1 : layout.fields]) is None:
        name = " ".join(fields[layout.fields - 1 :])
        reason = f"{len(fields)}, most rows have {layout.fields}: the path {name[:80]!r} has blanks; rename it"
        return Rejected(name, None, f"wrong number of fields: {reason}")
    if fault := plain.path_fault(name):
        return Rejected(name, None, fault)
    if len(fields) != layout.fields:
        cut = plain.numbers([name]) is not None  # its last field
        reason = f"{len(fields)}, most rows have {layout.fields}{': the end is missing, with the image' * cut}"
        return Rejected("" if cut else name, None, f"wrong number of fields: {reason}")
    if layout.boxed and (fault := _layout_fault(fields[ends:-1])):
        return Rejected(name, None, fault)
    if (values := plain.numbers(fields[: ends + 4 * layout.boxed])) is None:
        return Rejected(name, None, plain.number_fault((f"field {i}" for i in itertools.count(1)), fields))
    box = np.full(4, np.nan)
    if layout.boxed:
        box = np.array([*values[-4:-2], *_lengths(fields[ends : ends + 4])])
    return name, values[:ends].reshape(-1, 2), box


def _layout_fault(fields: list[str]) -> str | None:
    """Describe evidence that the fields between points and image are not x_min y_min x_max y_max and 6 attributes."""
    box, attributes = plain.numbers(fields[:4]), plain.numbers(fields[4:])
    if attributes is None or not np.isin(attributes, (0, 1)).all():
        return f"bad attributes: expected six of 0 or 1, got {' '.join(fields[4:])[:60]!r}"
    if box is not None and (box[:2] > box[2:]).any():
        return f"bad box: expected x_min y_min x_max y_max, got {' '.join(fields[:4])[:60]!r}"
    return None


def _lengths(corners: list[str]) -> list[float]:
    """Width and height of x_min y_min x_max y_max, exactly: 84.1 less 33.4 is 50.7, so that a box that is written as
    corners is the same when it is read."""
    low, high = corners[:2], corners[2:]
    return [float(Decimal(b) - Decimal(a)) for a, b in zip(low, high, strict=True)]


def _label(path: Path, face: _Face, layout: _Layout) -> Label:
    parsed = _parsed(ranges.read(path, face.offset, face.length) or b"?", layout)
    if isinstance(parsed, Rejected) or parsed[0] != face.image:
        raise ValueError(f"{path}:{face.line}: the file was changed while it was in use")
    return parsed[1], np.ones(layout.points, bool)


def write(out: Path, rows: Iterable[Row], num_points: int) -> None:
    """The list, with attributes of 0 and each record's box, 0 0 0 0 where it has none. Raises ValueError for a record
    with a point that is not labelled and for a name with a blank: this layout has no way to say them."""
    with files.whole(out) as file:
        for row in rows:
            name = plain.image_of(row.name)
            if not row.mask.all():
                raise ValueError(f"{name}: a point is not labelled, which WFLW's lists cannot say; take `format` plain")
            if len(name.split()) != 1 or name != name.strip():
                raise ValueError(f"{name!r}: a blank in a name, which WFLW's lists cannot say; take `format` plain")
            fields = [*plain.texts(row.points), *_corners(row.box), *["0"] * 6, name]
            file.write(" ".join(fields).encode() + b"\n")


def _corners(box: np.ndarray | None) -> list[str]:
    """x_min y_min x_max y_max of a box, exactly; zeros for none."""
    if box is None:
        return ["0"] * 4
    x, y, width, height = plain.exact(box)
    return [x, y, *(str(Decimal(a) + Decimal(b)) for a, b in ((x, width), (y, height)))]
