"""Headers of encoded images: format, size and depth, read before decoding.

No decoder sees what these lines do not know, so that an image's size is bounded before memory is asked for. Sizes are as
stored, before EXIF rotation; where a file states several, the largest counts.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pipelines.images.jpeg import is_jpeg, pictures, segments

MAX_PIXELS = (
    1 << 27
)  # of an image that is decoded, whatever its format and whoever asks; of 32 bits a half, of 64 a quarter
_TEXT = 1 << 16  # bytes of a header that is text
_TAGS = 4096  # entries of a TIFF's directory that are read
_TIFF_TYPES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes of its whole numbers, by type
_TIFF_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 6: 3, 8: 3}  # channels of its kinds of colour; of others 4 at most
_PAM_ALPHA = (b"2", b"4")  # channels of a PAM with one of opacity
_MOVING = (b"acTL", b"fcTL", b"fdAT")  # chunks of an animated PNG
_HEIF_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class Header(NamedTuple):
    """Format, size and depth of an encoded image, from its header."""

    kind: str  # "JPEG", "PNG", ...
    width: int
    height: int
    bits: int = 8  # of a channel, once it is decoded: 8, 16, 32 or 64
    frames: bool = False  # several: frames of an animation, pages, or pictures of a JPEG
    inverted: bool = False  # 0 is white
    progressive: bool = False  # coded in many scans, each of which goes through all pixels
    alpha: bool = False  # a channel beside the colours, or a transparent colour

    @property
    def deep(self) -> bool:
        """Whether the image has more than 8 bits a channel, as integers or floating point."""
        return self.bits > 8

    @property
    def too_large(self) -> bool:
        """Whether the image exceeds the bound, at which decoding takes at most 2.5 GB."""
        return self.width * self.height * max(self.bits // 16, 1) > MAX_PIXELS


def kind(data: bytes) -> str | None:
    """The format that a file begins as, from its first 64 bytes or more; None where it is not an image."""
    if is_jpeg(data):
        return "JPEG"
    for name, starts in _STARTS.items():
        if data.startswith(starts):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if re.match(rb"P[1-7Ff]\s", data):
        return "PFM" if data[1:2] in b"Ff" else "PNM"
    if data[4:8] == b"ftyp":
        brands = {data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4], "big"), 64), 4)}
        return "AVIF" if brands & {b"avif", b"avis"} else "HEIC" if brands & _HEIF else None
    return None


_STARTS: dict[str, tuple[bytes, ...]] = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "Radiance": (b"#?RADIANCE", b"#?RGBE"),
    "Sun raster": (b"\x59\xa6\x6a\x95",),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
}


def read(data: bytes) -> Header | None:
    """The header of an encoded image; None if it cannot be decoded or is cut off."""
    found = kind(data)
    try:
        return None if found is None else _READERS[found](data)
    except (LookupError, ValueError, OverflowError):
        return None


def header_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) from the header of an image, before EXIF rotation; None if it cannot be read."""
    found = read(data)
    return None if found is None else (found.width, found.height)


def turns(data: bytes) -> tuple[int, int | None]:
    """(quarter turns to the left, axis to mirror or None) that an AVIF asks for; its EXIF data do not count."""
    turn, mirror = (data.find(name, 0, _meta_end(data)) for name in (b"irot", b"imir"))
    left = data[turn + 4] & 3 if 0 <= turn < len(data) - 4 else 0
    return left, data[mirror + 4] & 1 if 0 <= mirror < len(data) - 4 else None


def still(data: bytes) -> bytes:
    """A PNG without the parts of an animation: the image that it shows where nothing moves."""
    chunks = list(_chunks(data))
    if not any(name in _MOVING for name, _, _ in chunks):
        return data
    return data[:8] + b"".join(data[at:end] for name, at, end in chunks if name not in _MOVING)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of the parts of a PNG."""
    at = 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at, end
        at = end


def _number(data: bytes, at: int, size: int, order: str = "little") -> int:
    """A number of so many bytes. Raises IndexError where they are not all there."""
    if at < 0 or at + size > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + size], order)  # pyright: ignore[reportArgumentType]


def _jpeg(data: bytes) -> Header | None:
    frames = False
    for marker, at in segments(data):
        if marker == 0xE2:
            frames = frames or pictures(data, at) > 1
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            width, height = _number(data, at + 7, 2, "big"), _number(data, at + 5, 2, "big")
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
            return Header("JPEG", width, height, frames=frames, progressive=progressive)
    return None


def _png(data: bytes) -> Header:
    before = itertools.takewhile(lambda chunk: chunk[0] != b"IDAT", _chunks(data))
    places = {name: at for name, at, _ in before if name in (b"acTL", b"tRNS")}
    moving = places.get(b"acTL")
    frames = moving is not None and _number(data, moving + 8, 4, "big") > 1
    bits = 16 if data[24] > 8 else 8
    alpha = data[25] in (4, 6) or b"tRNS" in places
    return Header("PNG", _number(data, 16, 4, "big"), _number(data, 20, 4, "big"), bits, frames, alpha=alpha)


def _bmp(data: bytes) -> Header:
    if _number(data, 14, 4) == 12:
        return Header("BMP", _number(data, 18, 2), _number(data, 20, 2))
    width, height = (_number(data, at, 4) for at in (18, 22))
    return Header("BMP", min(width, (1 << 32) - width), min(height, (1 << 32) - height))  # below 0: top row first


def _gif(data: bytes) -> Header:
    frames, alpha = _gif_frames(data)
    return Header("GIF", _number(data, 6, 2), _number(data, 8, 2), frames=frames, alpha=alpha)


def _gif_frames(data: bytes) -> tuple[bool, bool]:
    """(whether a GIF has more than one frame, whether the first one has a transparent colour)."""
    at, found, alpha = 13 + _palette(data, 10), 0, False
    while at + 10 < len(data) and data[at] in b"\x21\x2c":
        alpha = alpha or (not found and data[at : at + 2] == b"\x21\xf9" and bool(data[at + 3] & 1))
        found += data[at] == 0x2C
        at += 2 if data[at] == 0x21 else 11 + _palette(data, at + 9)
        while at < len(data) and data[at]:  # blocks of data, each with its length
            at += 1 + data[at]
        at += 1
        if found > 1:
            return True, alpha
    return False, alpha


def _palette(data: bytes, at: int) -> int:
    """Bytes of the palette that the flags at a place of a GIF announce."""
    return 3 << (data[at] & 7) + 1 if data[at] & 0x80 else 0


def _webp(data: bytes) -> Header | None:
    if data[12:16] == b"VP8X":
        width, height = 1 + _number(data, 24, 3), 1 + _number(data, 27, 3)
        return Header("WebP", width, height, frames=bool(data[20] & 2), alpha=bool(data[20] & 16))
    if data[12:16] == b"VP8L":
        bits = _number(data, 21, 4)
        return Header("WebP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), alpha=bool(bits >> 28 & 1))
    return Header("WebP", _number(data, 26, 2) & 0x3FFF, _number(data, 28, 2) & 0x3FFF)


def _tiff(data: bytes) -> Header | None:
    """Return the header of the first page. A tile or strip counts if it is larger than the page: it is decoded whole."""
    order, large = "little" if data[:2] == b"II" else "big", 43 in data[2:4]
    first = _number(data, *((8, 8) if large else (4, 4)), order)
    count, head, step = _number(data, first, 8 if large else 2, order), 8 if large else 2, 20 if large else 12
    tags: dict[int, int] = {}
    for at in range(first + head, first + head + step * min(count, _TAGS), step):
        tag, size = _number(data, at, 2, order), _TIFF_TYPES.get(_number(data, at + 2, 2, order))
        if size is not None and tag not in tags:
            repeats = _number(data, at + 4, 8 if large else 4, order)
            place, room = at + (12 if large else 8), 8 if large else 4
            tags[tag] = _number(
                data, place if repeats * size <= room else _number(data, place, room, order), size, order
            )
    width, height = tags[256], tags[257]
    tile = tags.get(322, 0) * tags.get(323, 0)
    if tile > width * height:
        width, height = tags[322], tags[323]
    stated = max(tags.get(258, 1), 16 if tags.get(339, 1) == 3 else 1)
    bits = next((n for n in (8, 16, 32) if stated <= n), 64)
    more = _number(data, first + head + step * count, 8 if large else 4, order) if count <= _TAGS else 0
    colour = tags.get(262, -1)
    alpha = tags.get(277, 1) > _TIFF_COLOURS.get(colour, 4)
    return Header("TIFF", width, height, bits, more != 0, colour == 0, alpha=alpha)


def _pnm(data: bytes) -> Header | None:
    if data[:2] == b"P7":
        fields = dict(
            re.findall(rb"\n\s*(WIDTH|HEIGHT|MAXVAL|DEPTH)\s+(\d{1,10})\b", data[:_TEXT].partition(b"ENDHDR")[0])
        )
        bits = 16 if int(fields.get(b"MAXVAL", 255)) > 255 else 8
        return Header(
            "PNM", int(fields[b"WIDTH"]), int(fields[b"HEIGHT"]), bits, alpha=fields.get(b"DEPTH") in _PAM_ALPHA
        )
    numbers = re.match(rb"P([1-6])" + 3 * rb"(?:(?:\s|#[^\r\n]*[\r\n])+(\d{1,10}))?", data[:_TEXT])
    if numbers is None or numbers[3] is None:
        return None
    deep = numbers[1] not in b"14" and int(numbers[4] or 255) > 255
    return Header("PNM", int(numbers[2]), int(numbers[3]), 16 if deep else 8)


def _pfm(data: bytes) -> Header | None:
    found = re.match(rb"P[Ff]\s+(\d{1,10})\s+(\d{1,10})\s", data[:_TEXT])
    return Header("PFM", int(found[1]), int(found[2]), 32) if found else None


def _radiance(data: bytes) -> Header | None:
    found = re.findall(rb"\n-Y\s+(\d{1,10})\s+\+X\s+(\d{1,10})", data[:_TEXT])
    height, width = max(((int(h), int(w)) for h, w in found), key=lambda n: n[0] * n[1])
    return Header("Radiance", width, height)


def _sun(data: bytes) -> Header:
    return Header("Sun raster", _number(data, 4, 4, "big"), _number(data, 8, 4, "big"))


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of the boxes of an ISO file, or within one of them."""
    while at + 8 <= end:
        size, head = _number(data, at, 4, "big"), 8
        if size == 1:
            size, head = _number(data, at + 8, 8, "big"), 16
        size = end - at if size == 0 else size
        if size < head:
            return
        yield data[at + 4 : at + 8], at + head, min(at + size, end)
        at += size


def _meta_end(data: bytes) -> int:
    """Return where the metadata of an AVIF's or HEIC's images ends."""
    return next((end for name, _, end in _boxes(data, 0, len(data)) if name == b"meta"), 0)


def _heif(name: str) -> Callable[[bytes], Header | None]:
    def found(data: bytes) -> Header | None:
        sizes, at, end = [], 0, _meta_end(data)
        while (at := data.find(b"ispe", at, end)) >= 0:  # of the image, its tiles and its thumbnails
            sizes.append((_number(data, at + 8, 4, "big"), _number(data, at + 12, 4, "big")))
            at += 4
        moving = data[8:12] in (b"avis", b"msf1", b"hevc")
        width, height = max(sizes, key=lambda n: n[0] * n[1])
        alpha = any(data.find(kind, 0, end) >= 0 for kind in _HEIF_ALPHA)
        return Header(name, width, height, frames=moving, alpha=alpha)

    return found


def _jpeg_2000(data: bytes) -> Header | None:
    start = 0
    if data[:1] == b"\0":
        start = next((at for name, at, _ in _boxes(data, 0, len(data)) if name == b"jp2c"), 0)
    if data[start : start + 4] != b"\xff\x4f\xff\x51" or _number(data, start + 40, 2, "big") > 4:
        return None
    right, bottom, left, top = (_number(data, start + at, 4, "big") for at in (8, 12, 16, 20))
    bits, channels = 16 if data[start + 42] & 0x7F > 7 else 8, _number(data, start + 40, 2, "big")
    return Header("JPEG 2000", right - left, bottom - top, bits, alpha=channels in (2, 4))


_READERS: dict[str, Callable[[bytes], Header | None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "BMP": _bmp,
    "GIF": _gif,
    "TIFF": _tiff,
    "WebP": _webp,
    "PNM": _pnm,
    "PFM": _pfm,
    "Radiance": _radiance,
    "Sun raster": _sun,
    "JPEG 2000": _jpeg_2000,
    "AVIF": _heif("AVIF"),
    "HEIC": _heif("HEIC"),
}
