"""EXIF orientation: images displayed rotated or mirrored, whose labels may have been made on the stored frame.

The size does not reveal that for an image that is square, mirrored or turned by half."""

from jaxmarks import words
from pipelines.images import headers, jpeg

_START = 1 << 16  # bytes of a PNG in which its EXIF data are looked for


def turned(data: bytes) -> bool:
    """Return whether the header of an encoded image asks to display it rotated or mirrored."""
    kind = headers.kind(data)
    if kind == "JPEG":
        return jpeg.orientation(data) > 1
    if kind in ("AVIF", "HEIC"):
        return headers.turns(data) != (0, None)
    return jpeg.exif_orientation(_exif(data, kind)) > 1


def describe(count: int, of: int) -> list[str]:
    """The line that says how many of some images are turned; none where none is."""
    have, them = ("has", "it") if count == 1 else ("have", "them")
    said = f"{count} of {words.counted(of, 'image')} {have} an EXIF orientation that turns or mirrors {them}"
    remedy = "turn labels that were made on the stored frame, or remove the tag (exiftool -Orientation= FILES)"
    return [f"{said}; labels are read in the displayed frame: {remedy}"] if count else []


def _exif(data: bytes, kind: str | None) -> bytes:
    """The EXIF data of a PNG, WebP or TIFF file, and what follows them; empty if missing."""
    if kind == "TIFF":
        return data
    if kind == "PNG":
        at = data.find(b"eXIf", 0, _START)
        return data[at + 4 :] if at >= 0 else b""
    at = 12 if kind == "WebP" else len(data)
    while at + 8 <= len(data):
        if data[at : at + 4] == b"EXIF":
            return data[at + 8 :].removeprefix(b"Exif\0\0")
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return b""
