"""Comma-separated text, the form of every table that is written: rows of it, and their reader."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np


def row(fields: Iterable[object]) -> bytes:
    """Return one comma-separated line; a field with a comma or a quote is quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()


def write_table(file: BinaryIO, names: Sequence[str], columns: dict[str, np.ndarray]) -> None:
    """Write one comma-separated row an image: its name, then a column of numbers each."""
    file.write(row(["file_name", *columns]))
    for name, *values in zip(names, *columns.values(), strict=True):
        file.write(row([name, *(f"{v:.6g}" for v in values)]))


def rows(path: Path, header: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row under the header of a file of comma-separated text in UTF-8.

    Raises ValueError, with the file and line, for another header, and for what is not such text.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        found = csv.reader(file, strict=True)
        try:
            if (first := next(found, [])) != list(header):
                raise ValueError(f"{path}:1: expected the header {','.join(header)}, got {','.join(first)[:80]!r}")
            yield from ((found.line_num, fields) for fields in found)
        except csv.Error as error:
            raise ValueError(f"{path}:{found.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path}: not UTF-8 after line {found.line_num}") from None
