"""Verification of a conversion: the set that was written against the set that is read back."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.example import Source
from pipelines.io import csv_text, files
from pipelines.sources import boxes, formats
from pipelines.sources.formats import plain
from pipelines.sources.tables import Label, Row, Table


class Sent(NamedTuple):
    """A record as it was written; digests, since labels of a whole set may not fit in memory."""

    name: str
    label: bytes
    box: np.ndarray | None


def noted(rows: Iterable[Row], sent: list[Sent]) -> Iterator[Row]:
    """The rows as they are; each is added to `sent`."""
    for row in rows:
        sent.append(Sent(row.name, _digest((row.points, row.mask)), row.box))
        yield row


def boxes_beside(kind: str, out: Path, source: Source) -> Path | None:
    """Return where to write the boxes of a set whose format has none; None if there are no boxes, or the format has
    them."""
    written = formats.FORMATS[kind]
    folder = out.parent if written.SUFFIX else out
    return folder / "boxes.csv" if source.boxed and not written.BOXED else None


def with_boxes_beside(rows: Iterable[Row], path: Path) -> Iterator[Row]:
    """The rows as they are, their boxes written to a file as --boxes takes it."""
    with files.whole(path) as file:
        file.write(b"file_name,x,y,width,height\n")
        for row in rows:
            assert row.box is not None
            file.write(csv_text.row([row.name, *plain.exact(row.box)]))
            yield row


def changes(sent: list[Sent], table: Table) -> list[str]:
    """Return the differences between the table that is read back and what was written, each with the number of records;
    empty without any."""
    places = {name: index for index, name in enumerate(table.names)}
    pairs = [(record, places[record.name]) for record in sent if record.name in places]
    counts = Counter(kind for record, index in pairs for kind in _changed(record, table, index))
    missing = len(sent) - len(pairs)
    rejected = min(missing, len(table.rejected))
    counts[f"rejected ({table.rejected[0].reason})" if rejected else ""] = rejected
    counts["under another name"] = missing - rejected
    counts["that were there before"] = len(places) - len(pairs) - (missing - rejected)
    return [f"{count} {kind}" for kind, count in counts.items() if count > 0]


def _changed(record: Sent, table: Table, index: int) -> list[str]:
    """Return the parts of a record that differ from what was written."""
    assert table.label is not None
    box = None if table.boxes is None else table.boxes[index]
    found = ["rounded labels"] if record.label != _digest(table.label(index)) else []
    if box is None or record.box is None:
        return found + [f"{'without their' if box is None else 'with a'} bounding box"] * (box is not record.box)
    return found + ["rounded bounding boxes"] * (not np.array_equal(box, record.box))


def _digest(label: Label) -> bytes:
    points, mask = label
    values = np.where(mask[:, None], points, 0).astype("<f4") + np.float32(0)  # no -0
    return hashlib.sha256(values.tobytes() + mask.tobytes()).digest()


def read_again(kind: str, path: Path, part: str, images: Path | None, beside: Path | None) -> Table:
    """The table at a path in one format, with the boxes beside it. Raises ValueError where it cannot be read."""
    table = formats.FORMATS[kind].read(path, part, images, None)
    return formats.with_boxes(table, beside) if beside else boxes.completed(table)
