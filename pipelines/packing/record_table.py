"""Record table of a packed split, PART.csv: one row a record, every field checked when it is read."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from jaxmarks import words
from pipelines.io import csv_text, files
from pipelines.sources import image_names

_HEADER = ["file_name", "width", "height", "sha256", "group", "line", "spread", "asked"]
_SIDE = "[1-9][0-9]{0,8}"
_FORMS = {  # of the fields behind the name, but the group, which is any text
    1: (_SIDE, "the image's width"),
    2: (_SIDE, "the image's height"),
    3: ("[0-9a-f]{64}", "64 hexadecimal digits"),
    5: ("[0-9]{0,15}", "a line number or nothing"),
    6: ("(?:[0-9]{1,300}[.][0-9]{4}|inf|)", "a share or nothing"),
    7: ("(?:[0-9]{1,7}(?: [0-9]{1,7})*)?", "indices of points or nothing"),
}
_ALL = re.compile("\0".join(form for form, _ in _FORMS.values()))  # one match for a row that is sound
_PLAIN = re.compile("[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}")  # most names


class Record(NamedTuple):
    """Row of the table: the facts of a record."""

    name: str
    width: int  # of the image, as displayed
    height: int
    digest: bytes
    group: str  # near-duplicates share one
    line: str = ""  # in the table that it was packed from
    spread: str = ""  # side of the labels' box over that of the image
    asked: str = ""  # the points to hand in


def write(folder: Path, part: str, records: Iterable[Record]) -> str:
    """Write PART.csv; return the identity of the part."""
    digests = hashlib.sha256()
    with files.whole(folder / f"{part}.csv") as file:
        file.write(csv_text.row(_HEADER))
        for r in records:
            digests.update(r.digest)
            file.write(csv_text.row([r.name, r.width, r.height, r.digest.hex(), *r[4:]]))
    return digests.hexdigest()


def read(folder: Path, part: str, num_points: int) -> list[Record]:
    """Return what PART.csv says of each record.

    Raises ValueError, with file and line, for a row that packing does not write: a name that leads out of a folder, comes
    twice or holds what no name does, an invalid number, a point that the set does not have, or points asked of some
    records only.
    """
    path, records, names = folder / f"{part}.csv", [], set()
    for line, row in csv_text.rows(path, _HEADER):
        if (found := _record(row)) is None:
            raise ValueError(f"{path}:{line}: {_fault(row)}")
        records.append(found)
        if found.name in names:
            raise ValueError(f"{path}:{line}: {found.name!r} comes twice")
        if found.asked and max(map(int, found.asked.split())) >= num_points:
            raise ValueError(f"{path}:{line}: asks for a point that the set's {num_points} do not have")
        if bool(found.asked) != bool(records[0].asked):
            raise ValueError(f"{path}:{line}: points are asked of some records only")
        names.add(found.name)
    if not records:
        raise ValueError(f"{path}: no record in it")
    return records


def _record(row: list[str]) -> Record | None:
    """The record of a sound row."""
    if len(row) != len(_HEADER):
        return None
    name, width, height, digest, group, line, spread, asked = row
    if not _PLAIN.fullmatch(name) and not image_names.inner_path(name):
        return None
    if not _ALL.fullmatch(f"{width}\0{height}\0{digest}\0{line}\0{spread}\0{asked}"):
        return None
    return Record(name, int(width), int(height), bytes.fromhex(digest), group, line, spread, asked)


def _fault(row: list[str]) -> str:
    """Describe the fault of an invalid row."""
    if len(row) != len(_HEADER):
        return f"{words.counted(len(row), 'field')}, expected {len(_HEADER)}"
    for place, (form, expected) in _FORMS.items():
        if not re.fullmatch(form, row[place]):
            return f"{_HEADER[place]}: expected {expected}, got {row[place][:40]!r}"
    return f"{row[0][:80]!r} names no file in a folder or below it"
