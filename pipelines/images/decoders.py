"""Decoders, one for each format, behind one bound on size that is checked before decoding.

An image of at most 2^27 pixels by its header is decoded, whatever its format and whoever asks.
"""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

from pipelines.images import depth, headers, heic
from pipelines.images.headers import MAX_PIXELS, Header
from pipelines.images.jpeg import is_jpeg

cv2.setNumThreads(0)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # reasons are ours to tell, with the file's name
MAX_BYTES = 1 << 30  # of a file
_MAX_SCANS = 500  # of a progressive JPEG: each goes through all pixels
_DEEP = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
_MODES = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class DecodeError(ValueError):
    """Raised for an image that cannot be decoded: missing, truncated, or not an image. The message is the reason."""


def check(data: bytes) -> Header:
    """The header of what can be decoded. Raises DecodeError, before any pixel is, where the size is not known or beyond
    the bound."""
    if not data:
        raise DecodeError("empty file")
    found = headers.read(data)
    if found is None:
        raise _undecodable(data)
    if found.too_large:
        of = f" of {found.bits} bits" if found.bits > 16 else ""
        most = MAX_PIXELS // max(found.bits // 16, 1)
        raise DecodeError(f"too many pixels: {found.width} x {found.height}{of}, at most {most} are decoded")
    if found.progressive and (scans := data.count(b"\xff\xda")) > _MAX_SCANS:
        raise DecodeError(f"too many scans: a JPEG of {scans}, at most {_MAX_SCANS} are decoded")
    return found


def _undecodable(data: bytes) -> DecodeError:
    cut = is_jpeg(data) and b"\xff\xd9" not in data[-4096:]
    return DecodeError("truncated JPEG: its end is cut off" if cut else "not an image that can be decoded")


def decoded(data: bytes, reduction: int = 1, header: Header | None = None) -> np.ndarray:
    """Decode as `decode.decode`, in OpenCV's order of channels. header: what `check` gave, where it was called already."""
    found = header or check(data)
    if found.kind == "HEIC":
        return _heic(data)
    if found.deep:
        return _shallow(_pixels(data, _DEEP), found)
    image = _pixels(data, _MODES[reduction] if found.kind != "AVIF" else _MODES[1] | cv2.IMREAD_IGNORE_ORIENTATION)
    return _turned(image, data) if found.kind == "AVIF" else image


def _pixels(data: bytes, mode: int) -> np.ndarray:
    data = headers.still(data) if data[:4] == b"\x89PNG" else data  # OpenCV 5.0 falls over damaged animations
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error as error:
        raise DecodeError(f"not an image that can be decoded: the decoder rejects it ({error.code})") from None
    if image is None:
        raise _undecodable(data)
    return image


def _heic(data: bytes) -> np.ndarray:
    try:
        return cv2.cvtColor(heic.decoded(data), cv2.COLOR_RGB2BGR)
    except ValueError as error:
        raise DecodeError(str(error)) from None


def _turned(image: np.ndarray, data: bytes) -> np.ndarray:
    """An AVIF as displayed."""
    left, axis = headers.turns(data)
    image = np.rot90(image, left)
    return np.ascontiguousarray(image if axis is None else np.flip(image, axis))


def _shallow(values: np.ndarray, found: Header, at_least: float = 0.0) -> np.ndarray:
    """u8[h, w, 3] of an image of more than 8 bits."""
    try:
        image = depth.eight_bits(values, at_least)
    except ValueError as error:
        raise DecodeError(f"not an image that can be decoded: {error}") from None
    image = cv2.bitwise_not(image, dst=image) if found.inverted else image
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image


class Own(NamedTuple):
    """What an image of more than 8 bits uses."""

    kind: str  # of number
    white: float
    below: float  # the share of its values that lie below 0


def own(data: bytes) -> Own | None:
    """What an encoded image of more than 8 bits uses; None for others, and for what cannot be decoded."""
    try:
        return _own(_pixels(data, _DEEP)) if check(data).deep else None
    except ValueError:
        return None


def _own(values: np.ndarray) -> Own:
    return Own(depth.kind(values), depth.white(values), depth.below(values))


def below(data: bytes) -> float:
    """The share of the values of an encoded image of more than 8 bits that lie below 0. Raises DecodeError."""
    return depth.below(_pixels(data, _DEEP))


def transparent(data: bytes) -> bool:
    """Return whether an image with an alpha channel is not opaque everywhere, or the decoder does not tell."""
    try:
        values = _pixels(data, cv2.IMREAD_UNCHANGED)
    except DecodeError:
        return True
    if values.ndim < 3 or values.shape[2] != 4:
        return True
    opaque = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    return float(values[..., 3].min()) < opaque


def eight_bits(data: bytes, whites: Mapping[str, float]) -> tuple[bytes, str, float]:
    """An image of more than 8 bits as BMP of 8, its kind of number, and the value that became white: the set's, which
    `whites` has for each kind, or its own where that is more. Raises DecodeError."""
    found = check(data)
    values = _pixels(data, _DEEP)
    at_least = whites.get(kind := depth.kind(values), 0.0)
    image = _shallow(values, found, at_least)
    used = max(at_least, depth.white(values))
    del values
    return cv2.imencode(".bmp", image)[1].tobytes(), kind, used
