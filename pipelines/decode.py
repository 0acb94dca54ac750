"""Photographs: bytes to RGB arrays, and the one reduction onto the canvas.

Frames: photograph -> canvas happens here, in float64; canvas -> input is left to the device.
"""

from typing import NamedTuple

import cv2
import numpy as np

from jaxmarks import affine

cv2.setNumThreads(0)
_MAX_PIXELS = 1 << 28  # of a photograph; beyond it the header is taken to be wrong


class DecodeError(ValueError):
    """A picture that cannot be had: missing, truncated, or not a picture. The message is the reason."""


class Canvas(NamedTuple):
    """A photograph on the fixed square that travels to the device."""

    image: np.ndarray  # u8[side, side, 3]
    frame: np.ndarray  # f64[2, 3]  photograph -> input
    fit: np.ndarray  # f64[2, 3]  canvas -> input
    extent: np.ndarray  # f64[4]  first and last true pixel: x0, y0, x1, y1


def decode(data: bytes) -> np.ndarray:
    """u8[h, w, 3] RGB of an encoded picture, its EXIF rotation applied. Raises DecodeError."""
    if not data:
        raise DecodeError("the file is empty")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DecodeError(f"the decoder refuses it ({error.code})") from None
    if image is None:
        cut = data[:3] == b"\xff\xd8\xff" and b"\xff\xd9" not in data[-4096:]
        raise DecodeError("the JPEG is cut off" if cut else "not a picture that can be decoded")
    if image.shape[0] * image.shape[1] > _MAX_PIXELS:
        raise DecodeError(f"{image.shape[1]} x {image.shape[0]} pixels are too many")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def encode_jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    """u8[h, w, 3] RGB as JPEG."""
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[
        1
    ].tobytes()


def encode_png(image: np.ndarray) -> bytes:
    """u8[h, w, 3] RGB as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def canvas_side(size: int, factor: float) -> int:
    """The side of the canvas for an input of `size` pixels."""
    return int(np.ceil(round(factor * size, 6)))


def place(image: np.ndarray, size: int, side: int) -> Canvas:
    """The photograph u8[h, w, 3] on a canvas: its short side reduced to `size` by area (never enlarged), then cut or
    padded about the centre to `side`. Padding repeats the edge, and `extent` tells it from the photograph.

    The frame takes the short side to the input's full width, centred: at most one reduction here, and what is left to
    enlarge is left to the device.
    """
    height, width = image.shape[:2]
    scale = min(1.0, size / min(height, width))
    new = max(1, round(width * scale)), max(1, round(height * scale))
    if new != (width, height):
        image = cv2.resize(image, new, interpolation=cv2.INTER_AREA)
    reduce = affine.resize(new[0] / width, new[1] / height)
    starts = [(n - side) // 2 for n in new]  # of the canvas in the reduced photograph; negative: padded
    cut = image[max(starts[1], 0) : starts[1] + side, max(starts[0], 0) : starts[0] + side]
    left, top = (max(-s, 0) for s in starts)
    right, bottom = side - left - cut.shape[1], side - top - cut.shape[0]
    pad = (
        cv2.copyMakeBorder(cut, top, bottom, left, right, cv2.BORDER_REPLICATE)
        if cut.shape[:2] != (side, side)
        else cut
    )
    extent = np.array([left, top, left + cut.shape[1] - 1, top + cut.shape[0] - 1], np.float64)
    fit = _fit(new, starts, size)
    to_canvas = affine.compose(reduce, affine.translation(-float(starts[0]), -float(starts[1])))
    return Canvas(np.ascontiguousarray(pad), affine.compose(to_canvas, fit), fit, extent)


def _fit(new: tuple[int, int], starts: list[int], size: int) -> np.ndarray:
    """canvas -> input. Where the short side has `size` pixels already, a shift by whole pixels: nothing is smoothed."""
    short = min(new)
    enlarge = size / short
    offsets = [(n - short) // 2 if short == size else (n - short) / 2 for n in new]
    back = affine.translation(float(starts[0] - offsets[0]), float(starts[1] - offsets[1]))
    return affine.compose(back, affine.resize(enlarge, enlarge))
