"""Several data sets in one: how a field names them, what they are called, and the share of each."""

import argparse
import json
import math
from collections.abc import Mapping, Sequence

_NEAR = 0.015  # by which shares such as 0.33 a set may miss 1


def paths(data: str) -> list[str]:
    """Return the data sets that a field names.

    Args:
        data: one path, or a JSON list of several.

    Returns:
        the paths, in the order given.
    """
    if data.startswith("["):
        try:
            found = json.loads(data)
        except ValueError:
            return [data]
        if isinstance(found, list) and found and all(isinstance(path, str) for path in found):
            return found
    return [data]


def joined(found: Sequence[str]) -> str:
    """Return the field that names some data sets, the inverse of `paths`.

    Args:
        found: one path or several.

    Returns:
        the path, or a JSON list of several.
    """
    return found[0] if len(found) == 1 else json.dumps(list(found))


def label(place: int) -> str:
    """Return what the set at a place is called, wherever it lies: its records are named LABEL/NAME.

    Args:
        place: in the order given, from 0.

    Returns:
        "set1" for the first.
    """
    return f"set{place + 1}"


def labels(names: Sequence[str]) -> list[str]:
    """Return the labels of the sets that records of several are of.

    Args:
        names: of the records.

    Returns:
        of each as `label` gives it.
    """
    return [name.partition("/")[0] for name in names]


def shares(text: str, count: int) -> list[float]:
    """Return the share of the draws that each set has.

    Args:
        text: one number a set, as "0.7,0.3"; empty: none are given.
        count: of the sets.

    Returns:
        a number above 0 for each set, of sum 1; empty where none are given.

    Raises:
        ValueError: in one line, for other numbers, or another number of them.
    """
    if not text:
        return []
    try:
        found = [float(field) for field in text.split(",")]
    except ValueError:
        raise ValueError(f"`shares` {text!r}: expected one number a data set, as 0.7,0.3 for two") from None
    if len(found) != count or count < 2:
        sets = "1 data set" if count == 1 else f"{count} data sets"
        raise ValueError(f"`shares` {text!r}: {len(found)} given for {sets}; give one a set, of several sets")
    if not all(math.isfinite(share) and share > 0 for share in found):
        raise ValueError(f"`shares` {text!r}: each must be above 0; leave out a set that is not to be drawn from")
    if abs(sum(found) - 1) > _NEAR:
        raise ValueError(f"`shares` {text!r}: their sum is {sum(found):g}, expected 1")
    return [share / sum(found) for share in found]


def check(data: str, given: str, point_map: str, of_one: Mapping[str, str]) -> None:
    """Raise ValueError, in one line, where fields do not go with the number of data sets.

    Args:
        data: as `paths` takes it.
        given: the field `shares`.
        point_map: the field of this name.
        of_one: values by field of what only a single set can be given.

    Raises:
        ValueError: also for a set twice, or two of drawn faces.
    """
    found = paths(data)
    shares(given, len(found))
    if point_map and len(found) == 1:
        raise ValueError(f"`point_map` {point_map}: does nothing with one data set; give several (`data`)")
    for name, value in of_one.items():
        if value and len(found) > 1:
            raise ValueError(
                f"`{name}` {value}: of which of {len(found)} data sets? Pack that one with it (prepare.py)"
            )
    if len(drawn := [path for path in found if path.startswith("drawn:")]) > 1:
        raise ValueError(f"`data`: {' and '.join(drawn)} begin with the same faces; give one, of a larger COUNT")
    if again := [path for path in found if found.count(path) > 1]:
        raise ValueError(f"`data`: {again[0]} is given twice; `shares` says what is drawn more often")


class Several(argparse.Action):
    """A flag without a default that may be given several times; its value is as `joined` has it."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Add what is given now to what was given before.

        Args:
            parser: as argparse has it.
            namespace: what was read so far.
            values: one path, or a JSON list of several.
            option_string: as argparse has it.
        """
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, joined([*(paths(before) if before else []), *paths(str(values))]))
