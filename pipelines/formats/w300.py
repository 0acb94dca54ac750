"""300-W and its kin: a folder of pictures, each with its points in a .pts file of the same stem beside it.

The .pts files of iBUG count pixels from 1, as MATLAB does: 1 is taken off on reading and put on again on writing.
"""

import os
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import numpy as np

from pipelines import files, labels
from pipelines.formats import plain
from pipelines.tables import Label, Refused, Row, Table, sorted_by_name

NAME = "pts"
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
_LAYOUT = re.compile(r"\s*version\s*:\s*\S+\s+n_points\s*:\s*(\d{1,9})\s*\{([^{}]*)\}\s*")


def recognises(path: Path) -> bool:
    """Whether this is a folder with a .pts file in it or below it."""
    return path.is_dir() and next(path.rglob("*.pts"), None) is not None


def parts(path: Path) -> list[str]:
    """One part, which answers for whichever is asked for."""
    return ["train"]


def read(path: Path, part: str, pictures: Path | None = None, num_points: int | None = None) -> Table:
    """The pictures by name that have a .pts file; `pictures` is the folder they lie in below the same names.

    Each file is read once here and again when it is asked for. Those that make no sense, that have another number of
    points than the first, or no picture, are in `refused`. Raises ValueError where no file can be read at all.
    """
    root = plain.find_pictures(path, pictures, [path], [])
    tables = sorted(p for p in path.rglob("*.pts") if p.is_file())
    found: dict[str, Path] = {}
    refused, count = [], 0
    for table in tables:
        name = table.relative_to(path).as_posix()
        points, picture = _points(table), _picture(root, name)
        if isinstance(points, str):
            refused.append(Refused(name, None, points))
        elif count and len(points) != count:
            refused.append(Refused(name, None, f"wrong number of points: {len(points)}, the first file has {count}"))
        elif picture is None:
            refused.append(Refused(name, None, f"no picture: none of its stem and {' '.join(ENDINGS)} is beside it"))
        elif fault := plain.path_fault(picture):
            refused.append(Refused(name, None, fault))
        else:
            count, found[picture] = len(points), table
    if not found:
        raise ValueError(f"{path}: no .pts file with a picture can be used ({refused[0].file}: {refused[0].reason})")
    names = [list(found)[i] for i in sorted_by_name(list(found))]
    return Table(
        root=root,
        where=path.name,
        num_points=count,
        names=names,
        lines=[0] * len(names),
        label=lambda index: _label(found[names[index]], count),
        refused=refused,
        files=tables,
    )


def _picture(root: Path, name: str) -> str | None:
    """The picture of x/y.pts."""
    stem = name.removesuffix(".pts")
    endings = (e for ending in ENDINGS for e in (ending, ending.upper()))
    return next((stem + e for e in endings if os.path.isfile(root / (stem + e))), None)


def _points(path: Path) -> np.ndarray | str:
    """f64[points, 2] of a .pts file, from 0, or what is wrong with it."""
    text = _LAYOUT.fullmatch(files.read_bytes(path).decode("utf-8-sig", "replace"))
    if text is None:
        return "not a .pts file: expected version: 1, n_points: COUNT and { x y of each point }"
    rows = [line.split() for line in text[2].splitlines() if line.strip()]
    if len(rows) != int(text[1]) or not rows:
        return f"wrong number of points: {len(rows)} lines, n_points says {int(text[1])}"
    if any(len(row) != 2 for row in rows):
        return "wrong number of fields: expected x and y in each line"
    values = plain.numbers([field for row in rows for field in row])
    return "not a finite number: among the points" if values is None else values.reshape(-1, 2) - 1


def _label(path: Path, count: int) -> Label:
    points = _points(path)
    if isinstance(points, str) or len(points) != count:
        raise ValueError(f"{path}: the file was changed while it was in use")
    return points, np.ones(count, bool)


def file_of(name: str) -> str:
    """The .pts file of a picture."""
    return f"{os.path.splitext(name)[0]}.pts"


def write(out: Path, rows: Iterable[Row], num_points: int) -> None:
    """A .pts file for each record in the folder `out`, named as its picture.

    Raises ValueError for a record with a point that is not labelled, for one of several faces of a photograph, for a
    name that leads out of the folder, and where two pictures have one stem: this layout has no way to say them.
    """
    written: set[str] = set()
    for row in rows:
        name = plain.only_one(row.name, ".pts")
        file_name = file_of(name)
        if not labels.inner_path(name) or file_name in written:
            raise ValueError(
                f"{name}: {'another picture has this stem' if file_name in written else 'not a path below a folder'}"
            )
        if not row.mask.all():
            raise ValueError(f"{name}: a point is not labelled, which .pts cannot say; take --format plain or coco")
        written.add(file_name)
        numbers = [format(Decimal(text) + 1, "f") for text in plain.texts(row.points)]
        points = "".join(f"{x} {y}\n" for x, y in zip(numbers[::2], numbers[1::2], strict=True))
        with files.whole(out / file_name) as file:
            file.write(f"version: 1\nn_points: {num_points}\n{{\n{points}}}\n".encode())
