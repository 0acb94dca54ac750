"""Segments of a JPEG before its pixels, and its EXIF data."""

from collections.abc import Iterator

_COUNT, _TABLE = 0xB001, 0xB002  # of a multi-picture file: how many pictures, and where what is known of each lies
_PREVIEW = 1  # the kind of a picture that is a smaller copy
_MOST = 64  # entries that are read


def is_jpeg(data: bytes) -> bool:
    """Return whether an encoded image begins as a JPEG does."""
    return data[:3] == b"\xff\xd8\xff"


def segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, where it stands) of the segments of a JPEG's header, up to the first scan; stray bytes are passed over."""
    at = 2 if is_jpeg(data) else -1
    while (at := data.find(b"\xff", at)) >= 0 and at + 9 <= len(data):
        marker = data[at + 1]
        if marker in (0, 1, 0xFF) or 0xD0 <= marker <= 0xD8:  # a filling byte, or a marker without a length
            at += 1 if marker == 0xFF else 2
            continue
        yield marker, at
        if marker in (0xD9, 0xDA):
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def has_more(data: bytes) -> bool:
    """Return whether a JPEG has an index of several pictures, from the first segments, those of applications, alone."""
    for marker, at in segments(data):
        if not 0xE0 <= marker <= 0xEF:
            return False
        if marker == 0xE2 and pictures(data, at) > 1:
            return True
    return False


def pictures(data: bytes, at: int) -> int:
    """How many pictures the index of a multi-picture file lists, of which previews do not count; 0 where the segment at
    this place of a JPEG is none."""
    if data[at + 4 : at + 8] != b"MPF\0":
        return 0
    start = at + 8
    order = "little" if data[start : start + 2] == b"II" else "big"

    def number(place: int, size: int) -> int:
        return int.from_bytes(data[start + place : start + place + size], order)

    first = number(4, 4)
    entries = range(first + 2, first + 2 + 12 * min(number(first, 2), _MOST), 12)
    fields = {number(place, 2): number(place + 8, 4) for place in entries}
    table = fields.get(_TABLE, 0)
    kinds = [number(table + 16 * n, 4) >> 16 & 0xFF for n in range(min(fields.get(_COUNT, 0), _MOST))]
    return sum(kind != _PREVIEW for kind in kinds)


def orientation(data: bytes) -> int:
    """1 to 8, as the EXIF data of a JPEG has it: 2, 4, 5 and 7 mirror it, 3, 6 and 8 turn it; 1 where it has none."""
    if b"Exif\0\0" not in data:  # most have none; this search is faster than the segments
        return 1
    found = (at + 10 for marker, at in segments(data) if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0")
    start = next(found, len(data))
    return exif_orientation(data[start : start + (1 << 16)])


def exif_orientation(data: bytes) -> int:
    """Return `orientation` from EXIF data, which begin as a TIFF file does; 1 if they are not EXIF data."""
    order = {b"II": "little", b"MM": "big"}.get(data[:2])
    if order is None:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # pyright: ignore[reportArgumentType]

    first = number(4, 4)
    entries = (first + 2 + 12 * n for n in range(number(first, 2)))
    value = next((number(at + 8, 2) for at in entries if number(at, 2) == 0x0112), 1)
    return value if 1 <= value <= 8 else 1
