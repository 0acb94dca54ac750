"""Dialects of tables: encoding, separator, quotes, decimal commas, a leading column of row numbers.

A table in one of them is read whole and brought into one form, which `labels` then reads as it reads any other.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from jaxmarks import words

SEPARATOR = "\x1f"  # of the one form: no name of a file holds it
_HEAD = 1 << 20  # bytes that are examined
_FIRST = 5  # lines that all end in a column that is empty
_BOMS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_NAMES = {";": "semicolons", "\t": "tabs", ",": "commas"}
COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_POINT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*")
THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*")
_DOTTED = re.compile(r"\s*[+-]?[1-9]\d{0,2}\.\d{3}\s*")  # may be thousands


class Dialect(NamedTuple):
    """Encoding, separator and number form of a table."""

    separator: str
    encoding: str = "utf-8-sig"
    quoted: bool = False
    commas: bool = False  # in numbers, as decimal points
    indexed: bool = False  # a column of row numbers is in front
    empty: int = 0  # columns at the end without a name or a value

    def describe(self, expected: str) -> str:
        """Return the differences from a plain table separated by `expected`, in words."""
        separated = self.separator != expected
        parts = {
            f"{self.encoding.upper()} text": self.encoding != "utf-8-sig",
            f"{_NAMES[self.separator]} between the fields": separated,
            "fields in quotes": self.quoted,
            "decimal commas": self.commas,
            "a column of row numbers, passed over": self.indexed,
            f"{words.counted(self.empty, 'empty column')} at the end, passed over": self.empty > 0,
        }
        return ", ".join(part for part, there in parts.items() if there)


def first_field(path: Path, separator: str = ",") -> str:
    """Return the first field of a table."""
    dialect = sniff(path, separator)
    with open(path, encoding=dialect.encoding, errors="replace") as file:
        return file.readline(1 << 16).partition(dialect.separator)[0].strip(' "\n')


def text(data: bytes) -> str:
    """Return the text of a file that is UTF-8, or UTF-16 with a mark at its beginning; what is neither is replaced."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return data.decode(encoding, "replace").removeprefix("\ufeff")


def sniff(path: Path, separator: str) -> Dialect:
    """Return the dialect of a table, from its beginning. separator: the expected one, used if the header contains it."""
    with open(path, "rb") as file:
        data = file.read(_HEAD)
    encoding = next((name for mark, name in _BOMS.items() if data.startswith(mark)), "utf-8-sig")
    for name, first in (("utf-16-be", 0), ("utf-16-le", 1)):  # without a mark: every other byte of a header is 0
        if encoding == "utf-8-sig" and data[first:64:2].count(0) > 0.9 * len(data[first:64:2]) > 3:
            encoding = name
    text = data.decode(encoding, "replace")
    lines = [line for line in text.splitlines()[: None if len(data) < _HEAD else -1] if line.strip()]
    header = lines[0] if lines else ""
    if separator not in header:
        best = max(_NAMES, key=header.count)
        separator = best if header.count(best) > 1 else separator
    quoted = any(re.search(rf'(^|{re.escape(separator)})\s*"', line) for line in lines)
    fields = [field for line in lines[1:] for field in line.replace('"', "").split(separator)[1:]]
    first = lines[1].partition(separator)[0].strip(' "') if len(lines) > 1 else ""
    indexed = header.partition(separator)[0].strip(' "') in ("", "Unnamed: 0") and first.isdigit()
    empty = min((len(line) - len(line.rstrip(separator)) for line in lines[:_FIRST]), default=0)
    return Dialect(separator, encoding, quoted, separator != "," and _has_commas(fields), indexed, empty)


def _has_commas(fields: list[str]) -> bool:
    """Return whether numbers have decimal commas: a fifth of them or more, they cannot all be thousands, and at most a
    fifth as many have a decimal point; possible thousands with a point are no such numbers: `rows` rejects them."""
    with_comma = [field for field in fields if "," in field and COMMA.fullmatch(field)]
    whole = sum(field.strip().lstrip("+-").isdigit() for field in fields)
    dotted = sum(bool(_DOTTED.fullmatch(f)) for f in fields)
    points = sum(bool(_POINT.fullmatch(f)) for f in fields) - dotted
    if points * 5 > len(with_comma) or len(with_comma) * 4 < (dotted or whole):
        return False
    return any(not THOUSANDS.fullmatch(f) for f in with_comma)


def canonical(path: Path, dialect: Dialect) -> bytes:
    """The table in UTF-8, without quotes, SEPARATOR between its fields, each row on the line it is on in the file.

    Raises ValueError, with the line, where it is no such text.
    """
    lines: list[str] = []
    for line, fields in rows(path, dialect):
        lines.extend([""] * (line - len(lines) - 1))
        lines.append(SEPARATOR.join(fields[dialect.indexed :]))
    return "".join(f"{text}\n" for text in lines).encode("utf-8", "surrogateescape")


def rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """(first line, fields) of each row, blank ones too. Raises ValueError, with the line, where the file is no such text, or
    a number has a dot that may divide thousands beside others with decimal commas."""
    with opened(path, dialect) as file:
        quoting = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
        reader = csv.reader(file, delimiter=dialect.separator, quoting=quoting, skipinitialspace=dialect.quoted)
        line = 1
        try:
            for row in reader:
                fields = [re.sub(rf"[\r\n{SEPARATOR}]", "\v", field) for field in row]
                if dialect.empty and not any(fields[-dialect.empty :]):
                    fields = fields[: -dialect.empty]
                if dialect.commas:
                    if dotted := next(filter(_DOTTED.fullmatch, fields[1:]), None):
                        raise ValueError(
                            f"{path}:{line}: {dotted.strip()} in a table with decimal commas: whether its dot divides thousands"
                            " is not known; write numbers without dots"
                        )
                    fields[1:] = [f.replace(",", ".") if COMMA.fullmatch(f) else f for f in fields[1:]]
                yield line, fields
                line = reader.line_num + 1
        except (csv.Error, UnicodeError) as error:
            raise ValueError(f"{path}:{line}: not a table of text ({error})") from None


def opened(path: Path, dialect: Dialect) -> TextIO:
    """A table open as text; in UTF-8 invalid bytes become surrogates: a bad name is its row's fault alone."""
    lenient = "surrogateescape" if dialect.encoding == "utf-8-sig" else "strict"
    return open(path, encoding=dialect.encoding, errors=lenient, newline="")
