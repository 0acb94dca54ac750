"""WFLW's lists: a row a face, separated by blanks: x, y of each point, x_min y_min x_max y_max, 6 attributes, picture.

A photograph of several faces gives records FILE#LINE. Rows are checked once and read again when they are asked for.
"""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines import files
from pipelines.formats import plain
from pipelines.tables import Label, Refused, Row, Table, sorted_by_name

NAME = "wflw"
_REST = 4 + 6 + 1  # fields behind the points
_BOM = b"\xef\xbb\xbf"


class _Face(NamedTuple):
    picture: str
    line: int
    offset: int  # of the row in the file
    box: np.ndarray


def recognises(path: Path) -> bool:
    """Whether this is a .txt file."""
    return path.suffix.lower() == ".txt" and path.is_file()


def likely(path: Path) -> bool:
    """Whether a .txt file seems to be such a list, by its first row."""
    if not recognises(path):
        return False
    with open(path, "rb") as file:
        fields = file.readline(1 << 16).split()
    numbers = plain.numbers([field.decode(errors="replace") for field in fields[:-1]])
    return len(fields) > _REST and (len(fields) - _REST) % 2 == 0 and numbers is not None


def parts(path: Path) -> list[str]:
    """One part, which answers for whichever is asked for."""
    return ["train"]


def read(path: Path, part: str, pictures: Path | None = None, num_points: int | None = None) -> Table:
    """The faces by name. Rows have as many fields as most of them; others, and rows that make no sense, are in `refused`.

    Raises ValueError where the file is no such list or the pictures are not found.
    """
    with open(path, "rb") as file:
        sizes = Counter(len(line.split()) for line in file if line.strip())
    count, odd = divmod((sizes.most_common(1)[0][0] if sizes else 0) - _REST, 2)
    if count < 1 or odd:
        raise ValueError(
            f"{path}: not a WFLW list: expected x, y of each point, x_min y_min x_max y_max, 6 attributes and a picture"
            " in a row (list_98pt_rect_attr_train.txt is one)"
        )
    faces, refused = _faces(path, count)
    names = plain.names_of([f.picture for f in faces], [f.line for f in faces])
    order = sorted_by_name(names)
    found, near = [faces[i].picture for i in order], path.absolute().parent
    boxes = np.array([faces[i].box for i in order]).reshape(-1, 4)
    folders = [near, *(folder / "WFLW_images" for folder in (near, near.parent, near.parent.parent))]
    return Table(
        root=plain.find_pictures(path, pictures, folders, found),
        where=path.name,
        num_points=count,
        names=[names[i] for i in order],
        lines=[faces[i].line for i in order],
        label=lambda index: _label(path, faces[order[index]], count),
        pictures=found,
        boxes=boxes,
        refused=refused,
        files=[path],
    )


def _faces(path: Path, count: int) -> tuple[list[_Face], list[Refused]]:
    faces, refused, offset = [], [], 0
    with open(path, "rb") as file:
        for line, text in enumerate(file, 1):
            parsed = _parsed(text, count) if text.strip() else None
            if isinstance(parsed, Refused):
                refused.append(parsed._replace(file=parsed.file or path.name, line=line))
            elif parsed is not None:
                faces.append(_Face(parsed[0], line, offset, parsed[2]))
            offset += len(text)
    return faces, refused


def _parsed(text: bytes, count: int) -> tuple[str, np.ndarray, np.ndarray] | Refused:
    """(picture, f64[points, 2], box) of a row."""
    try:
        fields = [field.decode() for field in text.removeprefix(_BOM).split()]
    except UnicodeDecodeError:
        return Refused("", None, "bad file name: not UTF-8 text")
    name = fields[-1]
    if fault := plain.path_fault(name):
        return Refused("", None, fault)
    if len(fields) != 2 * count + _REST:
        return Refused(name, None, f"wrong number of fields: {len(fields)}, most rows have {2 * count + _REST}")
    if (values := plain.numbers(fields[: 2 * count + 4])) is None:
        return Refused(name, None, "not a finite number: among the points and the box")
    box = np.array([*values[-4:-2], *_lengths(fields[2 * count : 2 * count + 4])])
    return name, values[:-4].reshape(-1, 2), box


def _lengths(corners: list[str]) -> list[float]:
    """Width and height of x_min y_min x_max y_max, exactly: 84.1 less 33.4 is 50.7, so that a box that is written as
    corners is the same when it is read."""
    low, high = corners[:2], corners[2:]
    return [float(Decimal(b) - Decimal(a)) for a, b in zip(low, high, strict=True)]


def _label(path: Path, face: _Face, count: int) -> Label:
    with open(path, "rb") as file:
        file.seek(face.offset)
        parsed = _parsed(file.readline() or b"?", count)
    if isinstance(parsed, Refused) or parsed[0] != face.picture:
        raise ValueError(f"{path}:{face.line}: the file was changed while it was in use")
    return parsed[1], np.ones(count, bool)


def write(out: Path, rows: Iterable[Row], num_points: int) -> None:
    """The list, with attributes of 0 and each record's box, 0 0 0 0 where it has none. Raises ValueError for a record
    with a point that is not labelled and for a name with a blank: this layout has no way to say them."""
    with files.whole(out) as file:
        for row in rows:
            name = plain.picture_of(row.name)
            if not row.mask.all():
                raise ValueError(f"{name}: a point is not labelled, which WFLW's lists cannot say; take --format plain")
            if len(name.split()) != 1 or name != name.strip():
                raise ValueError(f"{name!r}: a blank in a name, which WFLW's lists cannot say; take --format plain")
            fields = [*plain.texts(row.points), *_corners(row.box), *["0"] * 6, name]
            file.write(" ".join(fields).encode() + b"\n")


def _corners(box: np.ndarray | None) -> list[str]:
    """x_min y_min x_max y_max of a box, exactly; zeros for none."""
    if box is None:
        return ["0"] * 4
    x, y, width, height = plain.exact(box)
    return [x, y, *(str(Decimal(a) + Decimal(b)) for a, b in ((x, width), (y, height)))]
