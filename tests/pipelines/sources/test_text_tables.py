"""Tables are read as plain Python would read them, whatever block they fall into, and never held whole in memory."""

import math
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pipelines.sources import text_tables

TAB = b"\t"


class Reading(NamedTuple):
    """What a table says, read in the plainest way."""

    rows: dict[str, tuple[int, int, int, list[float]]]  # by name: offset, length, line, numbers
    rejected: list[tuple[int, str]]  # line, kind
    whole: bool


def number(field: bytes, gaps: bool) -> float | None:
    """A finite decimal number with blanks around it or none; NaN for a gap; None where it is neither."""
    if gaps and field.strip().lower() in (b"", b"nan"):
        return math.nan
    try:
        value = float(field.decode("ascii"))
    except ValueError:
        return None
    with np.errstate(over="ignore"):
        good = set(field) <= set(b"0123456789+-.eE ") and np.isfinite(np.float32(value))
    return float(np.float32(value)) if good else None


def fault(name: bytes, fields: list[bytes], count: int, seen: dict, gaps: bool) -> str | None:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return "bad file name"
    if text in ("", ".", "..") or set(text) & set("/\\\0\t"):
        return "bad file name"
    if text in seen:
        return "name twice"
    if len(fields) != count:
        return "wrong number of fields"
    return "not a finite number" if any(number(f, gaps) is None for f in fields) else None


def plainly(data: bytes, separator: bytes = TAB, gaps: bool = False) -> Reading:
    """The whole table at once, by split and float."""
    offset, count, rows, rejected = 0, None, {}, []
    for line, text in enumerate(data.split(b"\n"), 1):
        here, offset = offset, offset + len(text) + 1
        text = text.removesuffix(b"\r")
        if not text.strip() or text == b"\xef\xbb\xbf":
            continue
        name, *fields = text.split(separator)
        if count is None:
            count = len(fields)
        elif (reason := fault(name, fields, count, rows, gaps)) is not None:
            rejected.append((line, reason))
        else:
            rows[name.decode()] = here, len(text), line, [number(f, gaps) for f in fields]
    known = [v for *_, values in rows.values() for v in values if not math.isnan(v)]
    return Reading(rows, rejected, all(v == int(v) and abs(v) < 32767 for v in known))


def same(path: Path, separator: bytes = TAB, gaps: bool = False) -> text_tables.Scan:
    """The scan of a table, once it was found equal to the plain reading in everything."""
    scan, known = text_tables.scan(path, separator, gaps=gaps), plainly(path.read_bytes(), separator, gaps)
    assert [(r.line, r.reason.split(":")[0]) for r in scan.rejected] == known.rejected
    places = zip(scan.offsets.tolist(), scan.lengths.tolist(), scan.lines.tolist(), strict=True)
    found = {name: place for name, place in zip(scan.names, places, strict=True)}
    assert found == {name: row[:3] for name, row in known.rows.items()} and len(found) == len(scan.names)
    assert scan.whole == known.whole
    for i, name in enumerate(scan.names):
        values = scan.row(i)
        assert values.dtype == np.float32 and np.array_equal(values, np.float32(known.rows[name][3]), equal_nan=True)
    return scan


def table(path: Path, rows: list[bytes], *, count: int = 4, end: bytes = b"\n") -> Path:
    path.write_bytes(end.join([TAB.join([b"name"] * (count + 1)), *rows]) + end)
    return path


def numbers(random: np.random.RandomState, count: int, odd: list[bytes]) -> list[bytes]:
    """Fields of a row: mostly whole numbers of one to four digits, now and then another."""
    fields = [b"%d" % random.randint(-999, 10_000) for _ in range(count)]
    if random.rand() < 0.4:
        fields[random.randint(count)] = odd[random.randint(len(odd))]
    return fields


FINE = [b"12345", b"-12345", b"-9999", b"0.5", b"-.5", b"+5", b" 7", b"7 ", b"1e3", b"0001", b"00000", b"1.", b"2.50"]
GOOD = [*FINE, b"-0", b"32766", b"32767", b"-40000", b"1E-3", b"16777217", b"0.1"]
BAD = [b"", b"-", b"--1", b"1-2", b"1-", b"+", b"1_0", "１２".encode(), b"0x10", b"nan", b"inf", b"-inf", b"1e39", b"1,5",
       b"two", b"1 2", b"e3", b".", b"\x0b", b"\x00", b"\xff", b"1\r", b"5\x0b", b"9" * 400]  # fmt: skip
NAMES = [b"..", b"", b"../a", b"/a", b"a\\b", b"\xe9", b"again.jpg", b"again.jpg", "ы.jpg".encode(), b"1234", b"-12"]


def random_table(path: Path, random: np.random.RandomState, *, odd: list[bytes], count: int, rows: int = 40) -> Path:
    """Rows of all kinds with line ends of all kinds, blank lines, perhaps a byte order mark and no last newline."""
    lines = [TAB.join([b"name"] * (count + 1))]
    for i in range(rows):
        fields = numbers(random, count, odd)
        fields = fields[: len(fields) - (random.rand() < 0.05)] + [b"3"] * (random.rand() < 0.05)
        name = NAMES[random.randint(len(NAMES))] if random.rand() < 0.2 else b"%d.jpg" % i
        lines += [TAB.join([name, *fields])] + [[b"", b"  ", b"\t \t"][random.randint(3)]] * (random.rand() < 0.1)
    ends = [[b"\n", b"\r\n"][int(random.rand() < 0.3)] for _ in lines]
    if random.rand() < 0.5:
        ends[-1] = b""
    head = b"\xef\xbb\xbf" * int(random.rand() < 0.5) + b"\n" * int(random.rand() < 0.2)
    path.write_bytes(head + b"".join(line + end for line, end in zip(lines, ends, strict=True)))
    return path


@pytest.mark.parametrize("block", [50, 71, 128, 300, 1 << 22])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_table_is_read_as_plain_python_reads_it(tmp_path, monkeypatch, block, gaps):
    monkeypatch.setattr(text_tables, "_BLOCK", block)
    for seed in range(12):
        random = np.random.RandomState(seed)
        odd = [FINE, GOOD, GOOD + BAD, GOOD + BAD][seed % 4]
        same(random_table(tmp_path / "table.csv", random, odd=odd, count=1 + seed % 5), gaps=gaps)


def test_every_border_between_blocks_is_like_every_other(tmp_path, monkeypatch):
    path = table(tmp_path / "t.csv", [b"a.jpg\t1\t-2\t333\t4444", b"b\t5\t6\t7\t8\r", b"", b"c\t9\t10\t11.5\t-12"])
    known = same(path)
    for block in range(1, len(path.read_bytes()) + 2):
        monkeypatch.setattr(text_tables, "_BLOCK", block)
        assert str(same(path)) == str(known)


@pytest.mark.parametrize("field", GOOD, ids=repr)
@pytest.mark.parametrize("place", [0, 2, 3])
def test_ways_to_write_a_number(tmp_path, field, place):
    fields = [b"1", b"2", b"3", b"4"]
    fields[place] = field
    scan = same(table(tmp_path / "t.csv", [TAB.join([b"a.jpg", *fields])]))
    assert scan.row(0)[place] == np.float32(float(field)) and not scan.rejected


@pytest.mark.parametrize("field", BAD, ids=lambda f: repr(f)[:20])
@pytest.mark.parametrize("place", [0, 2, 3])
def test_what_is_no_number_is_rejected_with_its_line_and_the_rows_about_it_kept(tmp_path, field, place):
    fields = [b"1", b"2", b"3", b"4"]
    fields[place] = field
    rows = [b"a\t1\t2\t3\t4", TAB.join([b"b", *fields]), b"c\t5\t6\t7\t8"]
    scan = same(table(tmp_path / "t.csv", rows, end=b"\r\n"))
    assert scan.names == ["a", "c"] and [r.line for r in scan.rejected] == [3] and scan.whole


@pytest.mark.parametrize(
    "row",
    [
        b"1 2\t3\t\t4",
        b"1\t\t2 3\t4",
        b"\t1\t2 3\t4",
        b"1 2\t3\t4\t ",
        b"1-2\t3\t\t4",
        b"1.2.3\t4\t\t5",
        b"1-2\t3\t4\te",
    ],
    ids=repr,
)
def test_numbers_never_move_into_a_field_that_is_not_theirs(tmp_path, row):
    scan = same(table(tmp_path / "t.csv", [b"a\t" + row]))
    assert not scan.names and scan.rejected[0].reason.startswith("not a finite number: field ")


def test_an_empty_field_is_not_known_where_that_is_allowed_and_no_number_takes_its_place(tmp_path):
    path = table(tmp_path / "t.csv", [b"a\t1\t\t3\t ", b"b\t1 2\t3\t\t4", b"c\t\t\t\t", b"d\t\t1.5\t2\t3"])
    scan = same(path, gaps=True)
    assert scan.names == ["a", "c", "d"] and not scan.whole and [r.line for r in scan.rejected] == [3]
    assert np.array_equal(scan.row(0), np.float32([1, np.nan, 3, np.nan]), equal_nan=True)
    assert np.isnan(scan.row(1)).all()


def test_commas_do_as_well_as_tabs(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"n,x,y\na.jpg,1,2\nb.jpg,1.5, 2\nc.jpg,1,\nd.jpg,1 2,3\ne.jpg,1\t,2\nf.jpg\t1,2,3\n")
    scan = same(path, b",")
    assert scan.names == ["a.jpg", "b.jpg"] and not scan.whole and scan.rejected[-1].reason.startswith("bad file name")


@pytest.mark.parametrize(("values", "whole"), [([1, -9999, 32766], True), ([-32766, 2, 3], True), ([1, 32767, 3], False),
                                               ([-32768, 2, 3], False), ([1, 2, 3.5], False)])  # fmt: skip
def test_whole_means_that_sixteen_bits_hold_every_number(tmp_path, values, whole):
    scan = same(table(tmp_path / "t.csv", [b"a\t%s" % TAB.join(str(v).encode() for v in values)], count=3))
    assert scan.whole is whole
    if whole:
        assert scan.row(0).astype(np.int16).tolist() == values


def test_a_number_of_a_row_that_is_rejected_says_nothing_of_the_rest(tmp_path):
    assert same(table(tmp_path / "t.csv", [b"a\t1\t2\t3\t4", b"a\t1.5\t2\t3\t4", b"b\t1.5\t2\t3"])).whole


@pytest.mark.parametrize(
    "changed", [b"b\t1\t2\t3\t4", b"a\t1\t2\t3\tx", b"a\t1\t2\t34 ", b"\xff\t1\t2\t3\t4", b"a\t1\t2", b""]
)
def test_a_file_that_was_changed_in_use_is_reported_by_its_line(tmp_path, changed):
    path = table(tmp_path / "t.csv", [b"a\t1\t2\t3\t4"])
    scan = text_tables.scan(path)
    path.write_bytes(path.read_bytes()[: scan.offsets[0]] + changed)
    with pytest.raises(ValueError, match=r"t.csv:2: the file was changed while it was in use") as caught:
        scan.row(0)
    assert "\n" not in str(caught.value)


def test_a_line_without_end_is_rejected_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text_tables, "_LONGEST", 1 << 20)
    monkeypatch.setattr(text_tables, "_BLOCK", 1 << 16)
    path = table(tmp_path / "t.csv", [b"a\t1\t2\t3\t4", b"7" * (3 << 20)])
    with pytest.raises(ValueError, match="t.csv: a line of more than 1 MB"):
        text_tables.scan(path)


@pytest.mark.parametrize("name", ["n" * 300 + ".jpg", "ы" * 150 + ".jpg"], ids=["letters", "bytes"])
def test_a_name_that_no_file_can_have_is_rejected_with_its_line(tmp_path, name):
    scan = text_tables.scan(table(tmp_path / "t.csv", [b"a\t1\t2\t3\t4", name.encode() + b"\t1\t2\t3\t4"]))
    assert scan.names == ["a"] and [(r.line, r.reason.split(":")[0]) for r in scan.rejected] == [(3, "bad file name")]


def long_table(path: Path, rows: int, points: int = 971) -> Path:
    """Rows of about nine kilobytes."""
    line = TAB.join(b"%d" % (n * 7919 % 10_000) for n in range(2 * points))
    with open(path, "wb") as file:
        file.write(TAB.join([b"n"] * (2 * points + 1)) + b"\n")
        for i in range(rows):
            file.write(b"%06d.jpg\t%s\n" % (i, line))
    return path


@pytest.mark.slow
def test_memory_does_not_grow_with_the_table(tmp_path):
    peaks, sizes = [], []
    for rows in (1500, 7000):
        path = long_table(tmp_path / "t.csv", rows)
        tracemalloc.start()
        scan = text_tables.scan(path)
        last = scan.row(rows - 1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(path.stat().st_size)
        assert len(scan.names) == rows and last[:3].tolist() == [0, 7919, 5838] and not scan.rejected and scan.whole
    assert sizes[1] > 60e6 and sizes[1] - sizes[0] > 45e6
    assert peaks[1] - peaks[0] < 3e6  # names, offsets and lines: some 300 bytes a row
    assert peaks[1] < 100e6
