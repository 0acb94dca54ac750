"""Images that end in one colour, as a file does that was cut off while it was copied, and then saved again as a whole one.

Bars above and below, as of a film, are no sign of that."""

from collections.abc import Sequence

import numpy as np

from jaxmarks import words

_SHARE = 4  # a row in so many, from the lowest one on
_RANGE = 6  # grey levels in a row of one colour, in each channel
_BARS = 0.5  # of as many rows at the top: then they are bars
_NAMED = 3


def ends_flat(image: np.ndarray) -> bool:
    """Return whether the lower quarter of an image's rows, or more, is of one colour each, and the upper rows are not.

    An image of one colour as a whole ends flat.

    Args:
        image: u8[h, w, 3].

    Returns:
        whether it does.
    """
    height = len(image)
    if not _flat(image[-1:]).all() or not _flat(image[height - -(-height // _SHARE) :]).all():
        return False
    rows = _flat(image)
    below, above = (int(np.argmin(some)) for some in (rows[::-1], rows))
    return bool(rows.all()) or above < _BARS * below


def _flat(rows: np.ndarray) -> np.ndarray:
    """bool[h]: which rows of u8[h, w, 3] are of one colour."""
    return (rows.max(1).astype(int) - rows.min(1) <= _RANGE).all(1)


def describe(found: Sequence[str]) -> list[str]:
    """A warning where images end flat; none without such. found: their names."""
    if not found:
        return []
    named = words.listed(found, _NAMED)
    end = "ends" if len(found) == 1 else "end"
    return [
        f"warning: images: {words.counted(len(found), 'image')} {end} in one colour over a quarter of the height or more:"
        f" {named}; cut off while copied, and saved again?"
    ]
