"""The size that a format says an image has, against the image's own: labels of another size lie in the wrong place."""

from collections.abc import Sequence

from pipelines import decode

KIND = "size contradicts the table"  # as reports count it


def displayed(data: bytes) -> tuple[int, int]:
    """(width, height) of an encoded image as it is displayed, by its header where that tells. Raises DecodeError."""
    found = decode.header_size(data) if decode.is_jpeg(data) else None
    if found is None:
        image = decode.decode(data)
        return image.shape[1], image.shape[0]
    return (found[1], found[0]) if decode.orientation(data) >= 5 else found


def check(data: bytes, stated: Sequence[int], where: str) -> None:
    """Raises DecodeError unless an encoded image has, as it is displayed, the size (width, height) that the table `where`
    states; the message says what kind of difference it is, and the remedy."""
    size, stated = displayed(data), (stated[0], stated[1])
    if size != stated:
        raise decode.DecodeError(
            f"{KIND}: {where} says {stated[0]} x {stated[1]}, the image is {size[0]} x {size[1]}"
            f" {_difference(size, stated, decode.header_size(data))}"
        )


def _difference(size: tuple[int, int], stated: tuple[int, int], stored: tuple[int, int] | None) -> str:
    if stored == stated:
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
