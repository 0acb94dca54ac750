"""DeepLabCut's labels: CollectedData_*.csv with the header rows scorer, (individuals,) bodyparts and coords.

Empty is not labelled. The index is a path in one column or in three. Where there are individuals, each that has a point
in a picture is a record FILE#INDIVIDUAL. The tables are read whole; what stays is float32.
"""

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines import files, labels
from pipelines.formats import plain
from pipelines.tables import Label, Refused, Row, Table, sorted_by_name

NAME = "deeplabcut"
_TABLES = ("CollectedData_*.csv", "labeled-data/*/CollectedData_*.csv")


class _Head(NamedTuple):
    index: int  # columns in front of the numbers
    points: list[str]  # body parts of an individual
    faces: dict[str, list[int]]  # individual: the columns of its x; one without a name where there are none
    width: int  # fields of a row
    refused: list[str]


class _Found(NamedTuple):
    names: list[str]
    pictures: list[str]  # as the table says
    near: list[str]  # the last component of that, in the folder of the table
    lines: list[int]
    points: list[np.ndarray]  # f32[points, 2], NaN: not labelled
    refused: list[Refused]
    seen: dict[str, int]  # the lines of the pictures


def _tables(path: Path) -> list[Path]:
    """The tables at a path: the file itself, those in a folder, or those of a project's videos."""
    if path.is_file():
        return [path]
    return next((found for pattern in _TABLES if (found := sorted(path.glob(pattern)))), [])


def recognises(path: Path) -> bool:
    """Whether this is such a table, a folder that holds one, or a project's folder."""
    return any(p.suffix.lower() == ".csv" and plain.first_field(p) == "scorer" for p in _tables(path))


def parts(path: Path) -> list[str]:
    """One part, which answers for whichever is asked for."""
    return ["train"]


def read(path: Path, part: str, pictures: Path | None = None, num_points: int | None = None) -> Table:
    """The records by name, of one table or of all a project's. Pictures lie below the project's folder (that which holds
    labeled-data), or in the folder of the table. Raises ValueError, with the place, where a table is none."""
    tables, found, heads = _tables(path), _Found([], [], [], [], [], [], {}), []
    top = path if path.is_dir() else path.parent
    for table in tables:
        heads.append(_read_table(table, top, found))
        if heads[-1].points != heads[0].points:
            raise ValueError(f"{table}: has other body parts than {tables[0]}")
    order = sorted_by_name(found.names)
    points, roots = found.points, [pictures] if pictures else [top, *tables[0].absolute().parents[2:3]]
    whole, near = [found.pictures[i] for i in order], [found.near[i] for i in order]
    folder = next((f for f in roots if any(os.path.isfile(f / p) for p in whole[:20])), None)

    def label(index: int) -> Label:
        mask = np.isfinite(points[order[index]][:, 0])
        return np.where(mask[:, None], points[order[index]], 0), mask

    return Table(
        root=folder or plain.find_pictures(path, pictures, [top], near),
        where=tables[0].relative_to(top).as_posix(),
        num_points=len(heads[0].points),
        names=[found.names[i] for i in order],
        lines=[found.lines[i] for i in order],
        label=label,
        whole=all(labels.is_whole(p) for p in points),
        pictures=whole if folder else near,
        refused=found.refused,
        files=tables,
    )


def _read_table(path: Path, top: Path, found: _Found) -> _Head:
    """Adds the rows of a table to what was found."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            rows = csv.reader(file, strict=True)
            head = _head(path, rows)
            found.refused.extend(Refused(path.name, None, reason) for reason in head.refused)
            for row in rows:
                if any(row):
                    _add(row, rows.line_num, head, path.parent.relative_to(top).as_posix(), found)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not comma-separated text ({error})") from None
    return head


def _head(path: Path, rows: Iterable[list[str]]) -> _Head:
    """What the header rows say. Raises ValueError where they are not those of a table of labels."""
    head: dict[str, list[str]] = {}
    for row, _ in zip(rows, range(4), strict=False):
        head[row[0].strip() if row else ""] = row
        if "coords" in head:
            break
    coords = head.get("coords", [])
    index = coords.index("x") if "x" in coords else 0
    width, many = len(coords), head.get("individuals")
    good = index in (1, 3) and coords[index:] == ["x", "y"] * ((width - index) // 2)
    if not good or any(len(row) != width for row in head.values()) or not {"scorer", "bodyparts"} <= set(head):
        raise ValueError(
            f"{path}: not a table of DeepLabCut's labels: expected the header rows scorer, bodyparts and coords,"
            " with individuals between where there are several, and columns x, y of each body part"
        )
    columns: dict[str, dict[str, int]] = {}
    for column in range(index, width, 2):
        columns.setdefault(_plain(many[column]) if many else "", {})[head["bodyparts"][column]] = column
    if sum(map(len, columns.values())) * 2 != width - index:
        raise ValueError(f"{path}: a body part is there twice, or two individuals have one name")
    points = list(next(iter(columns.values())))
    faces = {name: [c[p] for p in points] for name, c in columns.items() if set(c) == set(points)}
    others = [
        f"other body parts: individual {name} has {', '.join(c)}" for name, c in columns.items() if name not in faces
    ]
    return _Head(index, points, faces, width, others)


def _plain(individual: str) -> str:
    return re.sub(r"[/\\#.]", "-", individual)  # as a part of a record's name


def _add(row: list[str], line: int, head: _Head, folder: str, found: _Found) -> None:
    """A row of a table in a folder: a record for each individual that has a point."""
    picture = "/".join(row[: head.index]).replace("\\", "/")
    reason = plain.path_fault(picture)
    if reason is None and len(row) != head.width:
        reason = f"wrong number of fields: {len(row)}, the header has {head.width}"
    if reason is None and picture in found.seen:
        reason = f"name twice: {picture}, first on line {found.seen[picture]}"
    if reason is not None:
        found.refused.append(Refused(picture, line, reason))
        return
    found.seen[picture] = line
    for face, columns in head.faces.items():
        name = f"{picture}#{face}" if face else picture
        points = _points([row[c + axis].strip() for c in columns for axis in (0, 1)], head.points)
        if isinstance(points, str):
            found.refused.append(Refused(name, line, points))
        elif not face or not np.isnan(points).all():
            found.names.append(name)
            found.pictures.append(picture)
            found.near.append((folder + "/" if folder != "." else "") + picture.rpartition("/")[2])
            found.lines.append(line)
            found.points.append(points)


def _points(fields: list[str], parts: list[str]) -> np.ndarray | str:
    """f32[points, 2], NaN where not labelled, or what is wrong with the fields."""
    known = np.array([field.lower() not in ("", "nan") for field in fields])
    values = plain.numbers([field for field, there in zip(fields, known, strict=True) if there])
    if values is None:
        return "not a finite number: among the points"
    if (half := known[::2] != known[1::2]).any():
        return f"half a point: only one of x and y of {parts[int(half.argmax())]}"
    points = np.full(len(fields), np.nan, np.float32)
    points[known] = values
    return points.reshape(-1, 2)


def write(out: Path, rows: Iterable[Row], num_points: int) -> None:
    """A table of one animal a picture, its index in one column. Raises ValueError for one of several in a picture."""
    with files.whole(out) as file:
        file.write(files.csv_row(["scorer", *["jaxmarks"] * (2 * num_points)]))
        file.write(files.csv_row(["bodyparts", *(f"point_{i}" for i in range(num_points) for _ in "xy")]))
        file.write(files.csv_row(["coords", *["x", "y"] * num_points]))
        for row in rows:
            name = plain.only_one(row.name, "a table of one animal a picture")
            file.write(files.csv_row([name, *plain.gapped(row)]))
