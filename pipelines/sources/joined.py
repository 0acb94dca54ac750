"""Tables that were joined: header rows between the rows, and rows that name an image again."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jaxmarks import words

GAPS = {"na", "n/a", "#n/a", "null", "none", "nil", "missing", "-"}  # as programs write a value that is not known
_SHOWN = 4  # columns of another header that a note names


class Headers:
    """The header of a table, and those that come again between its rows: the last one is that of the rows below it.

    Rows below a header of other columns must not be read, since their numbers may be in another order.
    """

    def __init__(self, known: Mapping[str, Sequence[str]]):
        """known: the fields of each row of the header, by the first of them."""
        self._known = {key.strip().casefold(): list(fields) for key, fields in known.items()}
        self._names = {name for fields in known.values() for name in _plain(fields[1:]) if _is_word(name)}
        self._last = next(reversed(self._known))
        self._other: dict[str, int] = {}  # lines of the rows of the header above that differ from those of the first
        self._same, self._others, self._first = 0, 0, ""

    def take(self, fields: Sequence[str], line: int) -> int | None:
        """Return the field of a row at which a header begins, which is then that of the rows below it; None: it has none.
        That is the first, but behind a table whose last line has no end."""
        if len(fields) == 1:  # of another separator
            fields = re.split(r"[;,\t]", fields[0])
        found, start = _plain(fields), 0
        if len(fields) > max(map(len, self._known.values())):
            start = max((i for i, field in enumerate(found) if not _is_word(field)), default=-1) + 1
        found = found[start:]
        if not any(found[:1]):
            return None
        ends = (key for key in self._known if found[0] == key or (start and found[0].endswith(key)))
        if (key := next(ends, None)) is None and not self._like(found[1:]):
            return None
        found[0], key = key or found[0], key or self._last
        fields = [found[0], *fields[start + 1 :]]
        first = self._known[key]
        self._other.pop(key, None)
        if found != _plain(first):
            self._other[key] = line
            self._first = self._first or _difference(first, fields, line)
        if key == self._last:
            self._same, self._others = self._same + (not self._other), self._others + bool(self._other)
        return start

    def _like(self, names: Sequence[str]) -> bool:
        """Return whether fields are names of columns: half of them of this table's, or words alone."""
        known = sum(name in self._names for name in names)
        return 0 < len(names) <= 2 * known or len(set(names)) > 1 and all(map(_is_word, names))

    @property
    def fault(self) -> str | None:
        """Describe why rows are not read from here on; None: they are."""
        return f"below another header: that on line {max(self._other.values())}" if self._other else None

    def notes(self, where: object) -> list[str]:
        """Lines on the headers between the rows of a table."""
        more = f" ({self._others - 1} more such)" if self._others > 1 else ""
        same = f"{words.counted(self._same, 'header')} of the same columns between the rows, passed over"
        return [f"{where}: {self._first}{more}"] * bool(self._first) + [f"{where}: {same}"] * bool(self._same)


def _plain(fields: Sequence[str]) -> list[str]:
    return [field.strip(' "\ufeff').casefold() for field in fields]


def _difference(first: Sequence[str], found: Sequence[str], line: int) -> str:
    moved = [i for i in range(max(len(first), len(found))) if _plain(found[i : i + 1]) != _plain(first[i : i + 1])]
    listed = ", ".join(f"{i + 1} ({_at(found, i)} in place of {_at(first, i)})" for i in moved[:_SHOWN])
    return (
        f"line {line} is another header, its columns in another order or of other names: {listed}"
        f"{', ...' * (len(moved) > _SHOWN)}; rows below it are not read: were tables joined? Give them one by one"
    )


def _at(fields: Sequence[str], index: int) -> str:
    return repr(fields[index].strip()[:40]) if index < len(fields) else "nothing"


def _is_word(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return field not in GAPS and any(c.isalpha() for c in field)
    return False


def again_reason(name: str, first: str) -> str:
    """Describe the fault of a row whose image an earlier one names. first: where that is."""
    return f"name twice: {name}, first on {first}, which is used"


def apart(first: np.ndarray, again: np.ndarray) -> float | None:
    """Return how far the numbers of two rows lie apart at most; None: they are the same. NaN: not known."""
    if np.array_equal(first, again, equal_nan=True):
        return None
    return float(np.nanmax(np.abs(first - again), initial=0))


def again_notes(where: object, found: Iterable[float | None]) -> list[str]:
    """A line on the rows that name an image again, None without any. found: of each, how far it lies `apart` from the first."""
    found = list(found)
    differ = [one for one in found if one is not None]
    far = f" ({len(differ)} of them differ from it, by up to {words.number(max(differ))} pixels)" if differ else ""
    return [
        f"{where}: {words.counted(len(found), 'row')} whose image an earlier row names; the first of each image is used"
        f"{far or ', all the same'}"
    ] * bool(found)
