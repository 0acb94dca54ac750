"""Comma-separated text, the form of every table that is written."""

import csv
import io
from collections.abc import Iterable, Sequence
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
