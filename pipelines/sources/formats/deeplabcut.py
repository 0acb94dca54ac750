"""DeepLabCut labels: CollectedData_*.csv with the header rows scorer, (individuals,) bodyparts and coords.

Empty is not labelled. The index is a path in one column or in three. Where there are individuals, each that has a point
in an image is a record FILE#INDIVIDUAL. The tables are read whole; what stays is float32.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.io import csv_text, files
from pipelines.sources import dialects, joined, text_tables
from pipelines.sources.formats import deeplabcut_places, plain
from pipelines.sources.tables import Label, Rejected, Row, Table, sorted_by_name

NAME = "deeplabcut"
SUFFIX, IMAGES, BOXED = ".csv", "", False
parts = plain.parts


class _Head(NamedTuple):
    index: int  # columns in front of the numbers
    points: list[str]  # body parts of an individual
    faces: dict[str, list[int]]  # individual: the columns of its x; one without a name in tables of single animals
    width: int  # fields of a row
    others: dict[str, dict[str, int]]  # individuals that have other body parts: the column of each's x
    scorer: str  # who labelled

    def in_order(self, points: list[str]) -> "_Head":
        """The same with its body parts in another order."""
        places = [self.points.index(point) for point in points]
        faces = {name: [columns[i] for i in places] for name, columns in self.faces.items()}
        return self._replace(points=points, faces=faces)


class _Opened(NamedTuple):
    """A table with the usual header."""

    head: _Head
    rows: list[tuple[int, list[str], str | None]]  # line, fields, why it is not read
    notes: list[str]

    def images(self, folder: str) -> set[str]:
        """The images that its rows name. folder: of the table, below the path that was given."""
        return {deeplabcut_places.image(folder, row[: self.head.index]) for _, row, _ in self.rows}


class _Found(NamedTuple):
    names: list[str]
    places: list[deeplabcut_places.Place]
    lines: list[int]
    points: list[np.ndarray]  # f32[points, 2], NaN: not labelled
    rejected: list[Rejected]
    seen: dict[str, str]  # where the images are named
    at: dict[str, int]  # the places of the names
    apart: list[float | None]  # of rows that name an image again, as `joined.apart`


def recognises(path: Path) -> bool:
    """Return whether this is such a table, a folder that holds one, or a project's folder."""
    return any(
        p.suffix.lower() == ".csv" and dialects.first_field(p) == "scorer" for p in deeplabcut_places.tables(path)
    )


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """The records by name, of one table or of all a project's. Images lie below the project's folder (that which holds
    labeled-data), or in the folder of the table.

    The body parts of most tables are read, in the order of the first such table; columns are matched by their names. Rows
    of tables with other body parts, and of files without the header of labels, are rejected. Raises ValueError, with the
    place, where no file has that header, and where it is not known which of a folder's tables of the same images is the one.
    """
    tables, found = deeplabcut_places.tables(path), _Found([], [], [], [], [], {}, {}, [])
    top = path if path.is_dir() else path.parent
    opened, rejected = _opened_all(tables, top)
    found.rejected.extend(rejected)
    scorers = {table: one.head.scorer for table, one in opened.items()}
    named = {table: one.images(table.parent.relative_to(top).as_posix()) for table, one in opened.items()}
    chosen, notes = deeplabcut_places.chosen(path, scorers, named)
    opened = {table: opened[table] for table in chosen}
    usual, count = Counter(frozenset(one.head.points) for one in opened.values()).most_common(1)[0]
    first = next(table for table in opened if set(opened[table].head.points) == usual)
    points, notes = opened[first].head.points, deeplabcut_places.unread(path, tables) + notes
    notes += [
        f"{table}: read as a table with {dialect}"
        for table in opened
        if (dialect := dialects.sniff(table, ",").describe(","))
    ]
    for table in deeplabcut_places.own_first({table: named[table] for table in opened}, top):
        head, rows, more = opened[table]
        notes.extend(more)
        if not rows:
            notes.append(f"{table}: has a header and no row")
        if set(head.points) != usual:
            detail = f"{_difference(points, head.points)}, against {count} of {len(opened)} tables"
            found.rejected.extend(_others(table, top, head, rows, detail))
            continue
        if head.points != points:
            notes.append(f"{table}: its body parts are in another order than {first} has them; matched by name")
        _add_table(table, top, head.in_order(points), rows, found)
    order = sorted_by_name(found.names)
    root, paths = deeplabcut_places.find(path, images, top, tables, [found.places[i] for i in order])

    def label(index: int) -> Label:
        mask = np.isfinite(found.points[order[index]][:, 0])
        return np.where(mask[:, None], found.points[order[index]], 0), mask

    return Table(
        root=root,
        where=first.relative_to(top).as_posix(),
        num_points=len(points),
        names=[found.names[i] for i in order],
        lines=[found.lines[i] for i in order],
        label=label,
        whole=all(text_tables.is_whole(p) for p in found.points),
        images=paths,
        rejected=found.rejected,
        files=tables,
        notes=notes + joined.again_notes(path, found.apart),
        tables=len(opened),
        points=points,
    )


def _opened_all(tables: list[Path], top: Path) -> tuple[dict[Path, _Opened], list[Rejected]]:
    """(the tables, the rows of those without the header of one). Raises ValueError where none has it."""
    found = {table: _opened(table) for table in tables}
    good = {table: one for table, one in found.items() if isinstance(one, _Opened)}
    rejected = [
        row._replace(file=table.relative_to(top).as_posix())
        for table, rows in found.items()
        if not isinstance(rows, _Opened)
        for row in rows
    ]
    if not good:
        raise ValueError(f"{tables[0]}: {rejected[0].reason}")
    return good, rejected


def _opened(path: Path) -> _Opened | list[Rejected]:
    """The rows of a table that are not empty, with what its header says; all rejected where it is not one of labels."""
    rows = dialects.rows(path, dialects.sniff(path, ",")._replace(quoted=True))
    header = _header_rows(row for _, row in rows)
    if isinstance(head := _head(path, header), str):
        return [Rejected("", line, head) for line, row in rows if any(row)] or [Rejected("", None, head)]
    headers = joined.Headers({"individuals": [], **header})
    kept = [(line, row, headers.fault) for line, row in rows if any(row) and headers.take(row, line) != 0]
    return _Opened(head, kept, headers.notes(path))


def _difference(usual: list[str], points: list[str]) -> str:
    """In what way body parts differ from the usual ones."""
    lacks, adds = (", ".join(p for p in one if p not in other) for one, other in ((usual, points), (points, usual)))
    return " and ".join(f"{verb} {parts}" for verb, parts in (("lacks", lacks), ("adds", adds)) if parts)


def _others(table: Path, top: Path, head: _Head, rows: list, detail: str) -> Iterator[Rejected]:
    """The rows of a table that has not the usual body parts."""
    where = table.relative_to(top)
    for line, row, _ in rows:
        yield Rejected(
            deeplabcut_places.image(where.parent.as_posix(), row[: head.index]),
            line,
            f"other body parts: {where} {detail}",
        )


def _add_table(path: Path, top: Path, head: _Head, rows: list, found: _Found) -> None:
    """Add the rows of a table to what was found."""
    folder = path.parent.relative_to(top).as_posix()
    for line, row, fault in rows:
        image = deeplabcut_places.image(folder, row[: head.index])
        if (reason := fault or _row_fault(row, image, path.relative_to(top), head, found)) is not None:
            found.rejected.append(Rejected(image, line, reason))
            continue
        found.seen[image] = f"line {line} of {path.relative_to(top)}"
        _add(row, line, head, deeplabcut_places.Place(image, folder), found)


def _row_fault(row: list[str], image: str, table: Path, head: _Head, found: _Found) -> str | None:
    if not all(row[: head.index]) and any(row[: head.index]):
        return f"not a path: in {table} its first columns are empty, as in merged cells: fill them down"
    inner = re.sub(r"^[A-Za-z]:/", "", image)  # of another computer: the image may be beside the table
    if fault := plain.path_fault(inner):
        return fault
    if len(row) != head.width:
        return f"wrong number of fields: {len(row)}, the header has {head.width}"
    if image not in found.seen:
        return None
    again = [(found.at.get(name), points) for name, points in _faces(row, image, head) if not isinstance(points, str)]
    first = [np.full((len(head.points), 2), np.nan) if at is None else found.points[at] for at, _ in again]
    found.apart.append(joined.apart(np.array(first), np.array([points for _, points in again])))
    return joined.again_reason(image, found.seen[image])


def _header_rows(rows: Iterable[list[str]]) -> dict[str, list[str]]:
    """The rows of a header by their first fields, as far as that of the coordinates."""
    head: dict[str, list[str]] = {}
    for row, _ in zip(rows, range(4), strict=False):
        head[row[0].strip() if row else ""] = row
        if "coords" in head:
            break
    return head


def _head(path: Path, head: dict[str, list[str]]) -> _Head | str:
    """Return the content of the header rows, or in what way they are not those of a table of labels. Raises ValueError for
    labels of several scorers and for a body part that comes twice."""
    coords = head.get("coords", [])
    index = coords.index("x") if "x" in coords else 0
    width, many = len(coords), head.get("individuals")
    good = index in (1, 3) and coords[index:] == ["x", "y"] * ((width - index) // 2)
    if not good or any(len(row) != width for row in head.values()) or not {"scorer", "bodyparts"} <= set(head):
        found = "has columns of likelihood, as predictions of analyze_videos have; " if "likelihood" in coords else ""
        found = found or _other_axes(coords[index:], head.get("bodyparts", [])[index:])
        return (
            f"not a table of DeepLabCut's labels: {found}expected the header rows scorer, bodyparts and coords,"
            " with individuals between where there are several, and columns x, y of each body part"
        )
    named = (re.sub(r"\.\d+$", "", scorer.strip()) for scorer in head["scorer"][index:])  # pandas numbers them
    scorers = list(dict.fromkeys(filter(None, named)))
    if len(scorers) > 1:
        listed = files.escaped(", ".join(scorer[:40] for scorer in scorers[:5]))
        raise ValueError(f"{path}: labels of several scorers, {listed}: keep the columns of one")
    columns: dict[str, dict[str, int]] = {}
    for column in range(index, width, 2):
        columns.setdefault(_plain(many[column]) if many else "", {})[head["bodyparts"][column]] = column
    if sum(map(len, columns.values())) * 2 != width - index:
        raise ValueError(f"{path}: a body part occurs twice, or two individuals have one name")
    usual = Counter(frozenset(c) for c in columns.values()).most_common(1)[0][0]
    points = list(next(c for c in columns.values() if set(c) == usual))
    faces = {name: [c[p] for p in points] for name, c in columns.items() if set(c) == usual}
    others = {name: c for name, c in columns.items() if name not in faces}
    return _Head(index, points, faces, width, others, "".join(scorers)[:80])


def _other_axes(coords: Sequence[str], parts: Sequence[str]) -> str:
    """Describe the first body part whose two columns are not x and y; empty where all are."""
    pairs = zip(parts[::2], zip(coords[::2], coords[1::2], strict=False), strict=False)
    found = next(((part[:40], *axes) for part, axes in pairs if axes != ("x", "y")), None)
    return files.escaped("{} has the columns {:.20}, {:.20}; ".format(*found)) if found else ""


def _plain(individual: str) -> str:
    return re.sub(r"[/\\#.]", "-", individual)  # as a part of a record's name


def _faces(row: list[str], image: str, head: _Head) -> Iterator[tuple[str, np.ndarray | str]]:
    """(name, points or what is wrong with them) of each individual of a row."""
    for face, columns in head.faces.items():
        fields = [row[c + axis].strip() for c in columns for axis in (0, 1)]
        yield f"{image}#{face}" if face else image, _points(fields, head.points)


def _add(row: list[str], line: int, head: _Head, place: deeplabcut_places.Place, found: _Found) -> None:
    """A row of a table: a record for each individual that has a point."""
    image, before = place.image, len(found.names) + len(found.rejected)
    for name, points in _faces(row, image, head):
        if isinstance(points, str):
            found.rejected.append(Rejected(name, line, points))
        elif name == image or not np.isnan(points).all():
            found.at[name] = len(found.names)
            found.names.append(name)
            found.places.append(place)
            found.lines.append(line)
            found.points.append(points)
    for face, parts in head.others.items():
        if any(_known(row[column + axis]) for column in parts.values() for axis in (0, 1)):
            reason = f"other body parts: individual {face} has {', '.join(parts)}"
            found.rejected.append(Rejected(f"{image}#{face}", line, reason))
    if len(found.names) + len(found.rejected) == before:
        found.rejected.append(Rejected(image, line, "no labelled point: no individual has one"))


def _known(field: str) -> bool:
    """Return whether a field holds a number, or what should be one."""
    return field.strip().lower() not in ("", "nan")


def _points(fields: list[str], parts: list[str]) -> np.ndarray | str:
    """f32[points, 2], NaN where not labelled, or what is wrong with the fields."""
    known = np.array([_known(field) for field in fields])
    values = plain.numbers([field for field, there in zip(fields, known, strict=True) if there])
    if values is None:
        where = [f"{axis} of {part}" for part in parts for axis in "xy"]
        faults = [(at, field) for at, field, there in zip(where, fields, known, strict=True) if there]
        return plain.number_fault(*zip(*faults, strict=True), gaps=True)
    if (half := known[::2] != known[1::2]).any():
        return f"half a point: only one of x and y of {parts[int(half.argmax())]}"
    points = np.full(len(fields), np.nan, np.float32)
    points[known] = values
    return points.reshape(-1, 2)


def write(out: Path, rows: Iterable[Row], num_points: int) -> None:
    """A table of one animal an image, its index in one column. Raises ValueError for one of several in an image."""
    with files.whole(out) as file:
        file.write(csv_text.row(["scorer", *["jaxmarks"] * (2 * num_points)]))
        file.write(csv_text.row(["bodyparts", *(f"point_{i}" for i in range(num_points) for _ in "xy")]))
        file.write(csv_text.row(["coords", *["x", "y"] * num_points]))
        for row in rows:
            name = plain.only_one(row.name, "a table of one animal an image")
            file.write(csv_text.row([name, *plain.gapped(row)]))
