"""Text tables of coordinates, streamed: checked once in blocks, each row parsed again on request.

What is wrong with a row begins with its kind, then a colon: kinds are what a report counts.

The file is never whole in memory. What stays is a name, an offset and a line number for each row; a table of whole
numbers is checked by array operations on bytes, some 200 MB a second on one core.
"""

import io
import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from pipelines.io import ranges
from pipelines.sources import dialects, image_names, joined

_BLOCK = 1 << 22
_LONGEST = 1 << 24  # of a line in bytes; beyond it the file is no table
_NUMBER = re.compile(rb"[ ]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ ]*")
_GAPS = (b"", b"nan")  # a number that is not known
_BOM = b"\xef\xbb\xbf"
_BLANKS = (b" ", b"\t", b"\r", b"\v", b"\f")  # NumPy passes over them, in ways of its own


def number_fault(where: str, field: str, gaps: bool = False) -> str:
    """Describe a field that is not a finite number. gaps: it may be left empty."""
    remedy = ""
    if gaps and field.strip().casefold() in joined.GAPS:
        remedy = ": leave it empty where a point is not labelled"
    elif dialects.COMMA.fullmatch(field):
        known = "whether its comma divides thousands is not known: " * bool(dialects.THOUSANDS.fullmatch(field))
        remedy = f": {known}write numbers with a decimal point"
    return f"not a finite number: {where} is {field[:40]!r}{remedy}"


def is_whole(values: np.ndarray) -> bool:
    """Return whether all known numbers are whole and small enough to be stored in 16 bits."""
    known = values[~np.isnan(values)]
    return bool((np.abs(known) < 32767).all() and (known == np.rint(known)).all())


class BadRow(NamedTuple):
    """A row that cannot be used, and why. name: its first field, where it has one."""

    name: str
    line: int
    reason: str


class Scan(NamedTuple):
    """Facts of a table after one pass over it; `row` reads the rest."""

    path: Path
    separator: bytes
    columns: list[str]
    names: list[str]
    offsets: np.ndarray  # i64[rows]
    lengths: np.ndarray  # i64[rows]
    lines: np.ndarray  # i64[rows]
    whole: bool  # every known number is a whole one, and 16 bits hold it
    rejected: list[BadRow]
    gaps: bool  # a field may be empty or nan: not known
    text: bytes | None = None  # the table in the one form of `dialects`, where the file has another
    notes: tuple[str, ...] = ()  # in what way it is written, where that is not as expected, a line each

    def row(self, index: int) -> np.ndarray:
        """f32[columns - 1] of one row; NaN where a field is empty. Raises ValueError where it is no longer there."""
        text = next(self.rows_from(index))
        values, name = self.values(text), _name(text.partition(self.separator)[0])
        if isinstance(values, str) or name != self.names[index]:
            raise ValueError(f"{self.path}:{self.lines[index]}: the file was changed while it was in use")
        return values

    def values(self, text: bytes) -> np.ndarray | str:
        """f32[columns - 1] of the bytes of a row, or what is wrong with them."""
        return _values(text.partition(self.separator)[2], self.separator, len(self.columns) - 1, self.gaps)

    def rows_from(self, start: int) -> Iterator[bytes]:
        """The bytes of the rows from one on, as the file has them or, where it has a form of its own, in the one form."""
        places = zip(self.offsets[start:], self.lengths[start:], strict=True)
        if self.text is not None:
            yield from (self.text[offset : offset + length] for offset, length in places)
            return
        yield from (ranges.read(self.path, int(offset), int(length)) for offset, length in places)


def _name(field: bytes) -> str | None:
    try:
        return image_names.own_form(field.decode())
    except UnicodeDecodeError:
        return None


def _values(text: bytes, separator: bytes, count: int, gaps: bool) -> np.ndarray | str:
    """f32[count] of the fields of a row without its name, or what is wrong with them."""
    with np.errstate(over="ignore"):
        values, empty = _quick(text, separator, gaps)
        sound = len(values) == count and text.count(separator) == count - 1
        if sound and np.isnan(values).sum() == empty and np.isfinite(values).sum() == count - empty:
            return values
        fields = text.split(separator)
        if len(fields) != count:
            return f"wrong number of fields: {len(fields) + 1} fields, the header has {count + 1}"
        for number, field in enumerate(fields, 2):
            empty = gaps and field.strip().lower() in _GAPS
            if not empty and (not _NUMBER.fullmatch(field) or not np.isfinite(np.float32(float(field)))):
                return number_fault(f"field {number}", field.decode(errors="replace"), gaps)
        return np.array([np.nan if f.strip().lower() in _GAPS else float(f) for f in fields], np.float32)


def _quick(text: bytes, separator: bytes, gaps: bool) -> tuple[np.ndarray, int]:
    """(f32 of the fields by NumPy, how many were empty); nothing of what NumPy reads in a way of its own."""
    empty = 0
    if gaps and (separator * 2 in text or text.startswith(separator) or text.endswith(separator) or not text):
        empty = text.count(separator) + 1 - len([f for f in text.split(separator) if f])
        twice = text.replace(separator * 2, separator + b"nan" + separator)
        filled = twice.replace(separator * 2, separator + b"nan" + separator)
        text = b"nan" * (not text or text.startswith(separator)) + filled + b"nan" * filled.endswith(separator)
    elif b"n" in text.lower():
        return np.empty(0, np.float32), 0
    if any(blank in text for blank in _BLANKS if blank != separator):
        return np.empty(0, np.float32), 0
    try:
        return np.fromstring(text, np.float32, sep=separator.decode()), empty
    except ValueError:
        return np.empty(0, np.float32), 0


def _blocks(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, whole lines) from here on, the last line with a newline whether it has one or not."""
    start, kept = file.tell(), b""
    while block := file.read(_BLOCK):
        block = kept + block
        cut = block.rfind(b"\n") + 1
        if cut:
            yield start, block[:cut]
        start, kept = start + cut, block[cut:]
        if len(kept) > _LONGEST:
            raise ValueError(f"{path}: a line of more than {_LONGEST >> 20} MB; not a table")
    if kept:
        yield start, kept + b"\n"


def _header(file: BinaryIO, separator: bytes, path: Path) -> tuple[list[str], int]:
    """(names of the columns, line number) of the first line that is not blank; the file stands behind it."""
    if file.read(3) != _BOM:
        file.seek(0)
    line = 0
    while text := file.readline(_LONGEST):
        line += 1
        if text.strip():
            fields = text.strip(b"\r\n").split(separator)
            if len(fields) > 1 and all(_NUMBER.fullmatch(field) for field in fields[1:]):
                raise ValueError(
                    f"{path}:{line}: this is a row of numbers, not a header; the first line must name the columns"
                )
            return [f.decode(errors="replace").strip() for f in fields], line
    raise ValueError(f"{path}:1: the header has 0 fields: the file is empty")


def _plain(block: bytes, ends: np.ndarray, separator: int, fields: int) -> np.ndarray:
    """Return bool[rows]: rows that certainly have `fields` fields, a name and whole numbers of at most four digits.

    ends: positions of the rows' newlines. Uncertain rows are checked field by field.
    """
    data = np.frombuffer(block, np.uint8)
    cuts = np.flatnonzero((data == separator) | (data == 10))
    last = np.searchsorted(cuts, ends)  # each row's last cut
    first = np.concatenate([[0], last[:-1] + 1])
    sure = last - first == fields - 1
    heads = np.concatenate([[0], ends[:-1] + 1])
    odd = (data - np.uint8(48) > 9) & (data != separator) & (data != 10) & (data != 45)
    minus = data == 45
    odd |= minus & np.concatenate([[True], data[:-1] != separator])
    for head, cut in zip(heads[sure], cuts[first[sure]], strict=True):
        odd[head:cut] = False
    if (last_byte := data[ends - 1] == 13).any():
        odd[ends[last_byte] - 1] = False
    sizes = np.diff(cuts, prepend=-1) - 1 - minus[np.concatenate([[0], cuts[:-1] + 1])]
    sizes[last] -= last_byte
    wrong = (sizes < 1) | (sizes > 4)
    wrong[first] = False
    bad = np.add.reduceat(wrong, first) + np.add.reduceat(odd, heads)
    return sure & (bad == 0)


def columns(path: Path, separator: bytes = b"\t") -> list[str]:
    """The names of a table's columns."""
    dialect = dialects.sniff(path, separator.decode())
    if dialect == dialects.Dialect(separator.decode()):
        with open(path, "rb") as file:
            return _header(file, separator, path)[0]
    return _header(io.BytesIO(dialects.canonical(path, dialect)), dialects.SEPARATOR.encode(), path)[0]


def text_rows(path: Path, separator: str = "\t") -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of the rows of a small table of text below its header.

    A name that is no text is its row's fault alone. Raises ValueError where the file is missing, or its first line is a
    row.
    """
    if not path.is_file():
        raise ValueError(f"{path}: the file is missing")
    headed = False
    with dialects.opened(path, dialects.sniff(path, separator)) as file:
        try:
            for number, line in enumerate(file, 1):
                fields = line.rstrip("\r\n").split(separator)
                if line.strip() and headed:
                    yield number, fields
                elif line.strip() and any(field.lstrip().startswith("[") for field in fields):
                    raise ValueError(
                        f"{path}:{number}: this is a row, not a header; the first line must name the columns"
                    )
                headed = headed or bool(line.strip())
        except UnicodeError as error:
            raise ValueError(f"{path}: not text ({error})") from None


class _Found:
    """The rows of a scan as they come."""

    def __init__(self, separator: bytes, columns: list[str], gaps: bool, safe: Callable[[str], bool]):
        self.separator, self.fields, self.gaps, self.safe = separator, len(columns), gaps, safe
        self.first, self.headers = columns[0].encode(), joined.Headers({columns[0]: columns})
        self.again: list[tuple[str, int, int]] = []  # name, offset and length of rows of a name that came before
        self.names: list[str] = []
        self.rejected: list[BadRow] = []
        self.seen: dict[str, int] = {}
        self.places = array("q")  # offset, length and line of each
        self.whole = True
        self.quoted = False  # a row that cannot be used begins with a quote

    def add(self, text: bytes, sure: bool, offset: int, line: int) -> None:
        """A line without its end. sure: its numbers are known to be good."""
        field, cut, rest = text.partition(self.separator)
        name = _name(field)
        reason = (
            image_names.name_fault(name, self.seen, self.safe) if text.strip(self.separator + b" ") else "empty row"
        )
        if reason is None and not cut:
            reason = f"wrong number of fields: 1 fields, the header has {self.fields}"
        if reason is None and not sure:
            values = _values(rest, self.separator, self.fields - 1, self.gaps)
            reason = values if isinstance(values, str) else None
            self.whole = self.whole and (reason is not None or is_whole(np.asarray(values)))
        header = None
        if reason is not None or field == self.first:
            header = self.headers.take([f.decode(errors="replace") for f in text.split(self.separator)], line)
        if header == 0:
            return
        if name in self.seen and self.headers.fault is None:
            self.again.append((name, offset, len(text)))
        reason = reason or self.headers.fault
        if reason is not None or name is None:
            self.rejected.append(BadRow(name or "", line, reason or ""))
            self.quoted = self.quoted or text.startswith(b'"')
            return
        self.seen[name] = line
        self.names.append(name)
        self.places.extend((offset, len(text), line))


def scan(
    path: Path, separator: bytes = b"\t", *, gaps: bool = False, safe: Callable[[str], bool] = image_names.plain_name
) -> Scan:
    """Scan a table once: a header of names, then rows of a name and numbers. CRLF, a byte order mark and a missing last
    newline are accepted, blank lines skipped.

    gaps: an empty field is a missing number. safe: predicate of valid names. Raises ValueError if the file is missing
    or has no header; rows that cannot be used, including the second of two rows of one name and rows below another header,
    are in `rejected`.

    A table in UTF-16, with another separator, quotes, decimal commas or a column of row numbers is read whole; the
    scan's `notes` say so.
    """
    if not path.is_file():
        raise ValueError(f"{path}: the file is missing")
    expected = dialects.Dialect(separator.decode())
    if (dialect := dialects.sniff(path, separator.decode())) == expected:
        with open(path, "rb") as file:
            scanned, found = _scan(path, file, separator, gaps, safe)
        if not found.quoted:
            return _with_notes(scanned, found)
        dialect = dialect._replace(quoted=True)
    text = dialects.canonical(path, dialect)
    scanned, found = _scan(path, io.BytesIO(text), dialects.SEPARATOR.encode(), gaps, safe)
    note = f"{path}: read as a table with {dialect.describe(expected.separator)}"
    return _with_notes(scanned._replace(text=text, notes=(note,)), found)


def _with_notes(scan: Scan, found: _Found) -> Scan:
    """The scan with lines on the headers between its rows and on rows that name an image again."""
    more = joined.again_notes(scan.path, _apart(scan, found.again) if found.again else [])
    return scan._replace(notes=(*scan.notes, *found.headers.notes(scan.path), *more))


def _apart(scan: Scan, again: list[tuple[str, int, int]]) -> list[float | None]:
    """How far rows that name an image again lie from the first, as `joined.apart`."""
    places = {name: i for i, name in enumerate(scan.names)}
    at = [places[name] for name, *_ in again]
    offsets, lengths = np.array([place for _, *place in again], np.int64).T
    first = scan._replace(offsets=scan.offsets[at], lengths=scan.lengths[at])
    rows = zip(first.rows_from(0), scan._replace(offsets=offsets, lengths=lengths).rows_from(0), strict=True)
    values = [(scan.values(one), scan.values(other)) for one, other in rows]
    return [joined.apart(a, b) for a, b in values if not isinstance(a, str) and not isinstance(b, str)]


def _scan(path: Path, file: BinaryIO, separator: bytes, gaps: bool, safe: Callable[[str], bool]) -> tuple[Scan, _Found]:
    """(the scan of an open table, what was found on the way)."""
    columns, line = _header(file, separator, path)
    found = _Found(separator, columns, gaps, safe)
    for start, block in _blocks(file, path):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
        sure = _plain(block, ends, separator[0], len(columns))
        head = 0
        for end, good in zip(ends.tolist(), sure.tolist(), strict=True):
            line += 1
            text = block[head:end].removesuffix(b"\r")
            if good or text.strip():
                found.add(text, good, start + head, line)
            head = end + 1
    if not (found.names or found.rejected or found.headers.notes(path)):
        raise ValueError(f"{path}: no row under the header")
    offsets, lengths, lines = np.array(found.places, np.int64).reshape(-1, 3).T
    known = Scan(path, separator, columns, found.names, offsets, lengths, lines, found.whole, found.rejected, gaps)
    return known, found
