"""Layout of the "thousand landmarks" contest: train/landmarks.csv, test/test_points.csv and the submission.

Tables are tab-separated text with a header, whose names have to agree with x, y of each point where they tell axes.
"""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipelines.io import csv_text, files
from pipelines.sources import image_names, text_tables
from pipelines.sources.formats import headers, plain
from pipelines.sources.tables import Label, Rejected, Row, Table, sorted_by_name
from pipelines.sources.text_tables import Scan

NAME = "contest"
SUFFIX, IMAGES, BOXED = "", "images", False


def recognises(path: Path) -> bool:
    """Return whether this is a folder of this layout, with a training split, a test split or both."""
    return any((path / part / table).exists() for part, table in _TABLES.items())


def folder_of(path: Path) -> Path | None:
    """The folder of this layout whose part, images or table lie at a path; None where they do not."""
    tables = {"landmarks.csv", "test_points.csv", "landmarks_true.csv"}
    there = path.absolute()
    part = there.parent if there.name in tables or (there.name == "images" and there.is_dir()) else there
    return part.parent if part.name in _TABLES and (part / _TABLES[part.name]).is_file() else None


def parts(path: Path) -> list[str]:
    """Return the existing splits of `train` and `test`; `train`, whose reading reports what is missing, if neither
    exists."""
    return [part for part, table in _TABLES.items() if (path / part / table).exists()] or ["train"]


_TABLES = {"train": "landmarks.csv", "test": "test_points.csv"}


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """Return the training split by file name, or the test split in the order of its list, with the ground truth if it
    exists.

    num_points: the number of points, if neither truth nor training table states it. Raises ValueError with the place if
    a file is missing or invalid; rows that cannot be used are in the table's `rejected`.
    """
    folder = images or path / part / "images"
    table = path / part / _TABLES[part]
    if not table.is_file():
        raise ValueError(f"{table}: the file is missing; give the folder that holds train/ and test/")
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: the folder of images is missing; say where they are by `pictures` FOLDER, or have convert.py write"
            " them there (`copy_pictures`)"
        )
    return _train(path, folder, table) if part == "train" else _test(path, folder, table, num_points)


def read_landmarks(path: Path) -> Scan:
    """A landmarks.csv: a name, then x, y of each point. Raises ValueError for another file."""
    scan = text_tables.scan(path)
    if len(scan.columns) < 3 or len(scan.columns) % 2 == 0:
        raise ValueError(
            f"{path}:1: the header has {len(scan.columns)} tab-separated fields; expected a name and x, y of each point"
        )
    _check_axes(path, scan.columns)
    return scan


def _check_axes(path: Path, columns: Sequence[str]) -> None:
    headers.check(path, columns, "bounding boxes are given by `boxes` FILE")


def _label_in(scan: Scan, order: list[int], index: int) -> Label:
    points = scan.row(order[index]).reshape(-1, 2)
    return points, np.ones(len(points), bool)


def _rejected(scan: Scan, where: str) -> list[Rejected]:
    return [Rejected(row.name or where, row.line, row.reason) for row in scan.rejected]


def _train(path: Path, folder: Path, table: Path) -> Table:
    scan, where = read_landmarks(table), str(table.relative_to(path))
    order = sorted_by_name(scan.names)
    return Table(
        root=folder,
        where=where,
        num_points=len(scan.columns) // 2,
        names=[scan.names[i] for i in order],
        lines=scan.lines[order],
        label=functools.partial(_label_in, scan, order),
        whole=scan.whole,
        notes=list(scan.notes),
        rejected=_rejected(scan, where),
        files=[table],
    )


def _test(path: Path, folder: Path, table: Path, num_points: int | None) -> Table:
    names, lines, asked, rejected = read_asked(table)
    where = str(table.relative_to(path))
    truth, found = path / "test" / "landmarks_true.csv", []
    label: Callable[[int], Label] | None = None
    if truth.is_file():
        scan = read_landmarks(truth)
        if scan.rejected:
            raise ValueError(f"{truth}:{scan.rejected[0].line}: {scan.rejected[0].reason}")
        places = {name: i for i, name in enumerate(scan.names)}
        if missing := [name for name in names if name not in places]:
            raise ValueError(f"{truth}: no row for {missing[0]}, which {table.name} lists ({len(missing)} in all)")
        order, count, found = [places[name] for name in names], len(scan.columns) // 2, [truth]
        label = functools.partial(_label_in, scan, order)
    else:
        count = _points_of(path / "train" / "landmarks.csv", asked, num_points)
    if (highest := max((int(a.max()) for a in asked), default=0)) >= count:
        raise ValueError(f"{table}: point {highest} is asked, but there are {count} points")
    return Table(
        root=folder,
        where=where,
        num_points=count,
        names=names,
        lines=lines,
        label=label,
        whole=bool(found) and scan.whole,
        asked=asked,
        rejected=[Rejected(r.name or where, r.line, r.reason) for r in rejected],
        files=[table, *found],
    )


def _points_of(path: Path, asked: list[np.ndarray], num_points: int | None) -> int:
    """Return the number of points: by the training header if it exists, else as given, else by the highest requested
    point."""
    if not path.is_file():
        return num_points or max(int(a.max()) for a in asked) + 1
    columns = text_tables.columns(path)
    _check_axes(path, columns)
    return len(columns) // 2


def read_asked(path: Path) -> tuple[list[str], list[int], list[np.ndarray], list[text_tables.BadRow]]:
    """(names, lines, for each the indices of the points to hand in, rows rejected) of a test_points.csv, in its order."""
    names, lines, asked, rejected = [], [], [], []
    seen: dict[str, int] = {}
    for line, fields in text_tables.text_rows(path):
        reason, indices = image_names.name_fault(fields[0], seen, image_names.plain_name), None
        if reason is None and len(fields) != 2:
            reason = f"wrong number of fields: {len(fields)}, expected a file name and a list of points"
        if reason is None and (indices := _indices(fields[1])) is None:
            reason = f"not a list of points: expected one such as [0, 5, 9], got {fields[1][:40]!r}"
        if indices is None:
            rejected.append(text_tables.BadRow(fields[0], line, reason or ""))
            continue
        seen[fields[0]] = line
        names.append(fields[0])
        lines.append(line)
        asked.append(indices)
    if not names and not rejected:
        raise ValueError(f"{path}: no row under the header")
    return names, lines, asked, rejected


def _indices(field: str) -> np.ndarray | None:
    try:
        values = json.loads(field)
    except (ValueError, RecursionError):  # a number of 5000 digits, a thousand brackets
        return None
    good = isinstance(values, list) and values and all(type(v) is int and 0 <= v < 1 << 31 for v in values)
    return np.array(values) if good else None


def check_asked(asked: Sequence[np.ndarray]) -> int:
    """Return the number of points that each row requests. Raises ValueError unless it is the same for all: the
    submission's header names them."""
    lengths = {len(a) for a in asked}
    if len(lengths) > 1:
        raise ValueError(
            f"rows ask for {min(lengths)} to {max(lengths)} points: a submission needs the same number in all"
        )
    return lengths.pop()


def write_submission(
    file: BinaryIO, names: Sequence[str], points: Iterable[np.ndarray], asked: Sequence[np.ndarray]
) -> None:
    """The submission: a comma-separated row an image, its asked points in their own order, rounded.

    points f64[points, 2] of each image. Every row must ask for as many points (`check_asked`).
    """
    file.write(csv_text.row(["file_name", *_columns(check_asked(asked))]))
    for name, face, indices in zip(names, points, asked, strict=True):
        if not np.isfinite(face[indices]).all():
            raise ValueError(f"{name}: a point is predicted that is not finite; take another `checkpoint`")
        file.write(csv_text.row([name, *np.rint(face[indices]).astype(np.int64).reshape(-1)]))


def _columns(count: int) -> list[str]:
    return [f"Point_M{i}_{axis}" for i in range(count) for axis in "XY"]


def write(out: Path, rows: Iterable[Row], num_points: int, decimals: int | None = 2) -> None:
    """A table in the layout of landmarks.csv, every point of every record; decimals None: in the fewest digits that give
    the same float32 again.

    Raises ValueError for a record with a point that is not labelled: this layout has no way to say so.
    """
    with files.whole(out) as file:
        file.write(("\t".join(["file_name", *_columns(num_points)]) + "\n").encode())
        for row in rows:
            if not row.mask.all():
                raise ValueError(
                    f"{row.name}: a point is not labelled, which landmarks.csv cannot say; take `format` plain"
                )
            shown = (
                plain.texts(row.points) if decimals is None else [_shown(v, decimals) for v in row.points.reshape(-1)]
            )
            file.write(("\t".join([row.name, *shown]) + "\n").encode())


def _shown(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if decimals else text
    return "0" if text == "-0" else text
