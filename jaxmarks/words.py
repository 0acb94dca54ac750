"""Words of messages: counts with their noun, numbers without exponents, bytes in a suitable unit, the first of many names."""

import math
from collections.abc import Sequence

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, plural by an s where it is not 1: `1 step`, `0 steps`, `2000 steps`.

    Args:
        count: how many.
        noun: for one of them.

    Returns:
        the words.
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """Return the first of some names: `a, b, c, ...`.

    Args:
        names: any number of them.
        most: how many are named.

    Returns:
        the names, with `...` where there are more.
    """
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)


def number(value: float, digits: int = 3) -> str:
    """Return a number with its whole part in full and never with an exponent: 1350, 0.0123.

    Args:
        value: the number.
        digits: significant digits.

    Returns:
        the text.
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def size(count: float) -> str:
    """Return a number of bytes in the largest unit of which there is one at least: `512 bytes`, `4.1 MB`, `64 GB`.

    Args:
        count: bytes.

    Returns:
        the text.
    """
    power = min(int(math.log10(count)) // 3, len(_UNITS) - 1) if count >= 1 else 0
    return f"{number(count / 1000**power, 2 if count < 10 * 1000**power else 3)} {_UNITS[power]}"
