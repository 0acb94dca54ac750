"""Check of image sizes stated by a format: labels made on an image of another size are in the wrong place."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.images import decode, headers, jpeg
from pipelines.io import files, guesses

_START = 1 << 18  # bytes in which a JPEG tells its size


def check(data: bytes, stated: Sequence[int], where: str) -> None:
    """Raise DecodeError unless an encoded image has, as it is displayed, the size (width, height) that the table `where`
    states; the message says what kind of difference it is, and the remedy."""
    if (size := decode.displayed_size(data)) != tuple(stated):
        raise decode.DecodeError(_contradiction(size, stated, headers.header_size(data), where))


def glance(path: Path, stated: Sequence[int] | None, where: str) -> str | None:
    """Return the fault that `check` will find in an image, or that it is missing, from the start of the file alone;
    None if that shows no fault."""
    if files.size(path) < 0:
        return f"the image is missing{guesses.near_file(path)}"
    if stated is None:
        return None
    with open(path, "rb") as file:
        start = file.read(_START)
    found = headers.header_size(start) if jpeg.is_jpeg(start) else None
    size = found if found is None or jpeg.orientation(start) < 5 else (found[1], found[0])
    return None if size in (None, tuple(stated)) else _contradiction(size, stated, found, where)


def _contradiction(size: tuple[int, int], stated: Sequence[int], stored: tuple[int, int] | None, where: str) -> str:
    detail = f"{where} says {stated[0]} x {stated[1]}, the image is {size[0]} x {size[1]}"
    return f"size contradicts the table: {detail} {_difference(size, stated, stored)}"


def _difference(size: tuple[int, int], stated: Sequence[int], stored: tuple[int, int] | None) -> str:
    if stored == tuple(stated):
        return (
            "as displayed: labelled without its EXIF rotation? Remove that from the files, or turn the labels and correct"
            " the table"
        )
    if size == (stated[1], stated[0]):
        return "as displayed: width and height are exchanged; was it turned after labelling?"
    scale = size[0] / stated[0]
    if abs(size[1] - scale * stated[1]) <= 1:
        return f"({scale:.3g} times): resized after labelling? Scale the labels, or take the originals"
    return "and cut otherwise: is it another image of that name?"
