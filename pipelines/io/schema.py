"""Validation of JSON data against a required form."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Text(NamedTuple):
    """Texts that a regular expression matches whole."""

    matches: Callable[[str], object]  # such as re.compile(...).fullmatch
    expected: str  # what is expected, for messages


class Whole(NamedTuple):
    """Whole numbers of a range, both ends included."""

    low: int
    high: int


def check(data: Any, form: Any, where: str) -> None:
    """Hold data of a JSON file against a form; raise ValueError in one line that names the place.

    form: a type (float: any finite number); `Text`; `Whole`; [form]: a list of such; {name: form, ...}: an object with at
    least these members; {str: form}: an object whose members are all so; (form, None): such, or null. where: the file.
    """
    if isinstance(form, tuple) and not isinstance(form, Text | Whole):
        if data is not None:
            check(data, form[0], where)
    elif isinstance(form, dict):
        _members(data, form, where)
    elif isinstance(form, list):
        _is(isinstance(data, list), "a list", data, where)
        for place, entry in enumerate(data):
            check(entry, form[0], f"{where}[{place}]")
    elif isinstance(form, Text):
        _is(isinstance(data, str) and form.matches(data), form.expected, data, where)
    elif isinstance(form, Whole):
        whole = isinstance(data, int) and not isinstance(data, bool) and form.low <= data <= form.high
        _is(whole, f"a whole number of {form.low}..{form.high}", data, where)
    elif form is float:
        number = isinstance(data, int | float) and not isinstance(data, bool) and abs(data) < 1e300
        _is(number, "a finite number", data, where)
    else:
        _is(type(data) is form, {str: "text", bool: "true or false"}[form], data, where)


def _members(data: Any, form: dict, where: str) -> None:
    _is(isinstance(data, dict), "an object", data, where)
    if str in form:
        form = dict.fromkeys(data, form[str])
    for name, inner in form.items():
        if name not in data:
            raise ValueError(f"{where}: {name!r} is missing")
        check(data[name], inner, f"{where}: {name}" if where.count(": ") == 0 else f"{where}.{name}")


def _is(sound: object, expected: str, data: Any, where: str) -> None:
    if not sound:
        shown = ascii(data) if isinstance(data, str | float | bool | None) else type(data).__name__
        if isinstance(data, int) and not isinstance(data, bool):
            shown = str(data) if abs(data) < 10**18 else "a larger number"
        raise ValueError(f"{where}: expected {expected}, got {shown[:60]}")
